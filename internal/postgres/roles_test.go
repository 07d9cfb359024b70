package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// What the role the hub runs as must never be able to do, whatever a defect makes it send.
func TestAppRoleIsDeniedWhatTheHubNeverDoes(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	accept(t, open(t, db), acceptance(1))
	conn := connect(t, db.App)
	var statements []string
	for _, table := range []string{"journal_entry", "message", "event_key", "event"} {
		statements = append(statements,
			"UPDATE hub."+table+" SET received_at = received_at",
			"DELETE FROM hub."+table,
			"TRUNCATE hub."+table)
	}
	statements[0] = "UPDATE hub.journal_entry SET at = at"
	statements = append(statements,
		"DELETE FROM hub.delivery", "TRUNCATE hub.delivery", "DELETE FROM hub.case_file", "TRUNCATE hub.case_file",
		"UPDATE hub.attempt SET number = 1", "DELETE FROM hub.attempt", "UPDATE hub.journal_queue SET entry_at = entry_at",
		// people and tickets: what was written stays
		"DELETE FROM hub.person", "UPDATE hub.person SET public_key = public_key", "UPDATE hub.person SET roles = roles", "UPDATE hub.person SET name = name",
		"DELETE FROM hub.ticket_use", "UPDATE hub.ticket_use SET used_at = NULL", "UPDATE hub.ticket_use SET ticket = ticket", "TRUNCATE hub.ticket_use",
		"DELETE FROM hub.participant", "DELETE FROM hub.ente", "DELETE FROM hub.probe", "INSERT INTO hub.probe (at) VALUES (now())",
		// the partitions themselves, around their parents
		"DELETE FROM hub.message_"+month(t, db), "SELECT body FROM hub.journal_entry_"+month(t, db),
		// retention, around the functions that have the rules
		"SELECT hub.retention_lock('message', 'message_"+month(t, db)+"')", "SELECT hub.retention_prove(gen_random_uuid())",
		"DELETE FROM hub.case_file", "DELETE FROM hub.reconciliation_day", "INSERT INTO hub.subject_left VALUES (gen_random_uuid(), 1)",
		// the vault
		"SELECT id FROM vault.subject", "SELECT subject_id FROM vault.subject_link", "SELECT id FROM vault.epoch_key",
		"INSERT INTO vault.epoch_key DEFAULT VALUES", "SELECT vault.now()",
		// making and changing things
		"CREATE TABLE hub.x (a int)", "CREATE TABLE public.x (a int)", "CREATE TEMPORARY TABLE x (a int)", "CREATE SCHEMA x",
		"ALTER TABLE hub.message ADD COLUMN x int", "DROP TABLE hub.message", "DROP TABLE hub.message_"+month(t, db),
		"CREATE OR REPLACE FUNCTION hub.hub_now() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
		"ALTER TABLE hub.message DISABLE TRIGGER ALL",
		"UPDATE version.hub SET version_id = 0",
		"SET ROLE hub_owner", "SET ROLE hub_vault", "SET ROLE postgres", "ALTER ROLE hub_app SUPERUSER",
		"SET log_statement = 'all'", "COPY hub.message TO '/tmp/x'", "COPY hub.event TO PROGRAM 'cat'",
	)
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// The vault's role sees nothing of events, and the app's nothing of identities.
func TestVaultRoleSeesNoEvents(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	conn := connect(t, db.Vault)
	for _, table := range []string{"event", "event_key", "message", "case_file", "delivery", "journal_entry", "participant"} {
		_, err := conn.Exec(t.Context(), "SELECT FROM hub."+table)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
			t.Errorf("%s: %v", table, err)
		}
	}
}

// month is the suffix of this month's partitions.
func month(tb testing.TB, db hubtest.DB) (suffix string) {
	tb.Helper()
	err := superuser(tb, db).QueryRow(tb.Context(), "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')").Scan(&suffix)
	if err != nil {
		tb.Fatal(err)
	}
	return suffix
}

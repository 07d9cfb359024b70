package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What the opener's role must never be able to do, whatever a defect makes it send: it sees neither
// events, cases nor entries, no identity and no join, and changes nothing but the link index and the sealed
// epoch keys, which it makes anew for another key.
func TestOpenerRoleIsDeniedAllButLookingAndJournalling(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	accept(t, open(t, db), acceptance(1))
	conn := connect(t, db.Opener)
	statements := []string{
		"SELECT * FROM hub.message", "SELECT digest FROM hub.message", "SELECT * FROM hub.event", "SELECT body FROM hub.event",
		"SELECT facts FROM hub.event", "SELECT case_id FROM hub.event", "SELECT event_id FROM hub.event", "SELECT type FROM hub.event",
		"SELECT * FROM hub.attempt", "SELECT codes FROM hub.attempt", "SELECT * FROM hub.delivery", "SELECT state FROM hub.delivery",
		"SELECT body FROM hub.journal_entry", "SELECT id FROM hub.journal_entry", "SELECT entry_id FROM hub.journal_queue",
		"SELECT receipt_id FROM hub.event_key", "SELECT id FROM hub.case_file", "SELECT id FROM hub.participant",
		"SELECT FROM hub.ente", "SELECT name FROM hub.key_fingerprint", "SELECT size FROM hub.journal_head",
		"SELECT note FROM hub.journal_checkpoint", "INSERT INTO hub.journal_checkpoint (size) VALUES (1)", "UPDATE hub.journal_head SET size = 0",
		"SELECT sealed FROM hub.message_" + month(t, db), "INSERT INTO hub.message (id) VALUES (gen_random_uuid())",
		"INSERT INTO hub.event (id) VALUES (gen_random_uuid())", "UPDATE hub.delivery SET state = 'parked'",
		// the vault: secrets and epoch keys to read, and nothing else
		"SELECT * FROM vault.subject", "SELECT state FROM vault.subject", "SELECT * FROM vault.subject_link",
		"SELECT created_at FROM vault.subject_link", "DELETE FROM vault.subject_link", "UPDATE vault.subject_link SET link_index = link_index",
		"UPDATE vault.subject_link SET subject_id = subject_id", "DELETE FROM vault.link_state", "INSERT INTO vault.link_state DEFAULT VALUES",
		"SELECT oldest_epoch FROM vault.seal_state", "UPDATE vault.seal_state SET oldest_epoch = 1", "UPDATE vault.subject_link SET sealed_identity = sealed_identity",
		"SELECT ticket FROM hub.ticket_use", "UPDATE hub.ticket_use SET used_at = NULL", "DELETE FROM hub.ticket_use",
		"SELECT added_entry FROM hub.person", "INSERT INTO hub.person (name) VALUES ('x')", "UPDATE hub.person SET retired_at = NULL", "DELETE FROM hub.person",
		"SELECT subject_id FROM vault.subject_join", "SELECT subject_id FROM vault.subject_claim",
		"UPDATE vault.subject SET secret = secret", "DELETE FROM vault.subject", "INSERT INTO vault.subject DEFAULT VALUES",
		"DELETE FROM vault.epoch_key", "UPDATE vault.epoch_key SET id = id", "INSERT INTO vault.epoch_key DEFAULT VALUES",
		"SELECT created_at FROM vault.epoch_key",
		// making and changing things
		"SELECT hub.ensure_partitions(1)", "CREATE TABLE hub.x (a int)", "CREATE TABLE public.x (a int)", "CREATE TEMPORARY TABLE x (a int)",
		"CREATE SCHEMA x", "DROP TABLE hub.message", "SET ROLE hub_owner", "SET ROLE hub_app", "SET ROLE hub_vault", "SET ROLE postgres",
		"ALTER ROLE hub_opener SUPERUSER", "SET log_statement = 'all'", "COPY hub.message TO '/tmp/x'",
		"COPY (SELECT sealed FROM hub.message) TO PROGRAM 'cat'", "UPDATE version.hub SET version_id = 0",
	}
	for _, table := range []string{"message", "event", "delivery", "attempt", "journal_entry", "journal_queue"} {
		statements = append(statements, "DELETE FROM hub."+table, "TRUNCATE hub."+table)
	}
	statements = append(statements, "UPDATE hub.message SET sealed = sealed", "UPDATE hub.attempt SET sealed = sealed",
		"UPDATE hub.journal_entry SET body = body", "UPDATE hub.event SET subject_id = subject_id")
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// The other roles read no epoch key: what serve sealed in an earlier epoch is closed to it, too.
func TestNobodyButTheOpenerReadsEpochKeys(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	for role, dsn := range map[string]string{"app": db.App, "vault": db.Vault} {
		_, err := connect(t, dsn).Exec(t.Context(), "SELECT sealed_key FROM vault.epoch_key")
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
			t.Errorf("%s: %v", role, err)
		}
	}
	if _, err := connect(t, db.Opener).Exec(t.Context(), "SELECT sealed_key FROM vault.epoch_key"); err != nil {
		t.Errorf("opener: %v", err)
	}
}

// The opener's role finds what was accepted and writes an entry that waits for its leaf.
func TestOpenerFindsWhatWasSealed(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	a := acceptance(1)
	accept(t, open(t, db), a)
	store := openWith(t, postgres.Config{DSN: db.Opener})
	if err := errors.Join(store.CheckServer(t.Context()), store.CheckVersion(t.Context())); err != nil {
		t.Fatal(err)
	}
	admin := superuser(t, db)
	if _, err := admin.Exec(t.Context(), `INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease, seal_epoch, sealed)
SELECT $1, n, now(), '1 second', 'retrying', gen_random_uuid(), CASE WHEN n < 3 THEN gen_random_uuid() END, CASE WHEN n < 3 THEN 'sent ' || n END::bytea
FROM generate_series(1, 3) n`, a.TransmissionID); err != nil {
		t.Fatal(err)
	}
	row := hub.SealedRow{
		Message: a.ReceiptID, Participant: a.Participant, Ente: a.Key.Ente, Subject: a.Subject, ReceivedAt: a.ReceivedAt, Bytes: a.Sealed.Bytes,
	}
	unknown := uuid.New()
	env := a.Key.Environment
	other := hub.Prod + hub.Test - env
	utc := cmp.Transformer("utc", func(at time.Time) time.Time { return at.UTC() })
	messages, err := store.SealedMessages(t.Context(), env, []uuid.UUID{a.ReceiptID, unknown, a.ReceiptID})
	if diff := cmp.Diff(map[uuid.UUID]hub.SealedRow{a.ReceiptID: row}, messages, utc); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	bare := row
	bare.Bytes = nil
	origins, err := store.SealedOrigins(t.Context(), env, []uuid.UUID{a.ReceiptID, unknown})
	if diff := cmp.Diff(map[uuid.UUID]hub.SealedRow{a.ReceiptID: bare}, origins, utc); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	last, first, third, none := hub.SentKey{Delivery: a.TransmissionID}, hub.SentKey{Delivery: a.TransmissionID, Attempt: 1},
		hub.SentKey{Delivery: a.TransmissionID, Attempt: 3}, hub.SentKey{Delivery: unknown}
	bare.Delivery = a.TransmissionID
	of := func(attempt int32, text string) hub.SealedRow {
		r := bare
		r.Attempt, r.Bytes = attempt, []byte(text)
		return r
	}
	sent, err := store.SealedSent(t.Context(), env, []hub.SentKey{last, first, third, none})
	if diff := cmp.Diff(map[hub.SentKey]hub.SealedRow{last: of(2, "sent 2"), first: of(1, "sent 1"), third: bare}, sent, utc); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err := store.SealedMessages(t.Context(), other, []uuid.UUID{a.ReceiptID}); err != nil || len(got) != 0 {
		t.Errorf("the other environment: %v %v", got, err)
	}
	if got, err := store.SealedSent(t.Context(), other, []hub.SentKey{last}); err != nil || len(got) != 0 {
		t.Errorf("the other environment: %v %v", got, err)
	}
	e := journal.Entry{ID: v7(), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.MessageOpened, Environment: env, Message: a.ReceiptID, Actor: "x", Reason: "y"}
	if err := store.JournalOpening(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var body []byte
	if err := admin.QueryRow(t.Context(), `SELECT j.body FROM hub.journal_entry j JOIN hub.journal_queue q ON q.entry_id = j.id AND q.entry_at = j.at
WHERE j.id = $1 AND j.at = $2 AND j.kind = 10 AND j.message_id = $3`, e.ID, e.At, e.Message).Scan(&body); err != nil || string(body) != string(e.Bytes()) {
		t.Errorf("%v: %d bytes", err, len(body))
	}
}

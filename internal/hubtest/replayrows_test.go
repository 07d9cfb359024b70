//go:build e2e

package hubtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
)

// plant is what somebody with all rights changes in the rows of an event, $1, and what is told of it.
type plant struct {
	name, statement string
	columns         []string
}

func plants() []plant {
	const delivery = "(SELECT d.id FROM hub.delivery d WHERE d.message_id = $1)"
	change := func(table, set, where string, columns ...string) plant {
		return plant{table + " " + set, fmt.Sprintf("UPDATE %s SET %s WHERE %s", table, set, where), columns}
	}
	return []plant{
		change("hub.attempt", "state = 'refused'", "delivery_id = "+delivery, "hub.attempt.state", "hub.delivery.state"),
		change("hub.attempt", "codes = 'SINBA_999'", "delivery_id = "+delivery, "hub.attempt.codes", "hub.delivery.codes"),
		change("hub.attempt", "digest = NULL", "delivery_id = "+delivery, "hub.attempt.digest"),
		change("hub.attempt", "number = 2", "delivery_id = "+delivery, "hub.attempt (row added)", "hub.attempt (row removed)", "hub.delivery.attempts"),
		change("hub.attempt", "started_at = started_at - interval '1 millisecond'", "delivery_id = "+delivery, "hub.attempt (row added)", "hub.attempt (row removed)"),
		{"attempts deleted", "DELETE FROM hub.attempt WHERE delivery_id = " + delivery, []string{"hub.attempt (row removed)"}},
		{
			"a forged attempt", `INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease)
			SELECT delivery_id, 2, started_at + interval '1 second', took, state, lease FROM hub.attempt WHERE delivery_id = ` + delivery,
			[]string{"hub.attempt (row added)", "hub.delivery.attempts"},
		},
		{
			"a forged attempt of a number that is there", `INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease)
			SELECT delivery_id, 1, started_at - interval '1 millisecond', took, 'refused', lease FROM hub.attempt WHERE delivery_id = ` + delivery,
			[]string{"hub.attempt (row added)"},
		},
		{
			"a forged attempt of a delivery that was changed, too", `WITH d AS (UPDATE hub.delivery SET state = 'refused', attempts = 2, codes = 'SINBA_999' WHERE message_id = $1)
			INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, codes, lease)
			SELECT delivery_id, 2, started_at + interval '1 second', took, 'refused', 'SINBA_999', lease FROM hub.attempt WHERE delivery_id = ` + delivery,
			[]string{"hub.attempt (row added)"},
		},
		change("hub.event_key", "registration_id = gen_random_uuid()", "receipt_id = $1", "hub.event_key.registration_id", "hub.journal_entry (row removed)"),
		change("hub.event_key", "receipt_id = gen_random_uuid()", "receipt_id = $1", "hub.event (row added)", "hub.event_key.receipt_id"),
		change("hub.event_key", "received_at = received_at + interval '1 day'", "receipt_id = $1", "hub.event_key.received_at", "hub.journal_entry (row removed)"),
		change("hub.event_key", "outcome = 3 - outcome, warnings = '[]'", "receipt_id = $1", "hub.event_key.outcome"),
		change("hub.event_key", "event_id = gen_random_uuid()", "receipt_id = $1", "hub.event (row added)", "hub.event_key (row removed)"),
		{"the key deleted", "DELETE FROM hub.event_key WHERE receipt_id = $1", []string{"hub.event (row added)", "hub.event_key (row removed)"}},
		change("hub.message", "ente_id = ente_id + 1", "id = $1", "hub.message.ente_id"),
		change("hub.message", "participant_id = participant_id + 1", "id = $1", "hub.message.participant_id"),
		change("hub.message", "environment = 3 - environment", "id = $1", "hub.message.environment"),
		{"a message deleted", "DELETE FROM hub.message WHERE id = $1", []string{"hub.message (row removed)"}},
		{
			"a forged message", `INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed)
			SELECT gen_random_uuid(), received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed FROM hub.message WHERE id = $1`,
			[]string{"hub.message (row added)"},
		},
		change("hub.event", "ente_id = ente_id + 1", "id = $1", "hub.event (row added)", "hub.event.ente_id"),
		change("hub.event", "participant_id = participant_id + 1", "id = $1", "hub.event.participant_id"),
		{
			"a forged event", `INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type, operation, sequence,
			position, schema_version, mapping_version, rules_version, region_epoch, body_format, body, facts)
			SELECT gen_random_uuid(), received_at, environment, participant_id, ente_id, gen_random_uuid(), case_id, subject_id, type, operation, sequence,
			position + 1000, schema_version, mapping_version, rules_version, region_epoch, body_format, body, facts FROM hub.event WHERE id = $1`,
			[]string{"hub.event (row added)"},
		},
		{"an event deleted", "DELETE FROM hub.event WHERE id = $1", []string{"hub.event (row removed)"}},
		change("hub.delivery", "state = 'refused'", "message_id = $1", "hub.delivery.state"),
		change("hub.delivery", "state = 'parked'", "message_id = $1", "hub.delivery.state"),
		change("hub.delivery", "state = 'retrying', settled_at = NULL, due_at = received_at", "message_id = $1", "hub.delivery.state"),
		change("hub.delivery", "codes = 'SINBA_999'", "message_id = $1", "hub.delivery.codes"),
		change("hub.delivery", "nation_epoch = nation_epoch + 1", "message_id = $1", "hub.delivery.nation_epoch"),
		change("hub.delivery", "position = position + 1", "message_id = $1", "hub.delivery.position"),
		change("hub.delivery", "case_id = gen_random_uuid()", "message_id = $1", "hub.delivery.case_id"),
		change("hub.delivery", "received_at = received_at + interval '1 second'", "message_id = $1", "hub.delivery.received_at"),
		change("hub.delivery", "message_id = gen_random_uuid()", "message_id = $1", "hub.delivery (row removed)"),
		{"a delivery deleted", "DELETE FROM hub.delivery WHERE message_id = $1", []string{"hub.delivery (row removed)"}},
		{"a forged delivery", `INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts, changed_at, due_at)
			SELECT gen_random_uuid(), message_id, environment, case_id, sequence, position, received_at, nation_epoch, 'pending', 0, changed_at, changed_at
			FROM hub.delivery WHERE message_id = $1`, []string{"hub.delivery (row added)"}},
		change("hub.journal_entry", "kind = 7", "message_id = $1 AND kind = 1", "hub.journal_entry.kind"),
		change("hub.journal_entry", "kind = 7", "message_id = $1 AND kind = 3", "hub.journal_entry.kind"),
		change("hub.journal_entry", "message_id = gen_random_uuid()", "message_id = $1 AND kind = 3", "hub.journal_entry.message_id"),
		{"an entry of an acceptance deleted", "DELETE FROM hub.journal_entry WHERE message_id = $1 AND kind = 1", []string{"hub.journal_entry (row removed)"}},
		{"an entry of an attempt deleted", "DELETE FROM hub.journal_entry WHERE message_id = $1 AND kind = 3", []string{"hub.attempt (row added)"}},
		{"an entry without a leaf", "DELETE FROM hub.journal_leaf l USING hub.journal_entry j WHERE j.message_id = $1 AND j.kind = 1 AND l.entry_id = j.id", []string{"hub.journal_leaf (row removed)"}},
		{
			"a forged entry", `INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
			SELECT id, at + interval '1 second', kind, message_id, body FROM hub.journal_entry WHERE message_id = $1 AND kind = 3`,
			[]string{"hub.journal_entry.at", "hub.journal_leaf (row removed)"},
		},
	}
}

// TestE2EReplayFindsChangedRows plants every change in the rows of an event, one after the other, and wants
// verify to name just its columns, and nothing of what nobody touched.
func TestE2EReplayFindsChangedRows(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_JOURNAL_EVERY=1s")
	files := samples(t)
	if lines, exit := send(t, h, files[:20]...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, patience)
	hubtest.Await(t, patience, "every entry has its leaf", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_queue q JOIN hub.journal_entry e ON e.id = q.entry_id WHERE e.kind IN (1, 3)") == 0
	})
	if _, err := db.Exec(t.Context(), "SET session_replication_role = replica"); err != nil {
		t.Fatal(err)
	}
	parts := replayer(t, h)
	options := replaying.Options{Range: everything(t, parts)}
	verify := func() *replaying.Ledger {
		t.Helper()
		report, err := replaying.Verify(t.Context(), parts, options)
		if err != nil {
			t.Fatal(err)
		}
		return report.Ledger
	}
	if l := verify(); l.Found != 0 || l.Gone != 0 || l.Accepted != 20 || l.Attempts < 20 || l.Entries < 40 {
		t.Fatalf("before all changes: %+v", l)
	}
	var message uuid.UUID
	if err := db.QueryRow(t.Context(), "SELECT id FROM hub.event ORDER BY received_at, id OFFSET 10 LIMIT 1").Scan(&message); err != nil {
		t.Fatal(err)
	}
	for _, p := range plants() {
		undo := keepRows(t, db)
		if tag, err := db.Exec(t.Context(), p.statement, message); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %v %v", p.name, tag, err)
		}
		var columns []string
		l := verify()
		for _, r := range l.Rows {
			columns = append(columns, r.Columns...)
		}
		slices.Sort(columns)
		if diff := cmp.Diff(p.columns, slices.Compact(columns)); diff != "" || l.Found != int64(len(l.Rows)) {
			t.Errorf("%s: %s", p.name, diff)
		}
		undo()
	}
	if l := verify(); l.Found != 0 {
		t.Errorf("after all changes were undone: %+v", l)
	}
}

// keepRows copies the tables that are changed, and gives what puts them back.
func keepRows(t *testing.T, db *pgx.Conn) (undo func()) {
	t.Helper()
	tables := []string{"message", "event", "event_key", "delivery", "attempt", "journal_entry", "journal_leaf"}
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for _, name := range tables {
		exec(strings.ReplaceAll("CREATE TEMP TABLE kept_NAME AS TABLE hub.NAME", "NAME", name))
	}
	return func() {
		t.Helper()
		for _, name := range tables {
			exec(strings.ReplaceAll("DELETE FROM hub.NAME", "NAME", name))
			exec(strings.ReplaceAll("INSERT INTO hub.NAME OVERRIDING SYSTEM VALUE TABLE kept_NAME", "NAME", name))
			exec(strings.ReplaceAll("DROP TABLE kept_NAME", "NAME", name))
		}
	}
}

//go:build e2e

package hubtest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2ERetentionOfServe: a serve whose hour has come deletes what is over, keeps what waits for SISS, and
// tells both; what was just accepted is not touched.
func TestE2ERetentionOfServe(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	db := h.Superuser()
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	event := uuid.New()
	mustSend(t, h.Sender(hubtest.ChildEnte), soap.V12, hubtest.Child(33).Event(event, 1))
	hubtest.AwaitDelivered(t, db, patience)
	// Two events of three years ago: one was parked.
	exec("SET hub.clock_offset = '-36 months'")
	exec("SELECT hub.ensure_partitions(1)")
	settled, parked := uuid.New(), uuid.New()
	for id, state := range map[uuid.UUID]string{settled: "delivered", parked: "parked"} {
		exec(`INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed)
VALUES ($1, hub.hub_now(), 1, 1, 1, $1, sha256(''), 'sealed')`, id)
		exec(`INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts,
  changed_at, settled_at) VALUES ($1, $1, 1, $1, 1, 1, hub.hub_now(), 1, $2, 1, hub.hub_now(), hub.hub_now())`, id, state)
	}
	exec("RESET hub.clock_offset")
	if out := verb(t, h, 0, "retention", "run", "--dry-run"); !strings.Contains(out, "1 records would be retired") {
		t.Errorf("dry run:\n%s", out)
	}
	// Whoever ran today already, did not see them.
	exec("UPDATE hub.retention_turn SET done_on = NULL")
	second := h.Serve("retaining", func(settings map[string]any) {
		hubtest.Settings(settings, "retention", map[string]any{"hour": 0})
	})
	second.Start()
	second.AwaitReady()
	hubtest.Await(t, patience, "retention", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.retention_class WHERE class = 'messages' AND held = 1") == 1
	})
	for id, want := range map[uuid.UUID]int64{settled: 0, parked: 1} {
		if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.message WHERE id = $1", id); n != want {
			t.Errorf("%d messages, want %d", n, want)
		}
	}
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.message m JOIN hub.event e ON e.id = m.id WHERE e.event_id = $1", event); n != 1 {
		t.Errorf("%d messages of the new event", n)
	}
	var told []string
	for _, e := range hubtest.JournalEntries(t, db) {
		if e.Kind == journal.RecordsRetired {
			told = append(told, string(e.Codes[0]))
		}
	}
	if len(told) != 1 || told[0] != "messages:1" {
		t.Errorf("the journal says %v", told)
	}
	// At once where it was found; the other instance reads it once a minute.
	seen := *h
	seen.Run.AdminURL = second.AdminURL
	hubtest.Await(t, 3*time.Minute, "the metric of what is held", func() bool {
		return bytes.Contains(seen.Metrics(), []byte("hub_retention_held_records{class=\"messages\"} 1\n"))
	})
}

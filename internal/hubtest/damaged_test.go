//go:build e2e

package hubtest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2EDamagedJournalIsSaid: an entry that somebody took out of the tree is counted and said, and the hub
// goes on; a leaf that somebody forged takes the instance out, because nothing can be signed any more.
func TestE2EDamagedJournalIsSaid(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	if _, exit := send(t, h, samples(t)[0]); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	db := h.Superuser()
	hubtest.Await(t, patience, "the acceptance has its leaf", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.journal_leaf l JOIN hub.journal_entry e ON e.id = l.entry_id WHERE e.kind = 1") == 1
	})
	if status, body := admin(t, h, "/readyz"); status != http.StatusOK || strings.Contains(body, "damaged") {
		t.Fatalf("%d %s", status, body)
	}
	figures := h.Samples()
	for _, name := range []string{
		`hub_journal_damages{part="entry"}`, `hub_journal_damages{part="tile"}`, "hub_journal_queue_age_seconds",
		"hub_journal_looked_timestamp_seconds", "hub_database_oldest_transaction_seconds", "hub_database_oldest_transaction_waiting_sessions",
	} {
		if _, there := figures[name]; !there {
			t.Errorf("no %s", name)
		}
	}
	h.Kill()
	if _, err := db.Exec(t.Context(), `DELETE FROM hub.journal_leaf l USING hub.journal_entry e
		WHERE e.id = l.entry_id AND e.kind = 1`); err != nil {
		t.Fatal(err)
	}
	h.Up()
	status, body := admin(t, h, "/readyz")
	if status != http.StatusOK || !strings.Contains(body, "journal: ok") || !strings.Contains(body, "journal: damaged") {
		t.Errorf("%d %s", status, body)
	}
	if n := h.Samples()[`hub_journal_damages{part="entry"}`]; n != 1 {
		t.Errorf("%v entries", n)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
		SELECT size + n, gen_random_uuid(), now(), 777, 777, n FROM hub.journal_head, generate_series(1, 5) AS n`); err != nil {
		t.Fatal(err)
	}
	if _, exit := send(t, h, samples(t)[1]); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	hubtest.Await(t, patience, "the forged leaf takes the instance out", func() bool {
		status, body := admin(t, h, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "journal: not ready") && h.Samples()["hub_journal_forked"] == 1
	})
}

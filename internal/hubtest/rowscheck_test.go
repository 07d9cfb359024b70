//go:build e2e || smoke

package hubtest_test

import (
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
)

// holdRows wants that every row of a hub is what its journal says, and the reverse, whatever the hub went
// through: a verification must not accuse anybody of what the hub itself does.
func holdRows(t *testing.T, h *hubtest.Hub) *replaying.Ledger {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: h.Run.DatabaseURL, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	l, err := replaying.CheckLedger(t.Context(), store, &replaying.Options{
		Range: replaying.Range{From: now.AddDate(-1, 0, 0), To: now.AddDate(0, 0, 2)}, Began: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range l.Rows {
		if i < 10 {
			t.Errorf("%v: entry %v, message %v, delivery %v, attempt %d", r.Columns, r.Entry, r.Message, r.Delivery, r.Attempt)
		}
	}
	if l.Found > 0 || l.Gone > 0 {
		t.Errorf("%d rows are not what the journal says, %d are gone", l.Found, l.Gone)
	}
	return l
}

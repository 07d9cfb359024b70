//go:build smoke

package hubtest_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

const (
	// awayEvents is the short form; SINBAHUB_TEST_AWAY_EVENTS changes it.
	awayEvents = 2_000
	// awayHours is how long SISS is away by the database's clock, which moves in steps.
	awayHours = 72
	awaySteps = 6
)

// TestSmokeSissAway accepts events for three days by the database's clock while nothing listens at
// SISS's address. When it is back, all of them are delivered, in the order of their cases.
func TestSmokeSissAway(t *testing.T) {
	t.Parallel()
	wanted := scale(t, "AWAY_EVENTS", awayEvents)
	h := hubtest.Start(t)
	db := h.Superuser()
	signalTo(t, h.Run.Pids.SissSim, syscall.SIGKILL)
	l := startWriters(t, h, writersOf{writers: killWriters, persistent: true, apart: childrenAtMost / killWriters})
	l.awaitAnswers(killWriters)
	before := h.Resident()
	began := time.Now()
	var during hubtest.Resident
	for step := range awaySteps {
		l.awaitReceipts(int64(wanted * (step + 1) / awaySteps))
		advanceClock(t, db, "hub_app", fmt.Sprintf("%d hours", awayHours*(step+1)/awaySteps))
		if now := h.Resident(); now.Serve > during.Serve {
			during = now
		}
	}
	all := l.stop()
	if t.Failed() {
		return
	}
	took := time.Since(began)
	waiting := hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE settled_at IS NULL")
	if waiting != int64(len(all)) {
		t.Errorf("%d deliveries wait for %d receipts while SISS is away", waiting, len(all))
	}
	attempts := hubtest.Number(t, db, "SELECT count(*) FROM hub.attempt")
	h.Up()
	rate, drained, draining := drain(t, h, waiting)
	f := lookAround(t, h, db).compare(nil)
	f.report(t)
	tab := newTable("SISS away for %d h by the database's clock", awayHours)
	tab.row("events accepted meanwhile", "100,000", "%s in %v", told(all), took.Round(time.Second))
	tab.row("attempts made against the closed door", "", "%d", attempts)
	tab.row("drained", "≥ 200/s", "%d in %v, %.0f/s from SISS's return to the last", waiting, drained.Round(time.Second), rate)
	tab.findingsRows(f, len(all), 0)
	tab.row("resident memory of serve", "flat", "%d MB with the first %d waiting, %d MB at most while they came, %d MB at most while they left",
		before.Serve>>20, killWriters, during.Serve>>20, draining.Serve>>20)
	tab.print(t)
}

// drain waits until nothing waits any more.
func drain(t *testing.T, h *hubtest.Hub, waiting int64) (rate float64, took time.Duration, most hubtest.Resident) {
	t.Helper()
	db := h.Superuser()
	began := time.Now()
	hubtest.Await(t, drainPatience, "the backlog is drained", func() bool {
		if now := h.Resident(); now.Serve > most.Serve {
			most = now
		}
		pause(t.Context(), 200*time.Millisecond)
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE settled_at IS NULL") == 0
	})
	took = time.Since(began)
	return float64(waiting) / took.Seconds(), took, most
}

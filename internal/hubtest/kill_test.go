//go:build smoke

package hubtest_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

const kills = 20

// TestSmokeKillServeUnderLoad kills serve at random moments while writers send, and then compares
// what the writers were told with what is stored and what the nation took.
func TestSmokeKillServeUnderLoad(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	address := h.Run.SoapURL
	l := startLoad(t, h, true, 0)
	var restarts []time.Duration
	for i := range kills {
		l.awaitAnswers(1)
		if i%3 == 2 {
			killAfterSissTook(t, h)
		} else {
			pause(t.Context(), time.Duration(rand.Int64N(int64(1500*time.Millisecond))))
			h.Kill()
		}
		killed := time.Now()
		h.Up()
		restarts = append(restarts, time.Since(killed))
		if h.Run.SoapURL != address {
			t.Fatalf("the hub came back at %s, it was at %s", h.Run.SoapURL, address)
		}
		h.MisbehaveSiss(siss.Faults{})
	}
	l.awaitAnswers(1)
	all := l.stop()
	if t.Failed() {
		return
	}
	lost, doubled := readLedger(t, h).check(all)
	repeated, taken := 0, 0
	for _, s := range all {
		if s.attempts > 1 {
			repeated++
		}
		if s.receipt.Esito == "DUPLICATO" {
			taken++
		}
	}
	slices.Sort(restarts)
	t.Logf("kills %d, events acknowledged %d (%d only after repetition, %d of them were stored before the kill), lost %d, doubled %d; kill to ready: median %v, longest %v",
		kills, len(all), repeated, taken, lost, doubled, restarts[len(restarts)/2].Round(time.Millisecond), restarts[len(restarts)-1].Round(time.Millisecond))
}

// killAfterSissTook kills serve right after the simulator took an event and cut the line, so that
// nobody but the simulator knows.
func killAfterSissTook(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	before := h.SissCounters()["fault/cut"]
	h.MisbehaveSiss(siss.Faults{CutRatio: 1})
	hubtest.Await(t, patience, "the simulator cuts a line", func() bool { return h.SissCounters()["fault/cut"] > before })
	h.Kill()
}

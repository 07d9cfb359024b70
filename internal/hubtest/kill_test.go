//go:build smoke

package hubtest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

const (
	kills = 20
	// databaseKills are fewer: each is a crash recovery.
	databaseKills = 5
)

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
	asked := h.SissCounters()["statoTrasmissione/ACCETTATO"]
	if asked == 0 {
		t.Error("no delivery was uncertain: the kills missed what they are for")
	}
	t.Logf("kills %d, %s, lost %d, doubled %d, uncertain and found at the nation %d; kill to ready: %s",
		kills, told(all), lost, doubled, asked, spread(restarts))
}

// TestSmokeKillDatabaseUnderLoad kills every process of the database, as a power cut would end
// them, while serve and the writers go on and the nation answers badly in every way it knows.
func TestSmokeKillDatabaseUnderLoad(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	serve := h.Run.Pids.Serve
	h.MisbehaveSiss(siss.Faults{
		CutRatio: .1, DropRatio: .1, UnavailableRatio: .05, GarbageRatio: .1, HTMLRatio: .05, WrongIDRatio: .1, FailRatio: .05, CutAt: 10,
	})
	l := startLoad(t, h, true, 0)
	var restarts []time.Duration
	for range databaseKills {
		l.awaitAnswers(1)
		pause(t.Context(), time.Duration(rand.Int64N(int64(1500*time.Millisecond))))
		h.KillDatabase()
		killed := time.Now()
		h.Up()
		restarts = append(restarts, time.Since(killed))
	}
	l.awaitAnswers(1)
	all := l.stop()
	if h.Run.Pids.Serve != serve {
		t.Error("serve did not outlive its database")
	}
	if t.Failed() {
		return
	}
	h.MisbehaveSiss(siss.Faults{})
	lost, doubled := readLedger(t, h).check(all)
	t.Logf("kills of the database %d, %s, lost %d, doubled %d; kill to ready: %s", databaseKills, told(all), lost, doubled, spread(restarts))
}

// told sums up what the writers were told.
func told(all []sent) string {
	repeated, taken := 0, 0
	for _, s := range all {
		if s.attempts > 1 {
			repeated++
		}
		if s.receipt.Esito == "DUPLICATO" {
			taken++
		}
	}
	return fmt.Sprintf("events acknowledged %d (%d only after repetition, %d of them were stored before the kill)", len(all), repeated, taken)
}

// spread is the middle and the end of some durations.
func spread(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("median %v, longest %v", all[len(all)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
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

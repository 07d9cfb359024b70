//go:build smoke

package hubtest_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// workerKills is how often a worker is killed in the short form; SINBAHUB_TEST_SEGV changes it.
const workerKills = 100

// TestSmokeWorkerKills sends SIGSEGV to random workers of the validator at random moments while
// writers send, as a defect of libxml2 would. Every request must be answered, by a receipt or by
// a fault that says the hub is to blame, and what was acknowledged must be stored once.
func TestSmokeWorkerKills(t *testing.T) {
	t.Parallel()
	wanted := workerKills
	if n, err := strconv.Atoi(os.Getenv("SINBAHUB_TEST_SEGV")); err == nil {
		wanted = n
	}
	h := hubtest.Start(t)
	serve := h.Run.Pids.Serve
	l := startLoad(t, h, true, 0)
	l.awaitAnswers(writers)
	began := time.Now()
	for killed := 0; killed < wanted && !t.Failed(); {
		pause(t.Context(), time.Duration(rand.Int64N(int64(60*time.Millisecond))))
		workers := h.Workers()
		if len(workers) == 0 {
			continue // both are dead; the next ones are starting
		}
		// One that ended by itself in between is no kill.
		if syscall.Kill(workers[rand.IntN(len(workers))], syscall.SIGSEGV) == nil {
			killed++
		}
	}
	took := time.Since(began)
	l.awaitAnswers(writers)
	all := l.stop()
	if h.Run.Pids.Serve != serve || !h.Alive() {
		t.Error("serve died of its workers")
	}
	if t.Failed() {
		return
	}
	refusals := map[string]int{}
	for _, s := range all {
		if s.receipt == nil || s.attempts != len(s.refusals)+1 {
			t.Errorf("event %s: %d attempts, %d of them refused, receipt %v", s.event, s.attempts, len(s.refusals), s.receipt != nil)
		}
		for _, code := range s.refusals {
			refusals[code]++
		}
	}
	for code := range maps.Keys(refusals) {
		if code != "SINBA_501" && code != "SINBA_503" {
			t.Errorf("a refusal by %s: the sender is not to blame", code)
		}
	}
	crashes := metricOf(t, h, `hub_validator_restarts_total{reason="crash"}`)
	if crashes < wanted/2 || crashes > wanted {
		t.Errorf("%d workers replaced for %d kills", crashes, wanted)
	}
	lost, doubled := readLedger(t, h).check(all)
	t.Logf("SIGSEGV %d in %v, workers replaced for it %d, %s, refusals %v, unanswered 0, lost %d, doubled %d",
		wanted, took.Round(time.Second), crashes, told(all), refusals, lost, doubled)
}

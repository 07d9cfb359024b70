//go:build smoke

package hubtest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

const (
	// kills and receiptsWanted are the short form of the campaign; SINBAHUB_TEST_KILLS and
	// SINBAHUB_TEST_RECEIPTS change them.
	kills          = 20
	receiptsWanted = 2_000
	// killWriters is how many send at once.
	killWriters = 50
	// childrenAtMost is how many different children there are (hubtest.Child).
	childrenAtMost = 169_000
)

// shortLease is for instances that a campaign kills: what they held is taken up while the campaign still
// runs. What was not begun while the deadline still fits into the lease is given back, so the difference
// must be longer than a claim may take (10 s): else nothing is ever begun under load.
func shortLease(settings map[string]any) {
	hubtest.Settings(settings, "siss", map[string]any{"deadline": "4s", "lease": "16s"})
}

// TestSmokeKillServeUnderLoad kills serve at random moments while fifty writers send, and then compares
// what the writers were told with what is stored, journalled and at the nation.
func TestSmokeKillServeUnderLoad(t *testing.T) {
	t.Parallel()
	wanted, receipts := scale(t, "KILLS", kills), scale(t, "RECEIPTS", receiptsWanted)
	h := hubtest.Start(t)
	h.Kill()
	serve := h.Serve("campaign", shortLease)
	serve.Start()
	serve.AwaitReady()
	l := startWriters(t, h, writersOf{
		writers: killWriters, persistent: true, apart: childrenAtMost / killWriters, doors: []string{serve.SoapURL},
	})
	began := time.Now()
	var back []time.Duration
	spent := budget(t)
	for i := range wanted {
		if spent() {
			break
		}
		// So many receipts between two kills that there are enough of both in the end.
		l.awaitReceipts(int64(receipts * (i + 1) / (wanted + 1)))
		if i%3 == 2 {
			killAfterSissTook(t, h, serve)
		} else {
			pause(t.Context(), time.Duration(rand.Int64N(int64(500*time.Millisecond))))
			serve.Kill()
		}
		first := l.watchFrom()
		serve.Start()
		back = append(back, first())
		h.MisbehaveSiss(siss.Faults{})
		if t.Failed() {
			break
		}
		if (i+1)%100 == 0 {
			t.Logf("%d kills, %d receipts, %v", i+1, l.acknowledged.Load(), time.Since(began).Round(time.Second))
		}
	}
	if !spent() {
		l.awaitReceipts(int64(receipts))
	}
	all := l.stop()
	if t.Failed() {
		return
	}
	took := time.Since(began)
	ledger := readLedger(t, h)
	f := ledger.compare(nil)
	f.report(t)
	asked := h.SissCounters()["statoTrasmissione/ACCETTATO"]
	if asked == 0 {
		t.Error("no delivery was uncertain: the kills missed what they are for")
	}
	tab := newTable("kill -9 of serve under %d writers", killWriters)
	tab.row("kills", "1,000", "%d in %v", len(back), took.Round(time.Second))
	tab.row("receipts", "100,000", "%s", told(all))
	tab.findingsRows(f, len(all), len(back))
	tab.row("deliveries that were uncertain and found at SISS by asking", "", "%d", asked)
	tab.row("restart to first receipt", "p99 ≤ 2 s", "%s", quantiles(back))
	tab.print(t)
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
	return fmt.Sprintf("%d (%d only after repetition, %d of them were stored by an attempt that got no receipt)", len(all), repeated, taken)
}

// killAfterSissTook kills serve right after the simulator took an event and cut the line, so that
// nobody but the simulator knows.
func killAfterSissTook(t *testing.T, h *hubtest.Hub, serve *hubtest.Instance) {
	t.Helper()
	before := h.SissCounters()["fault/cut"]
	h.MisbehaveSiss(siss.Faults{CutRatio: 1})
	hubtest.Await(t, patience, "the simulator cuts a line", func() bool { return h.SissCounters()["fault/cut"] > before })
	serve.Kill()
}

//go:build smoke

package hubtest_test

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// databaseKills are fewer than those of serve: each is a crash recovery. SINBAHUB_TEST_DATABASE_KILLS
// changes it.
const databaseKills = 5

// waysToDie are how the database ends, in turn.
func waysToDie() []func(*testing.T, *hubtest.Hub) {
	return []func(*testing.T, *hubtest.Hub){
		// Every process at once, as a power cut would.
		func(_ *testing.T, h *hubtest.Hub) { h.KillDatabase() },
		// pg_ctl stop -m immediate is this signal to the postmaster.
		func(t *testing.T, h *hubtest.Hub) {
			t.Helper()
			signalTo(t, h.Run.Pids.Postgres, syscall.SIGQUIT)
		},
		// One backend: the postmaster ends all others and recovers by itself.
		func(t *testing.T, h *hubtest.Hub) {
			t.Helper()
			pid := hubtest.Number(t, h.Superuser(), "SELECT coalesce((SELECT pid FROM pg_stat_activity WHERE usename = 'hub_app' ORDER BY random() LIMIT 1), 0)")
			if pid != 0 {
				signalTo(t, int(pid), syscall.SIGKILL)
			}
		},
	}
}

// signalTo sends a signal to a process that may have ended meanwhile.
func signalTo(t *testing.T, pid int, which syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, which); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// TestSmokeKillDatabaseUnderLoad ends the database in every way under load, while serve and the writers
// go on and the nation answers badly in every way it knows: no receipt was false, and serve comes back
// by itself.
func TestSmokeKillDatabaseUnderLoad(t *testing.T) {
	t.Parallel()
	wanted := scale(t, "DATABASE_KILLS", databaseKills)
	h := hubtest.Start(t)
	serve := h.Run.Pids.Serve
	h.MisbehaveSiss(siss.Faults{
		CutRatio: .1, DropRatio: .1, UnavailableRatio: .05, GarbageRatio: .1, HTMLRatio: .05, WrongIDRatio: .1, FailRatio: .05, CutAt: 10,
	})
	l := startLoad(t, h, true, 0)
	began := time.Now()
	var down, back []time.Duration
	spent := budget(t)
	for i := range wanted {
		if spent() {
			break
		}
		l.awaitAnswers(20)
		pause(t.Context(), time.Duration(rand.Int64N(int64(time.Second))))
		kill := waysToDie()[i%len(waysToDie())]
		kill(t, h)
		killed, first := time.Now(), l.watchFrom()
		// It returns when the database answers and serve is ready.
		h.Up()
		down = append(down, time.Since(killed))
		back = append(back, first())
		if t.Failed() {
			break
		}
	}
	l.awaitAnswers(1)
	all := l.stop()
	if h.Run.Pids.Serve != serve {
		t.Error("serve did not outlive its database")
	}
	if t.Failed() {
		return
	}
	took := time.Since(began)
	h.MisbehaveSiss(siss.Faults{})
	f := readLedger(t, h).compare(nil)
	f.report(t)
	refused := 0
	for _, s := range all {
		refused += len(s.refusals)
	}
	tab := newTable("kill -9, stop -m immediate and kill -9 of a backend of PostgreSQL under %d writers, SISS answering badly half the time", writers)
	tab.row("ends of the database", "300", "%d in %v", len(back), took.Round(time.Second))
	tab.row("receipts", "", "%s", told(all))
	tab.row("false receipts", "0", "%s", outOf(len(f[findLost])+len(f[findStrange]), len(back)))
	tab.row("answered meanwhile by a fault that asks to come back", "", "%d", refused)
	tab.findingsRows(f, len(all), len(back))
	tab.row("end to the first receipt after it, recovery included", "≤ 5 s", "%s", quantiles(back))
	tab.row("end to ready, recovery included", "≤ 5 s", "%s", quantiles(down))
	tab.print(t)
}

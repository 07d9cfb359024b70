//go:build smoke

package hubtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// serveOver ends the demo's serve and runs one in its place, at the same addresses, whose database
// is whichever server of a pair takes writes. It gives the means to start it again.
func serveOver(t *testing.T, h *hubtest.Hub, pair *hubtest.Pair) (restart func()) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Var, "demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cfg map[string]any
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		t.Fatal(err)
	}
	dsns := pair.DSNs()
	database, ok := cfg["database"].(map[string]any)
	if !ok {
		t.Fatal("the demo's configuration has no database")
	}
	database["url"], database["vault_url"] = dsns.App, dsns.Vault
	if text, err = yaml.Marshal(cfg); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.Var, "failover.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Kill()
	log, err := os.OpenFile(filepath.Join(h.Var, "log", "failover.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	start := func() {
		serve := exec.Command(filepath.Join(hubtest.Binaries(t), "sinbahub"), "--config", file, "serve")
		serve.Stdout, serve.Stderr = log, log
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		h.Run.Pids.Serve = serve.Process.Pid
		go func() { _ = serve.Wait() }()
	}
	t.Cleanup(func() {
		if h.Alive() {
			h.Kill()
		}
	})
	restart = func() {
		if h.Alive() {
			h.Kill()
		}
		hubtest.Await(t, time.Minute, "serve is gone", func() bool { return !h.Alive() })
		start()
		awaitReady(t, h)
	}
	restart()
	return restart
}

// The ways in which a primary is lost.
const (
	killedPrimary  = "killed"
	standbyFirst   = "killed, the standby was away before"
	livingPrimary  = "living on"
	frozenPrimary  = "frozen, and waking later"
	waysOfFailover = 4
)

// failover is a hub over a pair of servers under load.
type failover struct {
	t    *testing.T
	h    *hubtest.Hub
	pair *hubtest.Pair
	load *load
	all  []sent
	// From the loss of the primary to the first event at the next one, and how long the promotion took
	// of it.
	backs      map[string][]time.Duration
	promotions []time.Duration
}

// lose loses the primary in one of the ways, promotes its standby and makes it a standby.
func (f *failover) lose(way string, n int) {
	f.t.Helper()
	if way == standbyFirst {
		f.loseStandby(n)
	}
	old := f.pair.Primary
	lost := time.Now()
	switch way {
	case frozenPrimary:
		old.Freeze()
	case livingPrimary:
	default:
		old.Kill()
	}
	f.pair.Promote()
	f.promotions = append(f.promotions, time.Since(lost))
	f.h.Run.DatabaseURL = f.pair.Primary.SuperuserDSN()
	f.awaitEventsAt(f.pair.Primary)
	f.backs[way] = append(f.backs[way], time.Since(lost))
	if way == frozenPrimary {
		old.Thaw()
	}
	f.load.awaitAnswers(100)
	old.Kill()
	f.pair.Rebuild(old)
	f.load.awaitAnswers(20)
}

// loseStandby takes the standby away: no receipt, and the hub says so; then gives it back.
func (f *failover) loseStandby(n int) {
	f.t.Helper()
	p := probe{h: f.h, first: hubtest.Child(probeChildren + 100*n)}
	f.pair.Standby.Kill()
	for range 2 {
		if a := p.try(f.t); a != nil && a.Receipt != nil {
			f.t.Error("a receipt without the standby")
		}
	}
	p.awaitRefused(f.t, func() {})
	checkNotReady(f.t, f.h)
	f.pair.Standby.Start()
	f.pair.AwaitStandby()
	f.all = append(f.all, p.finish(f.t)...)
	awaitReady(f.t, f.h)
	f.load.awaitAnswers(20)
}

// awaitEventsAt returns when new events arrive at a server.
func (f *failover) awaitEventsAt(server *hubtest.Server) {
	f.t.Helper()
	conn := server.Connect()
	defer func() { _ = conn.Close(f.t.Context()) }()
	before := hubtest.Number(f.t, conn, "SELECT count(*) FROM hub.event")
	hubtest.Await(f.t, giveUp, "events arrive at the new primary", func() bool {
		return hubtest.Number(f.t, conn, "SELECT count(*) FROM hub.event") > before
	})
}

// TestSmokeFailover loses the primary under load in every way, as often as FAILOVER says, each time
// to a standby that confirms every COMMIT.
func TestSmokeFailover(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	pair := hubtest.PairFrom(t, h.Var)
	restart := serveOver(t, h, pair)
	serve := h.Run.Pids.Serve
	f := &failover{t: t, h: h, pair: pair, backs: map[string][]time.Duration{}}
	f.load = startLoad(t, h, true, 0)
	cycles := count(t, "SINBAHUB_TEST_FAILOVER", 1)
	for i := range cycles {
		f.load.awaitAnswers(20)
		way := []string{standbyFirst, livingPrimary, frozenPrimary, killedPrimary}[i%waysOfFailover]
		f.lose(way, i)
		if t.Failed() {
			f.load.stop()
			return
		}
	}
	f.all = append(f.all, f.load.stop()...)
	if h.Run.Pids.Serve != serve || !h.Alive() {
		t.Error("serve did not outlive the failover")
	}
	lost, doubled := readLedger(t, h).check(f.all)
	t.Logf("failovers %d, %s, lost %d, doubled %d; promotion: %s", cycles, told(f.all), lost, doubled, quantiles(f.promotions))
	for way, backs := range f.backs {
		t.Logf("primary %s, %d times: loss to the first event at the next one: %s", way, len(backs), quantiles(backs))
	}

	refusesOldPrimary(t, h, pair, restart)
}

// refusesOldPrimary leaves only the server that was the primary before the last promotion, and wants
// serve to refuse it at its start and to say why.
func refusesOldPrimary(t *testing.T, h *hubtest.Hub, pair *hubtest.Pair, restart func()) {
	t.Helper()
	if _, err := h.Superuser().Exec(t.Context(), "ALTER ROLE hub_app RESET hub.clock_offset"); err != nil {
		t.Fatal(err)
	}
	old := pair.Promote()
	old.Set("synchronous_standby_names", "")
	h.Run.DatabaseURL = pair.Primary.SuperuserDSN()
	restart()
	// It preferred the new one to the old one, which answers first and takes what comes.
	f := failover{t: t, h: h, load: startLoad(t, h, true, hubtest.Child(writers*casesOfWriter))}
	f.awaitEventsAt(pair.Primary)
	f.load.stop()
	pair.Primary.Kill()
	h.Kill()
	hubtest.Await(t, time.Minute, "serve is gone", func() bool { return !h.Alive() })
	serve := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "--config", filepath.Join(h.Var, "failover.yaml"), "serve")
	out, err := serve.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "behind what was acknowledged") {
		t.Errorf("serve over the old primary ended with %v: %s", err, out)
	}
	old.Kill()
}

//go:build smoke

package hubtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// git runs git in the project's folder.
func git(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = hubtest.Root()
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// oldCommits are the hubs to come from: those that the variable names, else the first that ran,
// whose schema has not changed up to the file named here.
func oldCommits(t *testing.T) []string {
	t.Helper()
	if named := strings.Fields(os.Getenv("SINBAHUB_TEST_UPGRADE")); len(named) > 0 {
		return named
	}
	first, err := git(t, "log", "--diff-filter=A", "--format=%H", "--", "internal/postgres/migrations/00006_partition.sql")
	if err != nil || first == "" {
		t.Skipf("SKIPPED, nothing was tested: there is no history to build an old hub from (%v)", err)
	}
	return strings.Fields(first)[:1]
}

// buildOld builds the binaries of a commit.
func buildOld(t *testing.T, commit string) string {
	t.Helper()
	tree, bin := filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "bin")
	if out, err := git(t, "worktree", "add", "--quiet", "--detach", tree, commit); err != nil {
		t.Fatalf("check out %s: %s", commit, out)
	}
	defer func() {
		if out, err := git(t, "worktree", "remove", "--force", tree); err != nil {
			t.Errorf("remove the work tree: %s", out)
		}
	}()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-mod=readonly", "-o", bin+"/", "./cmd/sinbahub", "./cmd/siss-sim")
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %s", commit, out)
	}
	return bin
}

// TestSmokeUpgrade kills an old hub with work in flight, brings its database to this version and
// lets this hub go on with the old one's configuration, while the senders repeat what they got no
// receipt for.
func TestSmokeUpgrade(t *testing.T) {
	t.Parallel()
	for _, commit := range oldCommits(t) {
		t.Run(commit[:min(len(commit), 12)], func(t *testing.T) {
			t.Parallel()
			h := hubtest.StartFrom(t, buildOld(t, commit))
			h.MisbehaveSiss(siss.Faults{CutRatio: .2, DropRatio: .2, UnavailableRatio: .2, CutAt: 10})
			// Each tries once: of what the kill cut off nobody knows, and some of it is stored.
			l := startLoad(t, h, false, 0)
			l.awaitAnswers(300)
			db := h.Superuser()
			hubtest.Await(t, patience, "something is in doubt", func() bool {
				return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state = 'uncertain'") > 0
			})
			h.Kill()
			before := l.stop()
			hubtest.Await(t, patience, "the old hub is gone", func() bool { return !h.Alive() })
			flying := inFlight(t, h)
			upgrade(t, h)
			told := repeatOld(t, h, before)
			next := startLoad(t, h, true, writers*casesOfWriter)
			next.awaitAnswers(300)
			after := next.stop()
			if t.Failed() {
				return
			}
			h.MisbehaveSiss(siss.Faults{})
			lost, doubled := readLedger(t, h).check(slices.Concat(before, after))
			t.Logf("from %s with %s in flight: %d events acknowledged before and told again, %d after, lost %d, doubled %d",
				commit, flying, told, len(after), lost, doubled)
		})
	}
}

// repeatOld sends again what the old hub acknowledged, and wants its receipts.
func repeatOld(t *testing.T, h *hubtest.Hub, all []sent) (told int) {
	t.Helper()
	sender := h.Sender(hubtest.ChildEnte)
	for _, s := range all {
		if s.receipt == nil {
			continue
		}
		a, err := sender.Send(t.Context(), soap.V11, s.child.Event(s.event, s.sequence))
		if err != nil || a.Receipt == nil || a.Receipt.Esito != "DUPLICATO" || a.Receipt.IDRicevuta != s.receipt.IDRicevuta {
			t.Errorf("event %s was given receipt %s by the old hub, and now %+v, %v", s.event, s.receipt.IDRicevuta, a, err)
			return told
		}
		told++
	}
	return told
}

// inFlight tells what an old hub left undone, and wants something in doubt among it.
func inFlight(t *testing.T, h *hubtest.Hub) string {
	t.Helper()
	db := h.Superuser()
	doubtful := hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state IN ('sending', 'uncertain')")
	if doubtful == 0 {
		t.Error("nothing was in doubt: the kill missed what it is for")
	}
	var text string
	if err := db.QueryRow(t.Context(), `
SELECT string_agg(n || ' ' || state, ', ' ORDER BY state)
FROM (SELECT state, count(*) AS n FROM hub.delivery WHERE settled_at IS NULL GROUP BY state) x`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// upgrade migrates with the new binary and starts it with the old configuration.
func upgrade(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	binary, config := filepath.Join(hubtest.Binaries(t), "sinbahub"), filepath.Join(h.Var, "demo.yaml")
	admin := filepath.Join(h.Var, "admin.url")
	if err := os.WriteFile(admin, []byte(h.Run.DatabaseURL), 0o600); err != nil {
		t.Fatal(err)
	}
	migrate := exec.CommandContext(t.Context(), binary, "--config", config, "migrate", "--admin-url-file", admin)
	if out, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	log, err := os.OpenFile(filepath.Join(h.Var, "log", "upgraded.log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	serve := exec.Command(binary, "--config", config, "serve")
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = serve.Wait() }()
	h.Run.Pids.Serve = serve.Process.Pid
	awaitReady(t, h)
}

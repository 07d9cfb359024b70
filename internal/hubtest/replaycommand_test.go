//go:build e2e

package hubtest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// replayCommand is `sinbahub replay` beside a running hub.
func replayCommand(t *testing.T, h *hubtest.Hub, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"replay"}, args...)...)
	cmd.Env = append(os.Environ(), "SINBAHUB_VAR="+h.Var)
	return cmd
}

// runReplay runs it to its end.
func runReplay(t *testing.T, h *hubtest.Hub, args ...string) (out string, exit int) {
	t.Helper()
	cmd := replayCommand(t, h, args...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// TestE2EReplayCommand replays with the opener in its own process, as an operator does: all of it, some
// ids, and again after it was killed.
func TestE2EReplayCommand(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_OPENER_RATE=1000") // it begins again until a kill strikes in the middle
	files := samples(t)
	if lines, exit := send(t, h, files...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, patience)
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	to := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	verify := []string{"verify", "--from", from, "--to", to, "--reason", "prova annuale", "--actor", "auditor"}

	whole, exit := runReplay(t, h, verify...)
	if exit != 0 || !strings.Contains(whole, fmt.Sprintf("%d entries replayed", 2*len(files))) {
		t.Fatalf("exit %d: %s", exit, whole)
	}
	killAndResume(t, h, verify, whole)

	var id string
	if err := db.QueryRow(t.Context(), "SELECT id::text FROM hub.event ORDER BY id LIMIT 1").Scan(&id); err != nil {
		t.Fatal(err)
	}
	ids := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(ids, []byte(id+"\n01900000-0000-7000-8000-000000000001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, exit := runReplay(t, h, "verify", "--ids", ids, "--reason", "prova")
	if exit != 3 || !strings.Contains(out, "gone message 01900000") || !strings.Contains(out, "2 entries replayed") {
		t.Errorf("exit %d: %s", exit, out)
	}
	for name, args := range map[string][]string{
		"no range":            {"verify", "--reason", "prova"},
		"an identity":         {"verify", "--from", from, "--reason", "per RSSMRA85T10A562S"},
		"backwards":           {"verify", "--from", to, "--to", from, "--reason", "prova"},
		"no such ente":        {"verify", "--from", from, "--ente", "NESSUNO", "--reason", "prova"},
		"nothing to try":      {"what-if", "--from", from, "--reason", "prova"},
		"a schema that is no": {"what-if", "--from", from, "--reason", "prova", "--xsd", ids},
	} {
		if out, exit := runReplay(t, h, args...); exit != 4 {
			t.Errorf("%s: exit %d: %s", name, exit, out)
		}
	}
	report := filepath.Join(t.TempDir(), "report.html")
	table := filepath.Join(t.TempDir(), "report.csv")
	out, exit = runReplay(t, h, "what-if", "--from", from, "--to", to, "--reason", "prova", "--html", report, "--csv", table,
		"--mapping", filepath.Join(hubtest.Root(), "internal", "sinba", "foglie.tsv"))
	page, err := os.ReadFile(report)
	if exit != 0 || err != nil || !bytes.Contains(page, []byte("mapping foglie.tsv")) {
		t.Errorf("exit %d, %v: %s %s", exit, err, out, page)
	}
	// One changed row is told and ends it with 2; what happened stands in the journal.
	if _, err := db.Exec(t.Context(), "UPDATE hub.event SET facts = facts || '\\x00' WHERE id = $1::uuid", id); err != nil {
		t.Fatal(err)
	}
	if out, exit := runReplay(t, h, verify...); exit != 2 || !strings.Contains(out, "different message "+id) || !strings.Contains(out, "facts") {
		t.Errorf("exit %d: %s", exit, out)
	}
	var told []string
	for _, e := range hubtest.JournalEntries(t, db) {
		if e.Kind == journal.MessagesReplayed && e.Actor == "auditor" && e.Reason == "prova annuale" {
			told = append(told, e.Outcome)
		}
	}
	if len(told) < 4 || told[0] != "verify_begun" || told[1] != "verify_equal" || told[len(told)-1] != "verify_different" {
		t.Errorf("entries %v", told)
	}
}

// killAndResume kills a replay behind its first page until that once came before its end, and has the
// same command go on: its report is the one of a whole run.
func killAndResume(t *testing.T, h *hubtest.Hub, verify []string, whole string) {
	t.Helper()
	const most = 40
	for try := range most {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("run%d", try))
		args := append([]string{}, append(verify, "--resume", path)...)
		cmd := replayCommand(t, h, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		pages := func() int {
			text, _ := os.ReadFile(path)
			return bytes.Count(text, []byte("\n")) - 1
		}
		hubtest.Await(t, patience, "the first page", func() bool { return pages() > 0 || len(ended) > 0 })
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		_ = cmd.Process.Signal(syscall.SIGKILL)
		<-ended //nolint:errcheck // it was killed
		first := pages()
		out, exit := runReplay(t, h, args...)
		if exit != 0 || out != whole {
			t.Fatalf("exit %d: %s, not %s", exit, out, whole)
		}
		if first < pages() {
			// It could not have made a connection when it had opened messages.
			if !bytes.Contains(status, []byte("Seccomp:\t2")) {
				t.Errorf("the process had no filter: %s", status)
			}
			if out, exit := runReplay(t, h, "verify", "--from", "2026-01-01T00:00:00Z", "--reason", "prova", "--resume", path); exit != 4 {
				t.Errorf("another range went on with it: exit %d: %s", exit, out)
			}
			return
		}
	}
	t.Errorf("%d times killed, never before the end", most)
}

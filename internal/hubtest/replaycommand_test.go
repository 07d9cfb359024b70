//go:build e2e

package hubtest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// replayCommand is `sinbahub replay` beside a running hub, each time under a ticket of its own if none is
// named.
func replayCommand(t *testing.T, h *hubtest.Hub, p *hubtest.People, args ...string) *exec.Cmd {
	t.Helper()
	if !slices.Contains(args, "--ticket") {
		args = append(slices.Clone(args), "--ticket", p.ReplayTicket())
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"replay"}, args...)...)
	cmd.Env = h.Environ()
	return cmd
}

// runReplay runs it to its end.
func runReplay(t *testing.T, h *hubtest.Hub, p *hubtest.People, args ...string) (out string, exit int) {
	t.Helper()
	cmd := replayCommand(t, h, p, args...)
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
	began := time.Now().UTC().Format(time.RFC3339Nano)
	if lines, exit := send(t, h, files...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, patience)
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	to := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	verify := []string{"verify", "--from", from, "--to", to}
	p := h.People(t)

	whole, exit := runReplay(t, h, p, verify...)
	if exit != 0 || !strings.Contains(whole, fmt.Sprintf("entries replayed: %d,", 2*len(files))) {
		t.Fatalf("exit %d: %s", exit, whole)
	}
	if !strings.Contains(whole, fmt.Sprintf("held against their rows: %d, %d, 0; rows that are not what the journal says: 0", len(files), len(files))) {
		t.Error(whole)
	}
	killAndResume(t, h, p, verify, whole)
	replayRanges(t, h, p, from, began, whole)

	var id string
	if err := db.QueryRow(t.Context(), "SELECT id::text FROM hub.event ORDER BY id LIMIT 1").Scan(&id); err != nil {
		t.Fatal(err)
	}
	ids := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(ids, []byte(id+"\n01900000-0000-7000-8000-000000000001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, exit := runReplay(t, h, p, "verify", "--ids", ids)
	if exit != 3 || !strings.Contains(out, "gone message 01900000") || !strings.Contains(out, "entries replayed: 2,") {
		t.Errorf("exit %d: %s", exit, out)
	}
	used := p.ReplayTicket()
	if out, exit := runReplay(t, h, p, "verify", "--ticket", used); exit != 0 || !strings.Contains(out, fmt.Sprintf("entries replayed: %d,", 2*len(files))) {
		t.Errorf("the ticket's range: exit %d: %s", exit, out)
	}
	for name, args := range map[string][]string{
		"outside the ticket":  {"verify", "--from", "2010-01-01T00:00:00Z"},
		"another purpose":     {"verify", "--from", from, "--ticket", p.Ticket("prova", "open", id)},
		"a used ticket":       {"verify", "--from", from, "--ticket", used},
		"no ticket":           {"verify", "--from", from, "--ticket", ids},
		"no day":              {"verify", "--from", "2026-02-30"},
		"backwards":           {"verify", "--from", to, "--to", from},
		"no such ente":        {"verify", "--from", from, "--ente", "NESSUNO"},
		"nothing to try":      {"what-if", "--from", from},
		"a schema that is no": {"what-if", "--from", from, "--xsd", ids},
	} {
		if out, exit := runReplay(t, h, p, args...); exit != 4 {
			t.Errorf("%s: exit %d: %s", name, exit, out)
		}
	}
	report := filepath.Join(t.TempDir(), "report.html")
	table := filepath.Join(t.TempDir(), "report.csv")
	out, exit = runReplay(t, h, p, "what-if", "--from", from, "--to", to, "--html", report, "--csv", table,
		"--mapping", filepath.Join(hubtest.Root(), "internal", "sinba", "foglie.tsv"))
	page, err := os.ReadFile(report)
	if exit != 0 || err != nil || !bytes.Contains(page, []byte("mapping foglie.tsv")) {
		t.Errorf("exit %d, %v: %s %s", exit, err, out, page)
	}
	// One changed row is told and ends it with 2; what happened stands in the journal.
	if _, err := db.Exec(t.Context(), "UPDATE hub.event SET facts = facts || '\\x00' WHERE id = $1::uuid", id); err != nil {
		t.Fatal(err)
	}
	if out, exit := runReplay(t, h, p, verify...); exit != 2 || !strings.Contains(out, "different message "+id) || !strings.Contains(out, "facts") {
		t.Errorf("exit %d: %s", exit, out)
	}
	// So is a row that no replay reads, by the entry that says otherwise and its column.
	if _, err := db.Exec(t.Context(), "UPDATE hub.attempt SET state = 'refused' WHERE delivery_id = (SELECT d.id FROM hub.delivery d WHERE d.message_id = $1::uuid)", id); err != nil {
		t.Fatal(err)
	}
	if out, exit := runReplay(t, h, p, verify...); exit != 2 || !strings.Contains(out, "row message "+id+" delivery ") || !strings.Contains(out, " attempt 1: hub.attempt.state") {
		t.Errorf("exit %d: %s", exit, out)
	}
	var told []string
	for _, e := range hubtest.JournalEntries(t, db) {
		if e.Kind == journal.MessagesReplayed && e.Actor == hubtest.Anna && e.Reason == "prova annuale" {
			told = append(told, e.Outcome)
		}
	}
	if len(told) < 4 || told[0] != "verify_begun" || told[1] != "verify_equal" || told[len(told)-1] != "verify_different" {
		t.Errorf("entries %v", told)
	}
}

// replayRanges verifies ranges written as days, one that has no message, and one that has nothing at all.
func replayRanges(t *testing.T, h *hubtest.Hub, p *hubtest.People, from, began, whole string) {
	t.Helper()
	// Days that hold today in whatever zone.
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format(time.DateOnly) }
	if out, exit := runReplay(t, h, p, "verify", "--from", day(-1), "--to", day(1)); exit != 0 || out != whole {
		t.Errorf("days: exit %d: %s", exit, out)
	}
	if out, exit := runReplay(t, h, p, "verify", "--from", from, "--to", began); exit != 0 ||
		!strings.Contains(out, "no message was accepted or sent in this range") || !strings.Contains(out, "entries replayed: 0,") {
		t.Errorf("no messages: exit %d: %s", exit, out)
	}
	if out, exit := runReplay(t, h, p, "verify", "--from", "2020-01-01", "--to", "2020-01-31"); exit != 5 || !strings.Contains(out, "nothing to verify") {
		t.Errorf("nothing: exit %d: %s", exit, out)
	}
	// Its own entry, which says that it began, is nothing to verify.
	if out, exit := runReplay(t, h, p, "verify", "--from", time.Now().UTC().Format(time.RFC3339Nano), "--to", day(2)); exit != 5 {
		t.Errorf("nothing yet: exit %d: %s", exit, out)
	}
	if out, exit := runReplay(t, h, p, "what-if", "--from", "2020-01-01", "--to", "2020-01-31",
		"--mapping", filepath.Join(hubtest.Root(), "internal", "sinba", "foglie.tsv")); exit != 5 || !strings.Contains(out, "nothing to try") {
		t.Errorf("nothing to try: exit %d: %s", exit, out)
	}
}

// killAndResume kills a replay behind its first page until that once came before its end, and has the
// same command go on: its report is the one of a whole run.
func killAndResume(t *testing.T, h *hubtest.Hub, p *hubtest.People, verify []string, whole string) {
	t.Helper()
	const most = 40
	for try := range most {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("run%d", try))
		args := append([]string{}, append(verify, "--resume", path)...)
		cmd := replayCommand(t, h, p, args...)
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
		out, exit := runReplay(t, h, p, args...)
		if exit != 0 || out != whole {
			t.Fatalf("exit %d: %s, not %s", exit, out, whole)
		}
		if first < pages() {
			// It could not have made a connection when it had opened messages.
			if !bytes.Contains(status, []byte("Seccomp:\t2")) {
				t.Errorf("the process had no filter: %s", status)
			}
			if out, exit := runReplay(t, h, p, "verify", "--from", "2026-01-01T00:00:00Z", "--resume", path); exit != 4 {
				t.Errorf("another range went on with it: exit %d: %s", exit, out)
			}
			return
		}
	}
	t.Errorf("%d times killed, never before the end", most)
}

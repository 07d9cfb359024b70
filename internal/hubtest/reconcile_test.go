//go:build e2e

package hubtest_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// reconciledDay is a line of `sinbahub reconcile --json`.
type reconciledDay struct {
	Day       string `json:"day"`
	Different bool   `json:"different"`
	Types     []struct {
		Type    string `json:"event_type"`
		Ours    int    `json:"ours"`
		Near    int    `json:"near_midnight"`
		Theirs  int    `json:"theirs"`
		NotOurs int    `json:"not_ours"`
		State   string `json:"state"`
	} `json:"types"`
	Differences []struct {
		Delivery uuid.UUID `json:"id_trasmissione"`
		Kind     string    `json:"kind"`
	} `json:"differences"`
}

// reconcile runs `sinbahub reconcile`.
func reconcile(t *testing.T, h *hubtest.Hub, args ...string) (out string, exit int) {
	t.Helper()
	cmd := reconcileCommand(t, h, args...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func reconcileCommand(t *testing.T, h *hubtest.Hub, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"reconcile"}, args...)...)
	cmd.Env = append(cmd.Environ(), "SINBAHUB_VAR="+h.Var, "SINBAHUB_SISS_URL="+h.Run.SissURL)
	return cmd
}

// reconciled is reconcile --json of one day.
func reconciled(t *testing.T, h *hubtest.Hub, day string, wantExit int) (d reconciledDay) {
	t.Helper()
	out, exit := reconcile(t, h, "--day", day, "--json")
	if exit != wantExit {
		t.Fatalf("exit %d, want %d: %.2000s", exit, wantExit, out)
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.Day != day {
		t.Fatalf("%v: %.2000s", err, out)
	}
	return d
}

// TestE2EReconciliationListsWhatSissLostAndCountsWhatItInvented delivers all samples, lets the
// national endpoint lie about them, and compares on the next day.
func TestE2EReconciliationListsWhatSissLostAndCountsWhatItInvented(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := samples(t)
	if _, exit := send(t, h, files...); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, time.Minute)
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().In(rome).Format(time.DateOnly)
	if out, exit := reconcile(t, h, "--day", day); exit != 1 || !strings.Contains(out, "has not ended") {
		t.Errorf("today: exit %d: %.500s", exit, out)
	}
	// serve refuses a database whose clock a test has set.
	h.Terminate()
	hubtest.Await(t, time.Minute, "serve ends", func() bool { return !h.Alive() })
	clock := func(offset string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), `SELECT set_config('hub.test_offset', $1, false)`, offset); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET hub.clock_offset = %L', current_database(), current_setting('hub.test_offset')); END $$`); err != nil {
			t.Fatal(err)
		}
	}
	clock("1 day 10 minutes")
	defer func() {
		if _, err := db.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET hub.clock_offset', current_database()); END $$`); err != nil {
			t.Error(err)
		}
	}()
	equal := reconciled(t, h, day, 0)
	counted := 0
	for _, one := range equal.Types {
		counted += one.Ours + one.Near
		if one.State != "equal" {
			t.Errorf("%+v", one)
		}
	}
	if counted != len(files) || equal.Different {
		t.Errorf("%d of %d counted: %+v", counted, len(files), equal)
	}
	before := time.Now().In(rome).AddDate(0, 0, -3).Format(time.DateOnly)
	if out, exit := reconcile(t, h, "--day", before); exit != 0 || !strings.Contains(out, before+"  -") || !strings.Contains(out, "nothing to compare") {
		t.Errorf("a day before the first event: exit %d: %.500s", exit, out)
	}

	lost := uuid.MustParse(h.Received()[0].ID)
	h.LieAtSiss(siss.Lies{Forget: []uuid.UUID{lost}, Invent: []siss.Invention{{ID: uuid.New(), Type: "INTERVENTO", At: time.Now()}}})
	killReconciliation(t, h, day)
	if out, exit := reconcile(t, h, "--day", day); exit != 1 || !strings.Contains(out, "another process") {
		t.Errorf("while the killed one's lease holds: exit %d: %.500s", exit, out)
	}
	clock("1 day 20 minutes")
	different := reconciled(t, h, day, 3)
	notOurs := 0
	for _, one := range different.Types {
		notOurs += one.NotOurs
	}
	if len(different.Differences) != 1 || different.Differences[0].Delivery != lost || different.Differences[0].Kind != "unknown_there" || notOurs != 1 {
		t.Errorf("%+v", different)
	}
	if table, exit := reconcile(t, h, "--day", day); exit != 3 || !strings.Contains(table, lost.String()) || !strings.Contains(table, "INTERVENTO") {
		t.Errorf("exit %d: %.2000s", exit, table)
	}
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE state <> 'delivered'"); n != 0 {
		t.Errorf("%d deliveries are no longer delivered", n)
	}
	outcomes := map[string]int{}
	for _, e := range hubtest.JournalEntries(t, db) {
		// Those without an actor are serve's own, of the days before.
		if e.Kind == journal.Reconciled && e.Actor != "" {
			outcomes[e.Outcome]++
		}
	}
	if outcomes["equal"] != 2 || outcomes["different"] != 2 {
		t.Errorf("journal: %v", outcomes)
	}
	if err := syscall.Kill(h.Run.Pids.SissSim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out, exit := reconcile(t, h, "--day", day); exit != 1 || !strings.Contains(out, "does not answer") {
		t.Errorf("without SISS: exit %d: %.500s", exit, out)
	}
}

// killReconciliation kills a comparison while it waits for SISS to tell of a delivery.
func killReconciliation(t *testing.T, h *hubtest.Hub, day string) {
	t.Helper()
	h.MisbehaveSiss(siss.Faults{SlowMS: 10_000, Operations: []string{"statoTrasmissione"}})
	before := h.SissCounters()["fault/slow"]
	cmd := reconcileCommand(t, h, "--day", day)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hubtest.Await(t, time.Minute, "a question by id", func() bool { return h.SissCounters()["fault/slow"] > before })
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	h.MisbehaveSiss(siss.Faults{})
}

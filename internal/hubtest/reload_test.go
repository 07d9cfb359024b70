//go:build e2e

package hubtest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// settings are keys of the configuration file with dots between sections, and their values.
type settings map[string]any

// reconfigure changes keys of the running hub's file and asks it to reload.
func reconfigure(t *testing.T, h *hubtest.Hub, change settings) {
	t.Helper()
	file := filepath.Join(h.Var, "demo.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for key, value := range change {
		in := all
		section, rest, nested := strings.Cut(key, ".")
		if nested {
			in, section = all[section].(map[string]any), rest
		}
		in[section] = value
	}
	if text, err = yaml.Marshal(all); err != nil {
		t.Fatal(err)
	}
	writeAndHangUp(t, h, text)
}

// writeAndHangUp puts a text in the file's place and asks the hub to reload.
func writeAndHangUp(t *testing.T, h *hubtest.Hub, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.Var, "demo.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.Run.Pids.Serve, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// awaitLog waits until the log of serve has a line with all of these.
func awaitLog(t *testing.T, h *hubtest.Hub, parts ...string) {
	t.Helper()
	hubtest.Await(t, patience, "the log says "+strings.Join(parts, ", "), func() bool {
		text, err := os.ReadFile(filepath.Join(h.Var, "log", "serve.log"))
		if err != nil {
			t.Fatal(err)
		}
	lines:
		for line := range strings.Lines(string(text)) {
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue lines
				}
			}
			return true
		}
		return false
	})
}

// TestE2EConfigurationChangesWithoutARestart changes what can change, in one process, and then offers
// it what cannot, what is wrong, and what is no configuration: the old one stays whole.
func TestE2EConfigurationChangesWithoutARestart(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	before := h.Run.Pids.Serve
	sender := h.Sender(hubtest.ChildEnte)
	const child = hubtest.Child(12)
	if a := mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	softened := func(sequence int) []byte {
		return renamed(child.Event(uuid.New(), sequence), "Giudiziaria>2</", "Giudiziaria>1</")
	}
	if a := mustSend(t, sender, soap.V12, softened(2)); a.Receipt != nil {
		t.Fatalf("BR-08 refuses nothing: %s", a.Body)
	}
	// What can change.
	lenient := []map[string]any{{"rule": "BR-08", "until": "2199-12-31"}}
	reconfigure(t, h, settings{"rules.warning_only": lenient, "log.level": "warn", "admission.disk": 1 << 60})
	awaitLog(t, h, "configuration in force", "reloaded", "admission.disk", "log.level", "rules.warning_only")
	waitForMetric(t, h, `hub_admission_closed{reason="disk"} 1`)
	mustTurnAway(t, mustSend(t, sender, soap.V12, softened(2)), "SINBA_503")
	if a := echoWith(t, sender, "prova"); elementOf(a.Body, "Disponibile") != "false" || elementOf(a.Body, "Messaggio") != "prova" {
		t.Errorf("echo: %s", a.Body)
	}
	if status, body := admin(t, h, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "disk: not ready") {
		t.Errorf("readyz: %d %s", status, body)
	}
	reconfigure(t, h, settings{"admission.disk": 1})
	waitForMetric(t, h, `hub_admission_closed{reason="disk"} 0`)
	if a := mustSend(t, sender, soap.V12, softened(2)); a.Receipt == nil || len(a.Receipt.Avvisi) != 1 {
		t.Errorf("BR-08 does not only warn: %s", a.Body)
	}
	reconfigure(t, h, settings{"limits.rate": 1, "limits.burst": 1})
	status := func() int {
		return mustSend(t, sender, soap.V12, []byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"/>`)).Status
	}
	hubtest.Await(t, patience, "the lower rate is in force", func() bool { return status() == http.StatusTooManyRequests })
	reconfigure(t, h, settings{"limits.rate": 100_000, "limits.burst": 100_000})
	hubtest.Await(t, patience, "the higher rate is in force", func() bool {
		first, second := status(), status()
		return first == http.StatusOK && second == http.StatusOK
	})
	// What cannot, beside what could: nothing changes.
	reconfigure(t, h, settings{"listen": "127.0.0.1:9", "database.max_conns": 3, "limits.rate": 1, "limits.burst": 1})
	waitForMetric(t, h, "hub_config_reload_failures_total 1")
	awaitLog(t, h, "configuration refused", `"needs_restart":["listen","database.max_conns"]`)
	for range 5 {
		if a := echoWith(t, sender, "prova"); a.Status != http.StatusOK {
			t.Errorf("the refused rate is in force: %d", a.Status)
		}
	}
	// What is wrong, what cannot be softened, and nothing at all.
	for i, text := range []string{"{log: {level: loud}}", "{rules: {warning_only: [{rule: BR-23, until: 2199-12-31}]}}", ""} {
		writeAndHangUp(t, h, []byte(text))
		waitForMetric(t, h, "hub_config_reload_failures_total "+string(rune('2'+i)))
	}
	waitForMetric(t, h, "hub_config_last_reload_successful 0")
	if a := mustSend(t, sender, soap.V12, softened(3)); a.Receipt == nil {
		t.Errorf("the old severities are gone: %s", a.Body)
	}
	if h.Run.Pids.Serve != before || !h.Alive() {
		t.Error("serve is another process")
	}
	checkConfigurationJournal(t, h)
}

// checkConfigurationJournal wants the start and every change, each with a digest of its own and the
// severities in force.
func checkConfigurationJournal(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	var told []string
	digests := map[[32]byte]bool{}
	for _, e := range hubtest.JournalEntries(t, h.Superuser()) {
		if e.Kind != journal.ConfigurationChanged {
			continue
		}
		told = append(told, e.Outcome+": "+e.Reason)
		digests[e.Commitment] = true
		if e.Actor == "" || (e.Severities == [32]byte{}) != (e.Outcome == "started") {
			t.Errorf("%+v", e)
		}
	}
	want := []string{"started: ", "reloaded: admission.disk log.level rules.warning_only", "reloaded: admission.disk", "reloaded: limits.rate limits.burst", "reloaded: limits.rate limits.burst"}
	if strings.Join(told, "|") != strings.Join(want, "|") || len(digests) != len(want) {
		t.Errorf("journal tells %q with %d digests", told, len(digests))
	}
}

// TestE2EBacklogClosesTheDoorAndOpensItAgain: while the national endpoint is away, events that wait for
// it close the door once the oldest is too old; a case that only its own first event holds does not.
func TestE2EBacklogClosesTheDoorAndOpensItAgain(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_ADMISSION_BACKLOG=2s")
	sender := h.Sender(hubtest.ChildEnte)
	h.MisbehaveSiss(siss.Faults{UnavailableRatio: 1, Operations: []string{"trasmettiEvento", "statoTrasmissione", "echo"}})
	next := hubtest.Child(100)
	closed := func() bool {
		a := mustSend(t, sender, soap.V12, next.Event(uuid.New(), 1))
		next++
		if a.Receipt != nil {
			return false
		}
		mustTurnAway(t, a, "SINBA_503")
		if got := elementOf(a.Body, "Regola"); got != "door:backlog" {
			t.Errorf("Regola is %q", got)
		}
		return true
	}
	hubtest.Await(t, patience, "the backlog closes the door", closed)
	waitForMetric(t, h, `hub_admission_closed{reason="backlog"} 1`)
	if status, body := admin(t, h, "/readyz"); status != http.StatusOK || !strings.Contains(body, "door: closed, backlog") {
		t.Errorf("readyz: %d %s", status, body)
	}
	h.MisbehaveSiss(siss.Faults{})
	waitForMetric(t, h, `hub_admission_closed{reason="backlog"} 0`)
	if a := mustSend(t, sender, soap.V12, next.Event(uuid.New(), 1)); a.Receipt == nil {
		t.Errorf("after the backlog: %s", a.Body)
	}
}

//go:build e2e

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// closedText is what the operator of these tests tells.
const closedText = "Aggiornamento del database <PostgreSQL> fino alle 14 & oltre"

// TestE2EMaintenanceTakesNothingNewAndAnswersTheRest closes the door by the operators' verb and asks
// everything there is to ask: over SOAP, with clients that zeep and npm soap generate, over the admin
// listener; after a restart; and opens it again.
func TestE2EMaintenanceTakesNothingNewAndAnswersTheRest(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	sender := h.Sender(hubtest.ChildEnte)
	const child = hubtest.Child(11)
	known, fresh := uuid.New(), uuid.New()
	if a := mustSend(t, sender, soap.V12, child.Event(known, 1)); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	if out := verb(t, h, 0, "maintenance", "show"); !strings.Contains(out, "PROD: no maintenance.") {
		t.Error(out)
	}
	out := verb(t, h, 0, "maintenance", "on", "--text", closedText, "--until", "2h")
	for _, want := range []string{"in maintenance", closedText, "account:", "which nobody signed"} {
		if !strings.Contains(out, want) {
			t.Errorf("on does not say %q: %s", want, out)
		}
	}
	waitForMetric(t, h, `hub_admission_closed{reason="maintenance"} 1`)

	for _, version := range []soap.Version{soap.V11, soap.V12} {
		mustTurnAway(t, mustSend(t, sender, version, child.Event(fresh, 2)), "SINBA_504")
		mustTurnAway(t, mustSend(t, sender, version, lotOf(child.Event(known, 1), child.Event(fresh, 2))), "SINBA_504")
	}
	if a := mustSend(t, sender, soap.V12, child.Event(known, 1)); a.Receipt == nil || a.Receipt.Esito != hub.Duplicate.String() {
		t.Errorf("a repetition: %s", a.Body)
	}
	if a := mustSend(t, sender, soap.V12, renamed(child.Event(fresh, 2), "InviaEventoRichiesta", "VerificaEventoRichiesta")); a.Report == nil || !a.Report.Conforme {
		t.Errorf("a dry run: %s", a.Body)
	}
	question := `<StatoEventoRichiesta xmlns="urn:sinba:eventi:v1"><IdEvento>` + known.String() + `</IdEvento></StatoEventoRichiesta>`
	if a := mustSend(t, sender, soap.V12, []byte(question)); a.State == nil {
		t.Errorf("a question: %s", a.Body)
	}
	if a := echoWith(t, sender, "prova"); a.Header.Get("X-Sinba-Codice") != "SINBA_504" ||
		elementOf(a.Body, "Disponibile") != "false" || elementOf(a.Body, "Messaggio") != "Aggiornamento del database &lt;PostgreSQL&gt; fino alle 14 &amp; oltre" {
		t.Errorf("echo: %v %s", a.Header, a.Body)
	}
	if status, body := admin(t, h, "/readyz"); status != http.StatusOK || !strings.Contains(body, "door: closed, maintenance") {
		t.Errorf("readyz: %d %s", status, body)
	}
	for _, stack := range []stack{zeepDoorStack(), nodeDoorStack()} {
		checkDoorClients(t, h, stack)
	}

	// What a restarted hub finds is still in force before it takes anything.
	h.Terminate()
	h.Up()
	mustTurnAway(t, mustSend(t, sender, soap.V12, child.Event(fresh, 2)), "SINBA_504")
	verb(t, h, 0, "maintenance", "off", "--reason", "finito prima")
	waitForMetric(t, h, `hub_admission_closed{reason="maintenance"} 0`)
	if a := echoWith(t, sender, "prova"); a.Header.Get("X-Sinba-Codice") != "" || elementOf(a.Body, "Disponibile") != "true" || elementOf(a.Body, "Messaggio") != "prova" {
		t.Errorf("echo: %s", a.Body)
	}
	if a := mustSend(t, sender, soap.V12, child.Event(fresh, 2)); a.Receipt == nil || a.Receipt.Esito == hub.Duplicate.String() {
		t.Errorf("after the maintenance: %s", a.Body)
	}
	if out := verb(t, h, 0, "maintenance", "off"); !strings.Contains(out, "There was no maintenance.") {
		t.Error(out)
	}
	var acts []string
	for _, e := range hubtest.JournalEntries(t, h.Superuser()) {
		if e.Kind == journal.MaintenanceChanged {
			acts = append(acts, e.Outcome)
			if !strings.HasPrefix(e.Actor, "account:") {
				t.Errorf("by %q", e.Actor)
			}
			if e.Outcome == "on" && !strings.HasPrefix(e.Reason, closedText+" (until ") || e.Outcome == "off" && e.Reason != "finito prima" {
				t.Errorf("journal: %+v", e)
			}
		}
	}
	if want := []string{"on", "off"}; !slices.Equal(acts, want) {
		t.Errorf("journal has %q, want %q", acts, want)
	}
}

// TestE2EMaintenanceRefusesAnUnfitText: nothing of a person, nothing that echo cannot say, no end that
// has passed.
func TestE2EMaintenanceRefusesAnUnfitText(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	for _, args := range [][]string{
		{"--text", "fascicolo di RSSMRA85M01H501Q"},
		{"--text", "chiusura", "--reason", "STP0900010000001"},
		{"--text", strings.Repeat("a", 101)},
		{"--text", " "},
		{"--text", "a\nb"},
		{"--text", "chiusura", "--until", "2001-01-01T00:00"},
		{"--text", "chiusura", "--until", "domani"},
		{"--text", "chiusura", "--as", "Maria Rossi", "--key", "x"},
	} {
		out := verb(t, h, 1, append([]string{"maintenance", "on"}, args...)...)
		if strings.Contains(out, "RSSMRA") || strings.Contains(out, "STP09") {
			t.Errorf("the refusal quotes: %s", out)
		}
	}
	if out := verb(t, h, 0, "maintenance", "show"); !strings.Contains(out, "no maintenance") {
		t.Error(out)
	}
}

// verb runs the hub's binary on its var folder and gives what it printed.
func verb(t *testing.T, h *hubtest.Hub, exit int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), args...)
	cmd.Env = h.Environ()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != exit {
		t.Fatalf("%q: exit %d, want %d: %s", args, got, exit, out)
	}
	return string(out)
}

// mustTurnAway wants a 503 that says when to come back and why.
func mustTurnAway(t *testing.T, a *hubtest.Answer, code string) {
	t.Helper()
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if a.Status != http.StatusServiceUnavailable || err != nil || wait < 1 || a.Header.Get("X-Sinba-Codice") != code ||
		a.Fault == nil || !slices.Equal(hubtest.Codes(a.Fault.Findings), []string{code}) {
		t.Errorf("%d %v %s", a.Status, a.Header, a.Body)
	}
}

// lotOf makes a lot of whole single messages.
func lotOf(events ...[]byte) []byte {
	lot := []byte(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + uuid.NewString() + `</IdLotto>`)
	for _, event := range events {
		lot = append(lot, renamed(soap.TrimDeclaration(event), "InviaEventoRichiesta", "Evento")...)
	}
	return append(lot, "</InviaLottoRichiesta>"...)
}

// renamed gives a document's root another name.
func renamed(document []byte, from, to string) []byte {
	return bytes.ReplaceAll(document, []byte(from), []byte(to))
}

// echoWith calls echo.
func echoWith(t *testing.T, sender hubtest.Sender, message string) *hubtest.Answer {
	t.Helper()
	return mustSend(t, sender, soap.V12, fmt.Appendf(nil, `<EchoRichiesta xmlns="urn:sinba:eventi:v1"><Messaggio>%s</Messaggio></EchoRichiesta>`, message))
}

// admin reads a page of the admin listener.
func admin(t *testing.T, h *hubtest.Hub, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.Run.AdminURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// zeepDoorStack and nodeDoorStack are clients that call echo and inviaEvento once.
func zeepDoorStack() stack {
	return stack{name: "zeep", build: func(*testing.T, string, string, string) programs {
		return programs{steps: []string{"/usr/bin/python3", clientFile("zeep_door.py", "")}}
	}}
}

func nodeDoorStack() stack {
	return stack{name: "node", build: func(*testing.T, string, string, string) programs {
		return programs{steps: []string{"node", clientFile("node", "door.js")}}
	}}
}

// doorSaid is what such a client tells of a closed door.
type doorSaid struct {
	Disponibile bool   `json:"disponibile"`
	Messaggio   string `json:"messaggio"`
	Status      int    `json:"status"`
	RetryAfter  string `json:"retry_after"`
	Codice      string `json:"codice"`
	Text        string `json:"text"`
}

// checkDoorClients runs such a client in both SOAP versions: what a vendor's program sees of a
// maintenance is the status, Retry-After and the code, and where its stack shows faults the text.
func checkDoorClients(t *testing.T, h *hubtest.Hub, s stack) {
	t.Helper()
	p := h.Participant(hubtest.ChildEnte)
	for _, version := range []string{"SOAP11", "SOAP12"} {
		command := s.build(t, "", "", "").steps
		args := append(slices.Clone(command[1:]), h.Run.WSDLURL, version, p.APIUser, p.APIPasswordFile)
		var said doorSaid
		if err := json.Unmarshal(runTool(t, t.TempDir(), command[0], args...), &said); err != nil {
			t.Fatal(err)
		}
		wait, err := strconv.Atoi(said.RetryAfter)
		if said.Disponibile || said.Messaggio != closedText || said.Status != http.StatusServiceUnavailable || err != nil || wait < 1 ||
			said.Codice != "SINBA_504" || !strings.Contains(said.Text, closedText) {
			t.Errorf("%s %s: %+v", s.name, version, said)
		}
	}
}

//go:build e2e

package hubtest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2EClientsOfOtherStacksCallEveryOperation generates clients from the served WSDL with the
// two stacks that need no compiler, in both SOAP versions; TestSmokeClients does it with all.
func TestE2EClientsOfOtherStacksCallEveryOperation(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	for _, stack := range []stack{zeepStack(), nodeStack()} {
		runStack(t, h, stack, nil)
	}
}

// sampleOf finds the first sample of an ente and event type.
func sampleOf(t *testing.T, ente, eventType string) string {
	t.Helper()
	for _, file := range samples(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("<TipoEvento>"+eventType+"</TipoEvento>")) && enteOf(t, file) == ente {
			return file
		}
	}
	t.Fatalf("no sample of %s %s", ente, eventType)
	return ""
}

// sentLine is a line of `sinbahub send --json`.
type sentLine struct {
	File       string `json:"file"`
	Esito      string `json:"esito"`
	IDRicevuta string `json:"id_ricevuta"`
	IDEvento   string `json:"id_evento"`
	Status     int    `json:"http_status"`
	Anomalie   []struct {
		Codice    string `json:"codice"`
		Posizione string `json:"posizione"`
	} `json:"anomalie"`
}

// send runs `sinbahub send --json` and gives its lines and exit code.
func send(t *testing.T, h *hubtest.Hub, args ...string) (lines []sentLine, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"send", "--json"}, args...)...)
	cmd.Env = h.Environ()
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	for scanner.Scan() {
		var line sentLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, scanner.Bytes())
		}
		lines = append(lines, line)
	}
	return lines, cmd.ProcessState.ExitCode()
}

// TestE2ESamplesReachTheNationExactlyOnce sends every sample twice and compares the receipts
// with what the simulator took.
func TestE2ESamplesReachTheNationExactlyOnce(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := samples(t)
	first, exit := send(t, h, files...)
	if exit != 0 || len(first) != len(files) {
		t.Fatalf("exit %d, %d of %d answered: %+v", exit, len(first), len(files), refusedOf(first))
	}
	again, exit := send(t, h, files...)
	if exit != 0 {
		t.Fatalf("exit %d for repetitions: %+v", exit, refusedOf(again))
	}
	for i := range first {
		if !strings.HasPrefix(first[i].Esito, "ACCETTATO") || again[i].Esito != "DUPLICATO" || first[i].IDRicevuta != again[i].IDRicevuta {
			t.Errorf("%s: %+v then %+v", filepath.Base(files[i]), first[i], again[i])
		}
	}
	hubtest.AwaitDelivered(t, h.Superuser(), time.Minute)
	received := h.Received()
	seen := map[string]int{}
	for _, r := range received {
		seen[r.ID]++
		if r.Esito != "ACCETTATO" {
			t.Errorf("transmission %s: %s", r.ID, r.Esito)
		}
	}
	if len(seen) != len(files) || len(received) != len(files) {
		t.Errorf("%d transmissions of %d ids, want %d once each", len(received), len(seen), len(files))
	}
	if _, exit := send(t, h, filepath.Join(hubtest.Root(), "testdata", "bad", "25-rules-several.xml")); exit != 3 {
		t.Errorf("exit %d for a refused document, want 3", exit)
	}
	if _, exit := send(t, h, "--url", "http://127.0.0.1:1/", "--user", "x", files[0]); exit != 4 {
		t.Errorf("exit %d for an unreachable hub, want 4", exit)
	}
}

func refusedOf(lines []sentLine) []sentLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l sentLine) bool { return strings.HasPrefix(l.Esito, "ACC") || l.Esito == "DUPLICATO" })
}

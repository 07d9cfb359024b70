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

// clientReport is what both client scripts print.
type clientReport struct {
	Echo struct {
		Messaggio   string `json:"messaggio"`
		Disponibile bool   `json:"disponibile"`
	} `json:"echo"`
	Verifica struct {
		Conforme bool   `json:"conforme"`
		Esito    string `json:"esito"`
	} `json:"verifica"`
	Receipt   clientReceipt `json:"receipt"`
	Again     clientReceipt `json:"again"`
	Stato     string        `json:"stato"`
	Conflict  []clientFault `json:"conflict"`
	Fault     []clientFault `json:"fault"`
	Riepilogo []clientFault `json:"riepilogo"`
	Lotto     []clientFault `json:"lotto"`
}

type clientReceipt struct {
	IDRicevuta      string `json:"IdRicevuta"`
	IDMessaggio     string `json:"IdMessaggio"`
	IDEvento        string `json:"IdEvento"`
	Esito           string `json:"Esito"`
	Impronta        string `json:"ImprontaMessaggio"`
	Sale            string `json:"SaleImpronta"`
	IDRegistrazione string `json:"IdRegistrazione"`
}

type clientFault struct {
	Codice      string `json:"codice"`
	Posizione   string `json:"posizione"`
	Descrizione string `json:"descrizione"`
	EN          string `json:"en"`
}

// TestE2EClientsOfOtherStacksCallEveryOperation generates clients from the served WSDL with two
// stacks in both SOAP versions.
func TestE2EClientsOfOtherStacksCallEveryOperation(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	root := hubtest.Root()
	// Both are of one ente, for which the clients have the credential.
	good := sampleOf(t, "SDS-PI", "APERTURA_CARTELLA")
	bad := filepath.Join(root, "testdata", "bad", "25-rules-several.xml")
	stacks := map[string][]string{
		"zeep": {"/usr/bin/python3", filepath.Join(root, "internal/hubtest/clients/zeep_client.py")},
		"node": {"node", filepath.Join(root, "internal/hubtest/clients/node/client.js")},
	}
	for stack, command := range stacks {
		for _, version := range []string{"SOAP11", "SOAP12"} {
			t.Run(stack+"/"+version, func(t *testing.T) {
				t.Parallel()
				p := h.Participant("SDS-PI")
				args := append(slices.Clone(command[1:]), h.Run.WSDLURL, version, p.APIUser, p.APIPasswordFile, good, bad)
				cmd := exec.CommandContext(t.Context(), command[0], args...)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("client: %v\n%s\n%s", err, stderr.String(), out)
				}
				checkReport(t, out)
			})
		}
	}
}

func checkReport(t *testing.T, out []byte) {
	t.Helper()
	var r clientReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r.Echo.Messaggio != "prova" || !r.Echo.Disponibile {
		t.Errorf("echo: %+v", r.Echo)
	}
	if !r.Verifica.Conforme || r.Verifica.Esito != "ACCETTATO" {
		t.Errorf("verifica: %+v", r.Verifica)
	}
	if r.Receipt.Esito != "ACCETTATO" || r.Again.Esito != "DUPLICATO" {
		t.Errorf("outcomes %q then %q", r.Receipt.Esito, r.Again.Esito)
	}
	first, again := r.Receipt, r.Again
	if first.IDMessaggio == again.IDMessaggio {
		t.Error("the repetition got the first attempt's IdMessaggio")
	}
	again.Esito, again.IDMessaggio = first.Esito, first.IDMessaggio
	if first != again || first.IDRicevuta == "" || len(first.Sale) != 32 || len(first.Impronta) != 64 {
		t.Errorf("not the first receipt:\n%+v\n%+v", first, again)
	}
	if !slices.Contains([]string{"MEMORIZZATO", "IN_INOLTRO", "CONFERMATO"}, r.Stato) {
		t.Errorf("stato %q", r.Stato)
	}
	for name, faults := range map[string][]clientFault{"conflict": r.Conflict, "riepilogo": r.Riepilogo, "lotto": r.Lotto} {
		want := map[string]string{"conflict": "SINBA_110", "riepilogo": "SINBA_504", "lotto": "SINBA_504"}[name]
		if len(faults) != 1 || faults[0].Codice != want {
			t.Errorf("%s: %+v, want %s", name, faults, want)
		}
	}
	if len(r.Fault) < 3 {
		t.Errorf("a client must read all violations of a fault, got %+v", r.Fault)
	}
	for _, f := range r.Fault {
		if f.Codice == "" || f.Posizione == "" || f.Descrizione == "" || f.EN == "" {
			t.Errorf("violation not whole: %+v", f)
		}
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

// samples are the sample events in the order in which they happened.
func samples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata", "events", "*", "*.xml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d samples, want at least 40: %v", len(files), err)
	}
	slices.Sort(files)
	return files
}

// enteOf reads the CodiceEnte of a sample, whatever its prefix.
func enteOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "CodiceEnte>")
	code, _, _ := strings.Cut(rest, "<")
	return code
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
	cmd.Env = append(os.Environ(), "SINBAHUB_VAR="+h.Var)
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

//go:build smoke

package hubtest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// gowsdlReport is what clients/gowsdl prints.
type gowsdlReport struct {
	Messaggio    string `json:"messaggio"`
	Disponibile  bool   `json:"disponibile"`
	IDEvento     string `json:"id_evento"`
	Stato        string `json:"stato"`
	Tentativi    int    `json:"tentativi"`
	InstantRead  bool   `json:"instant_read"`
	Fault        string `json:"fault"`
	FaultIsXML   bool   `json:"fault_is_xml"`
	Fault200     string `json:"fault_200"`
	Fault200Text string `json:"fault_200_text"`
	DryRun       string `json:"dry_run"`
	DryRunCode   string `json:"dry_run_code"`
	Bounded      string `json:"bounded"`
	LotWritten   string `json:"lot_written"`
	LotRead      string `json:"lot_read"`
	Closes       bool   `json:"closes"`
	Empty        bool   `json:"empty"`
}

// TestSmokeGowsdlEchoesAndAsks generates gowsdl's client from the served WSDL, calls the two
// operations for which it is right, and holds fast why it is not used for the others
// (internal/adr/0005-go-clients.md): a generator that got better breaks this test.
func TestSmokeGowsdlEchoesAndAsks(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	id := uuid.New()
	a, err := h.Sender(hubtest.ChildEnte).Send(t.Context(), soap.V12, hubtest.Child(1).Event(id, 1))
	if err != nil || a.Receipt == nil {
		t.Fatalf("%v %s", err, a.Body)
	}
	p := h.Participant(hubtest.ChildEnte)
	cmd := exec.CommandContext(t.Context(), gowsdlClient(t, h.Run.WSDLURL), h.Run.SoapURL, p.APIUser, p.APIPasswordFile, id.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("client: %v\n%s", err, stderr.String())
	}
	t.Logf("%s", out)
	var got gowsdlReport
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Messaggio != "però <1 & più>" || !got.Disponibile {
		t.Errorf("echo: %q %v", got.Messaggio, got.Disponibile)
	}
	if got.IDEvento != id.String() || !slices.Contains([]string{"MEMORIZZATO", "IN_INOLTRO", "CONFERMATO"}, got.Stato) || got.Tentativi < 0 {
		t.Errorf("statoEvento: %s %s %d", got.IDEvento, got.Stato, got.Tentativi)
	}
	const conflict = "conflicts with name"
	if !strings.Contains(got.LotWritten, conflict) || !strings.Contains(got.LotRead, conflict) {
		t.Errorf("lots: %q, %q", got.LotWritten, got.LotRead)
	}
	wrong := got
	wrong.Messaggio, wrong.Disponibile, wrong.IDEvento, wrong.Stato, wrong.Tentativi, wrong.LotWritten, wrong.LotRead = "", false, "", "", 0, "", ""
	if diff := cmp.Diff(gowsdlReport{
		InstantRead: false,
		Fault:       "*soap.HTTPError", FaultIsXML: true,
		Fault200: "*soap.SOAPFault", Fault200Text: "text",
		DryRun: `<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"><Testata><DataOraEvento></DataOraEvento></Testata>` +
			`<Cartella><DataApertura></DataApertura></Cartella></InviaEventoRichiesta>`,
		DryRunCode: "SINBA_011",
		Bounded:    "ptr",
		Closes:     true,
		Empty:      true,
	}, wrong); diff != "" {
		t.Errorf("what gowsdl does wrong has changed; if it is better, so may the ADR be (-was +now):\n%s", diff)
	}
}

// gowsdlClient generates and compiles the client in a folder of its own, so that nothing generated
// stands in the project. Its module has its own go.mod: the hub's does not know gowsdl.
func gowsdlClient(t *testing.T, wsdlURL string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(hubtest.Root(), "internal/hubtest/clients/gowsdl"))); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "client")
	for _, args := range [][]string{
		{"tool", "gowsdl", "-d", dir, "-p", "sinba", "-o", "sinba.go", wsdlURL},
		{"build", "-mod=readonly", "-o", binary, "."},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	return binary
}

//go:build e2e

package hubtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// writeFlow runs `sinbahub flusso`.
func writeFlow(t *testing.T, h *hubtest.Hub, ente, day, file string) (out string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "flusso", "--ente", ente, "--riferimento", day, "-o", file)
	cmd.Env = h.Environ()
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// TestE2EFlowHasTheRecordsOfAnEnte sends whole histories through the door and writes the national
// flow beside the running hub.
func TestE2EFlowHasTheRecordsOfAnEnte(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := slices.DeleteFunc(samples(t), func(file string) bool {
		return !strings.Contains(file, "01-scuola") && !strings.Contains(file, "06-arretrato")
	})
	if lines, exit := send(t, h, files...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	hubtest.AwaitDelivered(t, h.Superuser(), time.Minute)

	file := filepath.Join(t.TempDir(), "flusso.xml")
	if out, exit := writeFlow(t, h, "SDS-GR", "2023-12-31", file); exit != 0 || !strings.Contains(out, "- records, 0 cases incomplete") {
		t.Fatalf("exit %d: %s", exit, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	schema, err := xsd.FS.ReadFile(xsd.FlussoSinba)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := xmlschema.Compile(xsd.FlussoSinba, map[string][]byte{xsd.FlussoSinba: schema})
	if err != nil {
		t.Fatal(err)
	}
	if verdict, err := compiled.Check(text, xmlschema.Judge); err != nil || verdict.Status != xmlschema.Valid {
		t.Errorf("the flow does not conform: %v %v", verdict, err)
	}
	// The child has the code under which the nation knows it from the events.
	_, rest, _ := strings.Cut(string(text), `IDBeneficiario="`)
	code, _, _ := strings.Cut(rest, `"`)
	if len(code) != 20 || !slices.ContainsFunc(h.Received(), func(r hubtest.Received) bool { return strings.Contains(r.Event, code) }) {
		t.Errorf("%q is no code of the national events", code)
	}
	checkRecord(t, "SDS-GR", "2023-12-31", string(text), "06-arretrato-SDS-GR-GR-2019-0206.txt")
	// This case has a rettifica of its assessment and a service that was annulled.
	school := filepath.Join(t.TempDir(), "flusso.xml")
	if out, exit := writeFlow(t, h, "SDS-FI", "2023-12-31", school); exit != 0 {
		t.Fatalf("exit %d: %s", exit, out)
	}
	if text, err := os.ReadFile(school); err != nil {
		t.Error(err)
	} else {
		checkRecord(t, "SDS-FI", "2023-12-31", string(text), "01-scuola-SDS-FI-2023_00412-fi.txt")
	}
	if _, exit := writeFlow(t, h, "SDS-GR", "2023-12-31", file); exit != 1 {
		t.Errorf("exit %d for a file that is there, want 1", exit)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, text) {
		t.Error("a file that was there is another one now")
	}
	if _, exit := writeFlow(t, h, "SDS-XX", "2023-12-31", file+"2"); exit != 1 {
		t.Errorf("exit %d for an unknown ente, want 1", exit)
	}
}

// checkRecord compares the only record of a flow, but for the child's code, with what internal/sinba
// makes of the same history.
func checkRecord(t *testing.T, ente, day, flow, golden string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(hubtest.Root(), "internal", "sinba", "testdata", "flusso", golden))
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(text), "# "+day+": due\n")
	want, _, _ = strings.Cut(want, "#")
	code := regexp.MustCompile(`IDBeneficiario="[A-Z2-7]*"`)
	_, record, _ := strings.Cut(flow, "<SINBA")
	record, _, _ = strings.Cut("<SINBA"+record, "</Flusso>")
	record = strings.NewReplacer("><", ">\n<", " ", "\n  ").Replace(record)
	if diff := cmp.Diff(code.ReplaceAllString(want, ""), code.ReplaceAllString(record, "")); diff != "" {
		t.Errorf("%s: %s", ente, diff)
	}
}

// TestE2EFlowTellsWhatItLeavesOut looks at the cases of two children that have no assessment yet.
func TestE2EFlowTellsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := slices.DeleteFunc(samples(t), func(file string) bool { return !strings.Contains(file, "02-gemelle") })
	if lines, exit := send(t, h, files...); exit != 0 {
		t.Fatalf("exit %d: %+v", exit, refusedOf(lines))
	}
	file := filepath.Join(t.TempDir(), "flusso.xml")
	out, exit := writeFlow(t, h, "SDS-EM", "2023-12-31", file)
	// Once for each case, and once with their number.
	if exit != 3 || !strings.Contains(out, "0 records, - cases incomplete") || strings.Count(out, "ValutazioneMinore") != 3 {
		t.Errorf("exit %d: %s", exit, out)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	checkFigures(t, h, "SDS-EM", "2023-12-31")
	first := hubtest.Number(t, h.Superuser(), "SELECT count(*) FROM hub.event WHERE position = 1 AND strpos($1, event_id::text) > 0", out)
	if first != 2 {
		t.Errorf("%d of the cases are told by their first event: %s", first, out)
	}
	for _, identity := range []string{"EM/2022", "Bartolini", "BRTM"} {
		if strings.Contains(out, identity) {
			t.Errorf("%q is told", identity)
		}
	}
}

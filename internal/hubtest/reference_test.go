//go:build e2e

package hubtest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2EReferenceDataChangeWhileEventsFlow loads one list and then the other, again and again, while
// senders send an event about a municipality that only one of them has. None may be refused, and
// each must have been judged by the version that it carries.
func TestE2EReferenceDataChangeWhileEventsFlow(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	const header, town = "codice\tda\ta\tnome\n", "150001\tM900\t\t\tXX\t17\tNUOVO COMUNE\n"
	with := lists(t, codelist.Files{codelist.Municipalities: append(bytes.Clone(codelist.Builtin()[codelist.Municipalities]), town...)})
	without := lists(t, codelist.Files{codelist.Nomenclature: []byte(header + "V.1\t\t\tVoce\n")})
	faulty := lists(t, codelist.Files{codelist.Nomenclature: []byte(header)})

	type sent struct {
		receipt string
		warned  bool
	}
	var lock sync.Mutex
	var all []sent
	var children atomic.Int32
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			sender := h.Sender("SDS-PI")
			for {
				select {
				case <-stop:
					return
				default:
				}
				document := bytes.Replace(hubtest.Child(children.Add(1)).Event(uuid.New(), 1), []byte("</Identificativo>"),
					[]byte("</Identificativo><Anagrafica><Sesso>F</Sesso><DataNascita>2012-01-01</DataNascita><CodiceCittadinanza>380</CodiceCittadinanza><Residenza><CodiceNazione>380</CodiceNazione><CodiceComune>150001</CodiceComune></Residenza></Anagrafica>"), 1)
				a, err := sender.Send(t.Context(), soap.V11, document)
				if err != nil || a.Receipt == nil {
					t.Errorf("not accepted: %v", err)
					return
				}
				lock.Lock()
				all = append(all, sent{a.Receipt.IDRicevuta, slices.Contains(hubtest.Codes(a.Receipt.Avvisi), "SINBA_360")})
				lock.Unlock()
			}
		})
	}
	version := map[string]string{}
	for i := range 6 {
		dir := []string{with, without}[i%2]
		if code, out := reference(t, h, "load", dir); code != 0 {
			t.Fatal(out)
		}
		if code, out := reference(t, h, "check", faulty); code != 3 || !bytes.Contains(out, []byte("nomenclatore.tsv: has a header and no row")) {
			t.Error(code, string(out))
		}
		if err := syscall.Kill(h.Run.Pids.Serve, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		version[dir] = versionOf(t, dir)
		waitForMetric(t, h, `hub_reference_info{version="`+version[dir]+`"} 1`)
	}
	close(stop)
	senders.Wait()

	db := h.Superuser()
	counts := map[string]int{}
	for _, s := range all {
		var judged string
		if err := db.QueryRow(t.Context(), "SELECT reference_version FROM hub.event WHERE id = $1", s.receipt).Scan(&judged); err != nil {
			t.Fatal(err)
		}
		counts[judged]++
		if s.warned == (judged == version[with]) {
			t.Errorf("judged by %s, warned: %v", judged, s.warned)
		}
	}
	if counts[version[with]] == 0 || counts[version[without]] == 0 {
		t.Error("not both versions judged", counts)
	}
	t.Log(len(all), "events", counts)
}

// lists makes a folder of lists.
func lists(t *testing.T, files codelist.Files) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// versionOf gives the version that a folder's lists make with those in the binary.
func versionOf(t *testing.T, dir string) string {
	t.Helper()
	own, err := codelist.Read(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return codelist.Builtin().With(own).Version()
}

// reference runs sinbahub reference for a hub.
func reference(t *testing.T, h *hubtest.Hub, verb, dir string) (code int, out []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), "reference", verb, dir)
	cmd.Env = h.Environ()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out
}

//go:build e2e

package hubtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2ESendLot sends files as lots from the command line: the lines, their order and the exit code
// are those of sending them one by one. What cannot stand in a lot is judged as well, and spoils nothing.
func TestE2ESendLot(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	files := samples(t)
	first, exit := send(t, h, append([]string{"--lot"}, files...)...)
	if exit != 0 || len(first) != len(files) {
		t.Fatalf("exit %d, %d lines: %+v", exit, len(first), refusedOf(first))
	}
	requests := func() float64 {
		sum := 0.0
		for name, n := range h.Samples() {
			if strings.HasPrefix(name, "hub_exchanges_total{") && strings.Contains(name, `operation="inviaLotto"`) {
				sum += n
			}
		}
		return sum
	}
	if n := requests(); n == 0 || n > float64(len(files))/4 {
		t.Errorf("%v lots for %d files", n, len(files))
	}

	// Again, with what is wrong between them, and more than a lot holds of one sender.
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.xml")
	wrong := filepath.Join(dir, "wrong.xml")
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		broken: string(text[:len(text)-9]),
		wrong:  rewrite(string(text), map[string]string{"IdEvento": uuid.NewString(), "CodiceFiscale": "DNGNCL12E09D612A"}),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := slices.Concat([]string{"--lot"}, files[:5], []string{broken}, files[5:], []string{wrong}, slices.Repeat(files[:1], 101))
	second, exit := send(t, h, again...)
	if exit != 3 || len(second) != len(again)-1 {
		t.Fatalf("exit %d, %d lines of %d", exit, len(second), len(again)-1)
	}
	receipts := map[string]string{}
	for _, line := range first {
		receipts[line.File] = line.IDRicevuta
	}
	for i, line := range second {
		if line.File != again[i+1] {
			t.Fatalf("line %d is of %s, not of %s", i, line.File, again[i+1])
		}
		checkLotLine(t, line, receipts, broken, wrong)
	}
	if n := hubtest.Number(t, h.Superuser(), "SELECT count(*) FROM hub.event"); n != int64(len(files)) {
		t.Errorf("%d events are stored, of %d", n, len(files))
	}
}

// checkLotLine wants the first receipt again, or the refusal of the file alone.
func checkLotLine(t *testing.T, line sentLine, receipts map[string]string, broken, wrong string) {
	t.Helper()
	codes := map[string]string{broken: "SINBA_001", wrong: "SINBA_303"}
	switch code := codes[line.File]; {
	case code != "":
		if line.Esito != "RIFIUTATO" || len(line.Anomalie) == 0 || line.Anomalie[0].Codice != code {
			t.Errorf("%s, want %s: %+v", filepath.Base(line.File), code, line)
		}
	case line.Esito != "DUPLICATO" || line.IDRicevuta == "" || line.IDRicevuta != receipts[line.File]:
		t.Errorf("%s again: %+v", filepath.Base(line.File), line)
	}
}

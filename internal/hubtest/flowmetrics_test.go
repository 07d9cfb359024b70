//go:build e2e

package hubtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// checkFigures wants the figures of two incomplete records of an ente: alone, where to tell of them is
// all that was asked for, and over an older file together with a flow, which has no record.
func checkFigures(t *testing.T, h *hubtest.Hub, ente, day string) {
	t.Helper()
	dir := t.TempDir()
	figures, file := filepath.Join(dir, "sinba.prom"), filepath.Join(dir, "flusso.xml")
	for _, run := range []struct {
		args []string
		exit int
	}{
		{[]string{"--metrics", figures}, 0},
		{[]string{"--metrics", figures, "-o", file}, 3},
		{nil, 1},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), append([]string{"flusso", "--ente", ente, "--riferimento", day}, run.args...)...)
		cmd.Env = h.Environ()
		out, _ := cmd.CombinedOutput()
		if exit := cmd.ProcessState.ExitCode(); exit != run.exit {
			t.Fatalf("exit %d for %q, want %d: %s", exit, run.args, run.exit, out)
		}
		if run.args == nil {
			return
		}
		text, err := os.ReadFile(figures)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`hub_record_cases{ente="SDS-EM",standing="complete"} 0`, `hub_record_reference_timestamp_seconds{ente="SDS-EM"} 1.703`,
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		// Two children are too few to be counted in a file that others read.
		if strings.Contains(string(text), `standing="incomplete"`) || strings.Contains(string(text), "hub_record_missing_cases{") {
			t.Errorf("small numbers are told:\n%s", text)
		}
		if !strings.Contains(string(out), "ValutazioneMinore") || !strings.Contains(string(out), "MISSING") {
			t.Errorf("the summary does not say what is missing: %s", out)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

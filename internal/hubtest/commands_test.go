//go:build e2e || smoke

package hubtest_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// verifier builds sinbaverify and gives what runs it on a bundle: its exit code, and what it says.
func verifier(t *testing.T) func(bundle string, flags ...string) (int, string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sinbaverify")
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=readonly", "-o", binary, "./cmd/sinbaverify")
	build.Dir = hubtest.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return func(bundle string, flags ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), binary, append(append([]string{"bundle"}, flags...), bundle)...)
		out, err := cmd.CombinedOutput()
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			return ended.ExitCode(), string(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}
}

// hubVerb runs a command of the hub's binary over the hub's folder.
func hubVerb(t *testing.T, h *hubtest.Hub, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(hubtest.Binaries(t), "sinbahub"), args...)
	cmd.Dir = hubtest.Root()
	cmd.Env = h.Environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// elementOf is the text of the first element of a name, as it is written.
func elementOf(body []byte, name string) string {
	_, rest, _ := strings.Cut(string(body), "<"+name+">")
	text, _, _ := strings.Cut(rest, "</"+name+">")
	return text
}

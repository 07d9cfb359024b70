package journal_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/journal"
)

func openWitness(t *testing.T, dir string) *journal.Witness {
	t.Helper()
	w, err := journal.OpenWitness(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func last(t *testing.T, w *journal.Witness) string {
	t.Helper()
	note, err := w.Last()
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func see(t *testing.T, w *journal.Witness, at time.Time, note string) {
	t.Helper()
	if err := w.Append(journal.Checkpoint{At: at, Note: note}); err != nil {
		t.Fatal(err)
	}
}

// TestWitnessRemembersTheLastCheckpoint: over days, over another process, and over a crash in the middle
// of a line, after which it goes on.
func TestWitnessRemembersTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "witness")
	w := openWitness(t, dir)
	if last(t, w) != "" {
		t.Error("an empty witness has seen something")
	}
	day := time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)
	see(t, w, day, "a\n\n— b\n")
	see(t, openWitness(t, dir), day.Add(time.Hour), "c\n")
	if got := last(t, w); got != "c\n" {
		t.Errorf("%q", got)
	}
	path := filepath.Join(dir, "checkpoints-2026-11-23")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range text {
		if err := os.WriteFile(path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := last(t, w); got != "a\n\n— b\n" {
			t.Fatalf("cut at %d: %q", cut, got)
		}
	}
	see(t, w, day.Add(time.Hour), "d\n")
	if got := last(t, w); got != "d\n" {
		t.Errorf("after a torn line: %q", got)
	}
}

func TestWitnessBeginsAnew(t *testing.T) {
	t.Parallel()
	w := openWitness(t, t.TempDir())
	now := time.Now()
	if aside, err := w.SetAside(now); err != nil || aside != "" {
		t.Errorf("nothing was there: %q %v", aside, err)
	}
	see(t, w, now, "a\n")
	aside, err := w.SetAside(now)
	if err != nil || last(t, w) != "" {
		t.Fatal(err)
	}
	if last(t, openWitness(t, aside)) != "a\n" {
		t.Error("what was there is gone")
	}
}

//go:build e2e || smoke

package hubtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

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

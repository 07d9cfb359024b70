//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
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

// written tells whether something stands in a file.
func written(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

// mustSend sends one document and gives the answer, whatever it says.
func mustSend(t *testing.T, s hubtest.Sender, v soap.Version, document []byte) *hubtest.Answer {
	t.Helper()
	a, err := s.Send(t.Context(), v, document)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// waitForMetric waits until a sample is shown.
func waitForMetric(t *testing.T, h *hubtest.Hub, sample string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !bytes.Contains(h.Metrics(), []byte(sample+"\n")) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never shown:", sample)
		}
	}
}

// metricOf reads one sample of the admin listener.
func metricOf(t *testing.T, h *hubtest.Hub, sample string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\d+)$`).FindSubmatch(h.Metrics())
	if found == nil {
		t.Fatalf("no metric %s", sample)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

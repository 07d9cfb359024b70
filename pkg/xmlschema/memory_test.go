package xmlschema_test

import (
	"bytes"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// residentKB is the memory of this process that is in use, C's and Go's, without what Go keeps
// for later.
func residentKB(tb testing.TB) int {
	tb.Helper()
	debug.FreeOSMemory()
	for line := range strings.Lines(string(read(tb, "/proc/self/status"))) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				tb.Fatal(err)
			}
			return kb
		}
	}
	tb.Fatal("no VmRSS")
	return 0
}

// A leak of 32 bytes a document shows after 20,000 of them. These tests are not parallel, so that no
// other test's memory is counted.
func TestChecksKeepNoMemory(t *testing.T) { //nolint:paralleltest // measures the whole process's memory
	s := eventSchema(t)
	event := samples(t)["caricamento-iniziale.xml"]
	docs := [][]byte{
		envelope(soap12, event),
		envelope(soap11, bytes.ReplaceAll(event, []byte("2024-"), []byte("x024-"))),
		event[:len(event)/2],
		[]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`),
		[]byte(`<Envelope xmlns="urn:u"/>`),
		{0xFF, 0xFE, '<', 0},
	}
	round := func(n int) {
		for range n / len(docs) {
			for _, c := range s.CheckAll(docs, xmlschema.Envelope) {
				if c.Err != nil {
					t.Fatal(c.Err)
				}
			}
		}
	}
	round(3000)
	// What leaks grows every time; what Go and C keep for later hardly ever does twice.
	grown := make([]int, 5)
	for i := range grown {
		before := residentKB(t)
		round(20_000)
		grown[i] = residentKB(t) - before
	}
	slices.Sort(grown)
	if median := grown[len(grown)/2]; median > 512 {
		t.Errorf("grew by %v KB", grown)
	}
}

func TestCompileKeepsNoMemory(t *testing.T) { //nolint:paralleltest // measures the whole process's memory
	files := map[string][]byte{"s.xsd": read(t, "../../xsd/sinba-eventi-v1.xsd")}
	broken := map[string][]byte{"s.xsd": bytes.Replace(files["s.xsd"], []byte(`type="TestataType"`), []byte(`type="Missing"`), 1)}
	round := func(n int) {
		for range n {
			s, err := xmlschema.Compile("s.xsd", files)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Check([]byte("<a/>"), xmlschema.Bare); err != nil {
				t.Fatal(err)
			}
			_ = s.Close()
			if _, err := xmlschema.Compile("s.xsd", broken); err == nil {
				t.Fatal("compiled")
			}
		}
	}
	round(20)
	before := residentKB(t)
	round(100)
	// The wrapper this binding replaces leaked 40 KB a schema, which would be 8 MB here; what the
	// threads' heaps keep for later jumps by up to 3 MB, once.
	if grown := residentKB(t) - before; grown > 4096 {
		t.Errorf("grew by %d KB", grown)
	}
}

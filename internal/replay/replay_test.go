package replay_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/replay"
)

func TestDiffTellsPathsAndKindsAndNoValue(t *testing.T) {
	t.Parallel()
	const secret = "ROSSI"
	before := "<E><A>" + secret + "</A><B><C>1</C><C>2</C></B><D>x</D></E>"
	for after, want := range map[string][]replay.Change{
		before: nil,
		"<E><A>BIANCHI</A><B><C>1</C><C>2</C></B><D>x</D></E>":                {{Path: "/A", Kind: "changed"}},
		"<E><B><C>1</C><C>2</C></B><D>x</D></E>":                              {{Path: "/A", Kind: "removed"}},
		"<E><A>" + secret + "</A><B><C>1</C><C>3</C><C>4</C></B><D>x</D></E>": {{Path: "/B/C", Kind: "added"}, {Path: "/B/C", Kind: "changed"}},
		"<E><A>" + secret + `</A><B><C>1</C><C>2</C></B><D y="1">x</D></E>`:   {{Path: "/", Kind: "form"}},
		"<E><A>" + secret + "</A><B><C>1</C><C>2</C></B><D>x</D><N>1</N></E>": {{Path: "/N", Kind: "added"}},
	} {
		got := replay.Diff([]byte(before), []byte(after))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", after, diff)
		}
	}
}

// The event of a lot is judged as a message of its own and keeps every other byte.
func TestRenamedChangesOnlyTheRoot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"", "p:", "a.b:"}).Draw(t, "prefix")
		inner := rapid.SampledFrom([]string{"", "x", "<Evento>y</Evento>", "<q:Evento/>"}).Draw(t, "inner")
		attributes := rapid.SampledFrom([]string{"", ` xmlns="u"`, ` a="Evento"`}).Draw(t, "attributes")
		doc := "<" + prefix + "Evento" + attributes + ">" + inner + "</" + prefix + "Evento>"
		renamed, ok := replay.Renamed([]byte(doc), "Evento", "InviaEventoRichiesta")
		want := "<" + prefix + "InviaEventoRichiesta" + attributes + ">" + inner + "</" + prefix + "InviaEventoRichiesta>"
		if !ok || string(renamed) != want {
			t.Fatalf("%s: %v %s", doc, ok, renamed)
		}
		back, ok := replay.Renamed(renamed, "InviaEventoRichiesta", "Evento")
		if !ok || string(back) != doc {
			t.Fatalf("%s: back %v %s", doc, ok, back)
		}
	})
	for _, doc := range []string{"", "<", "x", "<Envelope></Envelope>", "<Evento></Altro>", "<EventoX></EventoX>", "<?xml version='1.0'?><Evento></Evento>"} {
		if got, ok := replay.Renamed([]byte(doc), "Evento", "X"); ok {
			t.Errorf("%q became %q", doc, got)
		}
	}
}

func TestAGateHoldsUpUntilItOpensAgain(t *testing.T) {
	t.Parallel()
	var g replay.Gate
	if err := g.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !g.Toggle() {
		t.Fatal("it did not close")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Pass(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("closed: %v", err)
	}
	passed := make(chan error, 1)
	go func() { passed <- g.Pass(t.Context()) }()
	if g.Toggle() {
		t.Error("it did not open")
	}
	if err := <-passed; err != nil {
		t.Error(err)
	}
}

func item(status replay.Status) *replay.Item {
	return &replay.Item{Entry: uuid.New(), Message: uuid.New(), Status: status, Findings: []replay.Finding{replay.FoundState}}
}

// A run that is cut at any byte of its file goes on behind the last page that is whole.
func TestACheckpointCutAnywhereLosesOnlyWhatWasNotWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run")
	head := []byte(`{"replay":"verify"}`)
	c, first, resumed, err := replay.OpenCheckpoint(path, head)
	if err != nil || resumed || !bytes.Equal(first, head) {
		t.Fatalf("%s %v %v", first, resumed, err)
	}
	var whole []replay.Report // after each page
	var ends []int            // bytes of the file with it
	var sum replay.Report
	for n := range 3 {
		var part replay.Report
		part.Note(item(replay.Different))
		part.Note(&replay.Item{Entry: uuid.New(), Status: replay.Equal, Before: true})
		if err := c.NotePage(int64(n+1), &part); err != nil {
			t.Fatal(err)
		}
		sum.Add(&part)
		whole = append(whole, replay.Report{Counts: map[replay.Status]int64{replay.Different: int64(n + 1), replay.Equal: int64(n + 1)}, Before: int64(n + 1), Items: sum.Items[:n+1]})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, int(info.Size()))
	}
	if _, _, _, err := replay.OpenCheckpoint(path, head); err == nil {
		t.Error("two have the file at once")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begins := bytes.IndexByte(text, '\n') + 1
	for cut := range len(text) + 1 {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, resumed, err := replay.OpenCheckpoint(torn, head)
		if cut > 0 && cut < begins {
			if err == nil {
				t.Fatalf("cut at %d: a file without its head was taken", cut)
			}
			continue
		}
		if err != nil || resumed != (cut > 0) {
			t.Fatalf("cut at %d: %v %v", cut, resumed, err)
		}
		done, got, err := replay.Recall(c)
		if err != nil {
			t.Fatal(err)
		}
		pages := 0
		for _, end := range ends {
			if end <= cut {
				pages++
			}
		}
		want := replay.Report{}
		if pages > 0 {
			want = whole[pages-1]
		}
		if diff := cmp.Diff(want, got); diff != "" || done != int64(pages) {
			t.Fatalf("cut at %d: %d pages: %s", cut, done, diff)
		}
		if err := c.NotePage(9, &replay.Report{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A page of which a byte is not what was written does not count, nor what stands behind it.
func TestACheckpointDoesNotBelieveAChangedPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run")
	c, _, _, err := replay.OpenCheckpoint(path, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if err := c.NotePage(int64(n+1), &replay.Report{Attempts: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines[2] = bytes.Replace(lines[2], []byte(`"attempts":1`), []byte(`"attempts":7`), 1)
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, _, _, err = replay.OpenCheckpoint(path, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // nothing more is written
	if done, r, err := replay.Recall(c); err != nil || done != 1 || r.Attempts != 1 {
		t.Errorf("%d %+v %v", done, r, err)
	}
}

func TestACheckpointDoesNotTouchAnotherFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letter")
	const letter = "Dear auditor,\nall is well.\n"
	if err := os.WriteFile(path, []byte(letter), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := replay.OpenCheckpoint(path, []byte("{}")); err == nil {
		t.Error("it was taken")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != letter {
		t.Errorf("%q %v", text, err)
	}
}

// What a registry holds is somebody's text: it must not become markup nor a formula.
func TestReportsAreEscaped(t *testing.T) {
	t.Parallel()
	evil := replay.Sender{Participant: `=cmd|'/c calc'!A1`, Product: `<script>alert("1")</script>`}
	p := &replay.Presented{Title: "<b>", Scope: "s", Made: "m", WhatIfReport: &replay.WhatIfReport{
		Senders: []replay.Tally{{Sender: evil, Messages: 3, Fails: 3}},
		Lines:   []replay.Counted{{Line: replay.Line{Sender: evil, Effect: replay.NewlyFails, Part: "schema", Path: "/a<b"}, Messages: 3}},
	}}
	var page, table bytes.Buffer
	if err := errors.Join(p.HTML(&page), p.CSV(&table)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<b>", "/a<b", "http:", "https:", "src="} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 1+7+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		if !strings.HasPrefix(row[0], "'=") {
			t.Errorf("a formula: %q", row[0])
		}
	}
	if strings.Contains(page.String(), ">3<") || strings.Contains(table.String(), ",3") {
		t.Error("a small number is told")
	}
}

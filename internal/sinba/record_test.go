package sinba_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// schemaOf compiles one of the published schemas.
func schemaOf(name string) func() (*xmlschema.Schema, error) {
	return sync.OnceValues(func() (*xmlschema.Schema, error) {
		file, err := xsd.FS.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return xmlschema.Compile(name, map[string][]byte{name: file})
	})
}

var (
	eventContract = schemaOf(xsd.SinbaEventi)
	flowSchema    = schemaOf(xsd.FlussoSinba)
)

// histories are the events of testdata/events by case, in fold order: without what was annulled and
// each rettifica in the place of the event it replaces. Every one of them is alone in its place, so
// that the order of the file names is that of acceptance.
func histories(t *testing.T) map[string][][]byte {
	t.Helper()
	schema, err := eventContract()
	if err != nil {
		t.Fatal(err)
	}
	lists := sinba.DefaultReference()
	file := schemaFile(t)
	c, err := sinba.Load(file, lists)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("../../testdata/events/*/*.xml")
	if err != nil || len(names) < 40 {
		t.Fatal(len(names), err)
	}
	type place struct {
		sequence int32
		event    uuid.UUID
	}
	order := map[string][]place{}
	body := map[uuid.UUID][]byte{}
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := schema.Check(doc, xmlschema.Bare)
		if err != nil || verdict.Status != xmlschema.Valid {
			t.Fatalf("%s: %v %v", name, verdict.Status, err)
		}
		ev, err := c.Read(verdict.Payload)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Base(filepath.Dir(name)) + "-" + strings.ReplaceAll(ev.EnteCode()+"-"+ev.LocalCase().Reveal(), "/", "_")
		original, _ := ev.RefersTo()
		switch ev.Operation() {
		case sinba.Annullamento:
			delete(body, original)
		case sinba.Rettifica:
			body[original] = c.Regional(ev, regionalCodes())
		case sinba.Inserimento:
			order[file] = append(order[file], place{ev.Sequence(), ev.EventID()})
			body[ev.EventID()] = c.Regional(ev, regionalCodes())
		}
	}
	all := map[string][][]byte{}
	for file, places := range order {
		slices.SortStableFunc(places, func(a, b place) int { return int(a.sequence - b.sequence) })
		for _, p := range places {
			if text, live := body[p.event]; live {
				all[file] = append(all[file], text)
			}
		}
	}
	return all
}

// on is a reference date.
func on(text string) time.Time {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return day
}

// record projects a case.
func record(t *testing.T, live [][]byte, day string) (sinba.Record, []string) {
	t.Helper()
	r, missing, err := load(t).Record(live, sinba.RecordQuery{Beneficiary: "CODICENAZIONALEAAAAA", Reference: on(day)})
	if err != nil {
		t.Fatal(err)
	}
	return r, missing
}

// flowOf is a flow of one record.
func flowOf(r sinba.Record, day string) []byte {
	head := sinba.FlowHead{Ente: "SDS-PI", Reference: on(day)}
	return append(r.AppendXML(head.AppendXML(nil)), sinba.FlowEnd...)
}

// TestRecordsOfWholeHistories compares the record of every case of testdata/events, at the end of
// each year, with testdata/flusso; -update rewrites them.
func TestRecordsOfWholeHistories(t *testing.T) {
	t.Parallel()
	schema, err := flowSchema()
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for file, live := range histories(t) {
		var golden bytes.Buffer
		for year := 2018; year <= 2025; year++ {
			day := time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
			r, missing := record(t, live, day)
			standing := map[sinba.Standing]string{sinba.RecordDue: "due", sinba.RecordBeforeOpening: "before its opening", sinba.RecordPast: "past"}[r.Standing()]
			golden.WriteString("# " + day + ": " + standing)
			if r.Standing() != sinba.RecordDue {
				golden.WriteString("\n")
				continue
			}
			if len(missing) > 0 {
				golden.WriteString(", misses " + strings.Join(missing, " "))
			}
			golden.WriteString("\n" + broken(string(r.AppendXML(nil))))
			verdict, err := schema.Check(flowOf(r, day), xmlschema.Judge)
			if err != nil {
				t.Fatal(err)
			}
			if conforms := verdict.Status == xmlschema.Valid; conforms != (len(missing) == 0) && len(missing) == 0 {
				t.Errorf("%s at %s misses nothing and does not conform: %v", file, day, verdict)
			} else if conforms {
				written++
			}
		}
		name := filepath.Join("testdata", "flusso", file+".txt")
		if *update {
			if err := os.WriteFile(name, golden.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), golden.String()); diff != "" {
			t.Errorf("%s (-recorded +now)\n%s", file, diff)
		}
	}
	if written == 0 {
		t.Error("no history gives a whole record")
	}
}

// broken puts every attribute and element on a line of its own.
func broken(document string) string {
	return strings.NewReplacer("><", ">\n<", ` `, "\n  ").Replace(document)
}

// mirror gives the text of xsd/flusso-sinba-v1.xsd.
func mirror(t *testing.T) string {
	t.Helper()
	text, err := xsd.FS.ReadFile(xsd.FlussoSinba)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

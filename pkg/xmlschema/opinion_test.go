package xmlschema_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	other "github.com/jacoelho/xsd"
	"github.com/jacoelho/xsd/xsderrors"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// opinions are this package and an independent validator in pure Go over the same schema.
type opinions struct {
	ours   *xmlschema.Schema
	theirs *other.Engine
	// types and names are those that the schema declares.
	types, names []string
}

func newOpinions(t *testing.T, main string, more ...string) opinions {
	t.Helper()
	var o opinions
	files := map[string][]byte{}
	var sources []other.SchemaSource
	for _, name := range append([]string{main}, more...) {
		content, err := xsd.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
		sources = append(sources, other.Bytes(name, content))
		for _, m := range regexp.MustCompile(`<xs:(?:simple|complex)Type name="([^"]+)"`).FindAllSubmatch(content, -1) {
			o.types = append(o.types, string(m[1]))
		}
		for _, m := range regexp.MustCompile(`<xs:element name="([^"]+)"`).FindAllSubmatch(content, -1) {
			o.names = append(o.names, string(m[1]))
		}
	}
	var err error
	if o.theirs, err = other.Compile(t.Context(), sources...); err != nil {
		t.Fatal(err)
	}
	o.ours = compile(t, main, files)
	return o
}

// verdicts gives both: "valid", or what was found, by codes in their order and without repetition.
func (o opinions) verdicts(t *testing.T, document []byte) (ours, theirs string) {
	t.Helper()
	v := check(t, o.ours, document, xmlschema.Bare)
	ours = map[xmlschema.Status]string{
		xmlschema.Valid: "valid", xmlschema.Malformed: "malformed", xmlschema.Doctype: "doctype",
		xmlschema.UnknownRoot: "root", xmlschema.WrongEncoding: "encoding",
	}[v.Status]
	if v.Status == xmlschema.Invalid {
		var codes []string
		for _, f := range v.Findings {
			codes = append(codes, strconv.Itoa(f.Code))
		}
		slices.Sort(codes)
		ours = strings.Join(slices.Compact(codes), " ")
	}
	return ours, theirOpinion(t.Context(), o.theirs, document)
}

func theirOpinion(ctx context.Context, engine *other.Engine, document []byte) string {
	err := engine.ValidateWithOptions(ctx, bytes.NewReader(document), other.ValidateOptions{MaxErrors: 1})
	var one *xsderrors.Error
	switch {
	case err == nil:
		return "valid"
	case errors.As(err, &one):
		return string(one.Code)
	}
	return "error"
}

// difference is one on which the two are known to disagree.
type difference struct {
	// ours and theirs are the verdicts, and the document holds what only says.
	ours, theirs string
	only         *regexp.Regexp
	why          string
}

// differences lists all of them. Whatever else the two disagree on fails the test.
func differences() []difference {
	return []difference{
		{
			"100001", "valid", regexp.MustCompile(`>[^<>]*(<!--[^<>]*-->|<\?[^<>]*\?>)[^<>]*</`),
			"a comment or an instruction within a value: XML Schema reads past it, this package refuses it, because two readers may see two values",
		},
		{
			"100002", "valid", regexp.MustCompile(`>((\s|&#13;)+\d+|\d+(\s|&#13;)+)`),
			"blanks around xs:int: XML Schema collapses them, libxml2 refuses them for whole numbers (not for dates); kept, with a code of its own",
		},
		{
			"1843", "valid", regexp.MustCompile(`<!\[CDATA\[\s*\]\]><`),
			"CDATA with nothing but blanks between elements: XML Schema takes it for the blanks, libxml2 for text",
		},
	}
}

// known finds the difference that explains two verdicts on a document, -1 if there is none.
func known(ours, theirs, document string) int {
	return slices.IndexFunc(differences(), func(d difference) bool {
		return d.ours == ours && d.theirs == theirs && d.only.MatchString(document)
	})
}

// TestSecondOpinionAgrees has an independent validator judge every sample, every bad document and
// mutations of them: of values, order, multiplicity, attributes, namespaces and blanks.
func TestSecondOpinionAgrees(t *testing.T) {
	t.Parallel()
	began := time.Now()
	seen := make([]int, len(differences()))
	judged, accepted := 0, 0
	judge := func(o opinions, name, document string) {
		judged++
		ours, theirs := o.verdicts(t, []byte(document))
		if ours == "valid" {
			accepted++
		}
		if (ours == "valid") == (theirs == "valid") {
			return
		}
		if i := known(ours, theirs, document); i >= 0 {
			seen[i]++
			return
		}
		t.Errorf("we say %s, the other says %s: %s", ours, theirs, name)
	}
	for _, contract := range []struct {
		opinions opinions
		samples  map[string][]byte
		mutants  int
	}{
		{newOpinions(t, xsd.SinbaEventi), eventSamples(t), 2000},
		{newOpinions(t, xsd.SissRicezione, xsd.EventoNazionale), nationalSamples(t), 500},
	} {
		o := contract.opinions
		m := mutator{r: rand.New(rand.NewPCG(2026, 3)), types: o.types, names: o.names}
		var bases []string
		trees := map[string]*node{}
		for _, name := range sortedKeys(contract.samples) {
			judge(o, name, string(contract.samples[name]))
			if check(t, o.ours, contract.samples[name], xmlschema.Bare).Status <= xmlschema.Invalid {
				bases = append(bases, name)
				trees[name] = parse(t, contract.samples[name])
			}
		}
		for range contract.mutants {
			base := pick(m, bases...)
			mutant, what := m.mutate(trees[base])
			if m.r.IntN(8) == 0 {
				var more string
				mutant, more = m.mutate(mutant)
				what += " and " + more
			}
			judge(o, base+": "+what, mutant.String())
		}
	}
	for i, d := range differences() {
		if seen[i] == 0 {
			t.Errorf("listed, but there is none: %s", d.why)
		}
		t.Logf("%d times: %s", seen[i], d.why)
	}
	if accepted < judged/10 || accepted > judged*9/10 {
		t.Errorf("%d of %d accepted: the mutations are too wild or too tame", accepted, judged)
	}
	t.Logf("%d documents judged twice in %v, %d of them valid to us", judged, time.Since(began).Round(time.Millisecond), accepted)
}

func sortedKeys(m map[string][]byte) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// eventSamples are the sample events and the bad documents of testdata, and the contract's.
func eventSamples(t *testing.T) map[string][]byte {
	t.Helper()
	all := samples(t)
	for _, pattern := range []string{"../../testdata/events/*/*.xml", "../../testdata/bad/*.xml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no documents: %v", err)
		}
		for _, path := range paths {
			all[filepath.Base(path)] = read(t, path)
		}
	}
	return all
}

// nationalSamples are the national events of the vectors, bare and as they are sent.
func nationalSamples(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/exchanges/*/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	all := map[string][]byte{}
	event := regexp.MustCompile(`(?s)<EventoNazionale xmlns="urn:sinba:siss:v1">.*?</EventoNazionale>`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range event.FindAll(text, -1) {
			e = regexp.MustCompile(`\{CODE-\d+\}`).ReplaceAll(e, []byte("ABCDEFGHIJKLMNOPQR27"))
			name := fmt.Sprintf("%s %d", filepath.Base(path), i)
			all[name] = e
			all[name+" sent"] = []byte(`<TrasmettiEventoRichiesta xmlns="urn:sinba:siss:v1"><IdTrasmissione>d16300fe-52dd-52ec-ab09-761e4220184a</IdTrasmissione>` +
				`<CodiceEnte>SDS-FI</CodiceEnte><CodiceRegione>17</CodiceRegione>` + string(e) + `</TrasmettiEventoRichiesta>`)
		}
	}
	return all
}

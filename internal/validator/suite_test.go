package validator_test

import (
	"encoding/xml"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// corpora gives the public test vectors, or skips: they are not part of this project.
func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SINBAHUB_CORPORA")
	if dir == "" {
		t.Skip("SINBAHUB_CORPORA is not set: no public test vectors")
	}
	return dir
}

// group is a schema of the W3C suite with its instances, and what libxml2 2.9.14 of Debian 12
// was recorded to say of them.
type group struct {
	schema    string
	files     map[string][]byte
	verdict   string
	instances []instance
}

type instance struct{ file, verdict string }

// otherwise lists what differs from the recorded column, by file, and why. Nothing else may.
func otherwise() map[string]string {
	const (
		absent = "names a schema file that is not there: libxml2 goes on without it, this binding refuses"
		xml11  = "is in XML 1.1: the names of a schema are read with XML 1.0 only"
	)
	return map[string]string{
		"msData/schema/schE9.xsd":         absent,
		"msData/schema/schG8_a.xsd":       absent,
		"saxonData/XmlVersions/xv002.xsd": xml11,
		"saxonData/XmlVersions/xv003.xsd": xml11,
		"saxonData/XmlVersions/xv005.xsd": xml11,
		"saxonData/XmlVersions/xv006.xsd": xml11,
		"saxonData/XmlVersions/xv007.xsd": xml11,
		"saxonData/XmlVersions/xv008.xsd": xml11,
		"saxonData/XmlVersions/xv009.xsd": xml11,
		"msData/regex/invalid.c.xml":      "is named by the suite and not part of it",
	}
}

// unending are the schemas that libxml2 2.9.14 does not compile within a minute: unbounded choices
// within unbounded choices. They are left out.
func unending() []string {
	return []string{"msData/particles/particlesZ012.xsd", "msData/particles/particlesZ015.xsd", "msData/particles/particlesZ020.xsd"}
}

// suite reads the W3C XML Schema test suite as far as it is among the corpora.
func suite(t *testing.T) []*group {
	t.Helper()
	root := filepath.Join(corpora(t), "01-xsd-w3c-xsts")
	var groups []*group
	var left []string
	for i, line := range strings.Split(strings.TrimSpace(string(read(t, filepath.Join(root, "expected.tsv")))), "\n") {
		column := strings.Split(line, "\t")
		kind, schema, file, verdict := column[2], column[3], column[4], column[7]
		switch {
		case i == 0:
			if verdict != "libxml2_2.9.14_deb12u6" {
				t.Fatalf("column 8 is %s", verdict)
			}
		case verdict == "TIMEOUT":
			left = append(left, schema)
		case kind == "schema":
			groups = append(groups, &group{schema: schema, verdict: verdict, files: closure(t, root, schema)})
		case otherwise()[file] == "":
			last := groups[len(groups)-1]
			last.instances = append(last.instances, instance{file: filepath.Join(root, file), verdict: verdict})
		}
	}
	if !slices.Equal(left, unending()) {
		t.Errorf("left out for want of an end: %v", left)
	}
	return groups
}

// closure reads a schema and all that it names, by their places in the suite.
func closure(t *testing.T, root, main string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	todo := []string{main}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || files[name] != nil {
			continue
		}
		files[name] = content
		d := xml.NewDecoder(strings.NewReader(string(content)))
		for token, err := d.Token(); err == nil; token, err = d.Token() {
			e, ok := token.(xml.StartElement)
			if !ok || !slices.Contains([]string{"include", "import", "redefine"}, e.Name.Local) {
				continue
			}
			for _, a := range e.Attr {
				if a.Name.Local == "schemaLocation" {
					todo = append(todo, path.Join(path.Dir(name), a.Value))
				}
			}
		}
	}
	return files
}

// drift compares a verdict with the recorded one.
func drift(t *testing.T, who, file, want, got string) {
	t.Helper()
	if (want == got) == (otherwise()[file] != "") {
		t.Errorf("%s: %s is %s, recorded as %s (%s)", who, file, got, want, otherwise()[file])
	}
}

// TestVerdictsAreThoseRecorded runs the W3C XML Schema suite through the core and through workers,
// and compares with what libxml2 2.9.14 was recorded to say: another version, or another binding,
// would judge vendors' messages otherwise without anybody having decided so.
func TestVerdictsAreThoseRecorded(t *testing.T) {
	t.Parallel()
	groups := suite(t)
	began := time.Now()
	instances := 0
	var good []*group
	for _, g := range groups {
		core, err := xmlschema.Compile(g.schema, g.files)
		drift(t, "core", g.schema, g.verdict, map[bool]string{true: "valid", false: "invalid"}[err == nil])
		if err != nil {
			notCompiled(t, g)
			continue
		}
		good = append(good, g)
		for _, i := range g.instances {
			instances++
			v, err := core.Check(read(t, i.file), xmlschema.Bare)
			if err != nil {
				t.Fatal(err)
			}
			drift(t, "core", i.file, i.verdict, map[bool]string{true: "valid", false: "invalid"}[v.Status == xmlschema.Valid])
		}
		_ = core.Close()
	}
	if len(groups) < 800 || instances < 700 {
		t.Errorf("only %d schemas and %d instances", len(groups), instances)
	}
	inCore := time.Since(began)
	const most = 7 // schemas to one worker
	for batch := range slices.Chunk(good, most) {
		inJail(t, batch)
	}
	t.Logf("%d schemas (%d do not compile, %d never end), %d instances: core %v, jail %v", len(groups)+len(unending()), len(groups)-len(good),
		len(unending()), instances, inCore.Round(time.Millisecond), (time.Since(began) - inCore).Round(time.Millisecond))
}

// notCompiled wants a pool refused for a schema that does not compile.
func notCompiled(t *testing.T, g *group) {
	t.Helper()
	p, err := validator.New(validator.Config{Workers: 1, Schemas: map[validator.Schema]validator.SchemaFiles{1: {Main: g.schema, Files: g.files}}})
	if err != nil {
		return
	}
	if err := p.Start(t.Context()); err == nil {
		t.Errorf("jail: %s compiles", g.schema)
	}
	_ = p.Close()
}

// inJail has one worker judge the instances of several schemas.
func inJail(t *testing.T, batch []*group) {
	t.Helper()
	schemas := map[validator.Schema]validator.SchemaFiles{}
	for i, g := range batch {
		schemas[validator.Schema(i+1)] = validator.SchemaFiles{Main: g.schema, Files: g.files}
	}
	p, err := validator.New(validator.Config{Workers: 1, Schemas: schemas, Deadline: 30 * time.Second})
	if err == nil {
		err = p.Start(t.Context())
	}
	if err != nil {
		t.Errorf("jail: %v, the first schema is %s", err, batch[0].schema)
		return
	}
	defer func() { _ = p.Close() }()
	for i, g := range batch {
		for _, in := range g.instances {
			r, err := p.Validate(t.Context(), validator.Schema(i+1), validator.Bare, read(t, in.file))
			if codeOf(t, err) == hub.CodeValidatorDied {
				t.Errorf("%s ended the worker", in.file)
			}
			drift(t, "jail", in.file, in.verdict, map[bool]string{true: "valid", false: "invalid"}[r.Payload != nil])
		}
	}
}

// TestWorkersJudgeAsTheCoreDoes runs every document of the conformance, attack, fuzz and SOAP
// collections through workers, in every mode: the verdict is the core's, which other tests hold
// against the collections' own tables, and no worker dies of one.
func TestWorkersJudgeAsTheCoreDoes(t *testing.T) {
	t.Parallel()
	root := corpora(t)
	p := newPool(t, nil)
	core := eventCore(t)
	began := time.Now()
	tally := map[string]int{}
	var slowest time.Duration
	for _, dir := range []string{"02-xml-conformance", "03-libxml2-tests", "04-xml-attacks", "06-soap-messages", "08-fuzz"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			document := read(t, path)
			for _, mode := range []validator.Mode{validator.Bare, validator.Envelope, validator.Judge} {
				start := time.Now()
				got := outcomeOf(t, p, mode, document)
				slowest = max(slowest, time.Since(start))
				v, err := core.Check(document, xmlschema.Mode(mode))
				if err != nil {
					t.Error(err)
				}
				if want := statusName(v.Status); len(document) <= validator.MaxDocument && got != want {
					t.Errorf("%s: a worker says %s, the core %s", path, got, want)
				}
				tally[dir[:2]+" "+got]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := p.restarts(t, "crash") + p.restarts(t, "deadline") + p.restarts(t, "protocol"); n != 0 {
		t.Errorf("%d workers died", n)
	}
	t.Logf("%v in %v, slowest %v", tally, time.Since(began).Round(time.Millisecond), slowest.Round(time.Millisecond))
}

// outcomeOf names what a worker says of a document as statusName does.
func outcomeOf(t *testing.T, p *pool, mode validator.Mode, document []byte) string {
	t.Helper()
	r, err := p.Validate(t.Context(), validator.SinbaEventi, mode, document)
	var e *hub.Error
	switch {
	case errors.As(err, &e):
		return string(e.Public[0].Code)
	case r.Violations != nil:
		return "invalid"
	}
	return "valid"
}

// statusName gives the code that stands for the core's verdict.
func statusName(s xmlschema.Status) string {
	return map[xmlschema.Status]string{
		xmlschema.Valid: "valid", xmlschema.Invalid: "invalid",
		xmlschema.Malformed: string(hub.CodeMalformed), xmlschema.Doctype: string(hub.CodeDoctype),
		xmlschema.NotSOAP: string(hub.CodeNotSOAP), xmlschema.UnknownRoot: string(hub.CodeUnknownOperation),
		xmlschema.TooLarge: string(hub.CodeLimit), xmlschema.UnknownEnvelope: string(hub.CodeEnvelopeVersion),
		xmlschema.WrongEncoding: string(hub.CodeEncoding),
	}[s]
}

package xmlschema_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// harness is the C core built on its own with the address and undefined-behaviour sanitizers
// (testdata/harness.c), which also find what is never freed.
type harness struct{ path string }

func newHarness(t *testing.T) harness {
	t.Helper()
	flags := func(what string) []string {
		out, err := exec.CommandContext(t.Context(), "pkg-config", what, "libxml-2.0").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	sources, err := filepath.Glob("core_*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources")
	}
	path := filepath.Join(t.TempDir(), "harness")
	arguments := []string{"-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", path}
	arguments = append(arguments, flags("--cflags")...)
	arguments = append(append(arguments, sources...), "testdata/harness.c")
	arguments = append(arguments, flags("--libs")...)
	if out, err := exec.CommandContext(t.Context(), "gcc", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return harness{path}
}

// run gives one line per document. Any report of a sanitizer, and any byte on stderr, fails.
func (h harness) run(t *testing.T, frames []byte) []string {
	t.Helper()
	var out, report bytes.Buffer
	cmd := exec.CommandContext(t.Context(), h.path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(frames), &out, &report
	if err := cmd.Run(); err != nil || report.Len() > 0 {
		t.Fatalf("%v\n%.4000s", err, report.String())
	}
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func appendFrame(b []byte, kind byte, doc []byte) []byte {
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(doc)))
	return append(b, doc...)
}

func eventFiles(t *testing.T) []byte {
	t.Helper()
	return appendFrame(nil, 'f', append([]byte("s.xsd\x00"), read(t, "../../xsd/sinba-eventi-v1.xsd")...))
}

// TestCanonicalFormIsLibxml2s compares the core's canonical writer with xmlC14NExecute, at
// every element of random documents, byte by byte.
func TestCanonicalFormIsLibxml2s(t *testing.T) {
	t.Parallel()
	const documents = 4000
	g := generator{r: rand.New(rand.NewPCG(20, 26))}
	var frames []byte
	for range documents {
		frames = appendFrame(frames, 'c', []byte(g.document()))
	}
	for _, event := range samples(t) {
		frames = appendFrame(frames, 'c', envelope(soap12, event))
	}
	compared := 0
	for _, line := range newHarness(t).run(t, frames) {
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			compared++
		}
	}
	if compared < documents/2 {
		t.Errorf("only %d of %d random documents are well-formed", compared, documents)
	}
}

// generator makes documents that try what canonical form is about: namespaces that are
// redeclared, undeclared and unused, attributes out of order, character references, CDATA,
// comments and instructions.
type generator struct {
	r *rand.Rand
	// plain leaves out comments, instructions and CDATA.
	plain bool
}

func (g generator) pick(from ...string) string { return from[g.r.IntN(len(from))] }

func (g generator) document() string {
	return g.pick("", "<!-- x -->", "<?p q?>", "\xEF\xBB\xBF") + g.element(1, map[string]string{}) + g.pick("", "\n<!-- y -->", "<?z?>")
}

func (g generator) element(depth int, scope map[string]string) string {
	inner := maps.Clone(scope)
	var attributes []string
	for _, p := range []string{"", "a", "b", "c"} {
		if g.r.IntN(3) > 0 {
			continue
		}
		uri := g.pick("urn:1", "urn:2", "http://x/y?a=b")
		if p == "" {
			uri = g.pick(uri, "")
			attributes = append(attributes, `xmlns="`+uri+`"`)
		} else {
			attributes = append(attributes, `xmlns:`+p+`='`+uri+`'`)
		}
		inner[p] = uri
	}
	if g.r.IntN(20) == 0 {
		attributes = append(attributes, `xmlns:xml="http://www.w3.org/XML/1998/namespace"`)
	}
	for _, name := range []string{"z", "a", "é", "a:x", "b:x", "c:m", "xml:lang", "b:a"} {
		if prefix, _, ok := strings.Cut(name, ":"); g.r.IntN(4) == 0 && (!ok || prefix == "xml" || inner[prefix] != "") {
			attributes = append(attributes, name+`="`+g.text(true)+`"`)
		}
	}
	g.r.Shuffle(len(attributes), func(i, j int) { attributes[i], attributes[j] = attributes[j], attributes[i] })
	name := g.pick("e", "f", "ü")
	if p := g.pick("", "a", "b", "c"); p != "" && inner[p] != "" {
		name = p + ":" + name
	}
	start := "<" + strings.Join(append([]string{name}, attributes...), g.pick(" ", "\n ", "\t"))
	var content strings.Builder
	for range g.r.IntN(5) {
		switch k := g.r.IntN(6); {
		case k < 3 && depth < 6:
			content.WriteString(g.element(depth+1, inner))
		case k == 3 && !g.plain:
			content.WriteString(g.pick("<!-- c -->", "<?i j?>", "<![CDATA[<&>\r\n]]>", "<![CDATA[]]>"))
		default:
			content.WriteString(g.text(false))
		}
	}
	if content.Len() == 0 && g.r.IntN(2) == 0 {
		return start + "/>"
	}
	return start + ">" + content.String() + "</" + name + ">"
}

func (g generator) text(attribute bool) string {
	var b strings.Builder
	for range g.r.IntN(6) {
		b.WriteString(g.pick("x", "Società", "&amp;", "&lt;", "&gt;", "&#xD;", "&#10;", "&#9;", "\n", "\t", "\r\n", "'", "&quot;", "€", "𝒳", "&#x85;", "  "))
		if !attribute {
			b.WriteString(g.pick("", `"`, ">"))
		}
	}
	return b.String()
}

// TestBothWaysAgree gives the harness random documents under a schema that takes any content:
// valid or not, the short way and the tree must give the same bytes, and the short way must be
// taken often, also with headers.
func TestBothWaysAgree(t *testing.T) {
	t.Parallel()
	const documents = 3000
	g := generator{r: rand.New(rand.NewPCG(20, 27))}
	schema := `<xs:element name="root"><xs:complexType mixed="true"><xs:sequence>
  <xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/>
</xs:sequence><xs:anyAttribute processContents="lax"/></xs:complexType></xs:element>`
	frames := appendFrame(nil, 'f', append([]byte("s.xsd\x00"), schemaOf(schema)...))
	none := map[string]string{}
	for range documents {
		g.plain = !g.plain
		root := `<t:root xmlns:t="urn:t" versione="` + g.pick("1.0", "x", "1&amp;0", "") + `">` + g.element(1, none) + g.text(false) + g.element(1, none) + "</t:root>"
		header := g.pick("", "<s:Header/>", "<s:Header> "+g.element(1, none)+"</s:Header>")
		trouble := g.pick("", "", "", "<!-- c -->", "text", "<x/>", "<?p?>")
		envelope := `<s:Envelope xmlns:s="` + g.pick(soap11, soap12) + `">` + header + "\n<s:Body>" + root + g.pick(trouble, "") + "</s:Body>" + trouble + "</s:Envelope>"
		frames = appendFrame(frames, 'd', []byte(g.pick(root, envelope)))
	}
	short := 0
	for _, line := range newHarness(t).run(t, frames) {
		fields := strings.Fields(line)
		if n, err := strconv.Atoi(fields[len(fields)-1]); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			short++
		}
	}
	if short < documents/20 {
		t.Errorf("only %d of %d documents went the short way", short, documents)
	}
	t.Logf("%d of %d documents went the short way", short, documents)
}

// TestSamplesTakeTheShortWay: an event as vendors send it needs no tree.
func TestSamplesTakeTheShortWay(t *testing.T) {
	t.Parallel()
	frames := eventFiles(t)
	events := samples(t)
	for _, event := range events {
		frames = appendFrame(frames, 'd', envelope(soap12, event))
	}
	for _, line := range newHarness(t).run(t, frames) {
		if !strings.HasSuffix(line, " 1") {
			t.Errorf("got %q: the last number is how many modes took the short way", line)
		}
	}
}

// TestCoreSurvivesBrokenDocuments runs the whole core over damaged samples: cut, spliced,
// with bytes changed.
func TestCoreSurvivesBrokenDocuments(t *testing.T) {
	t.Parallel()
	var whole [][]byte
	for _, e := range samples(t) {
		whole = append(whole, e, envelope(soap12, e))
	}
	r := rand.New(rand.NewPCG(1, 2))
	frames := eventFiles(t)
	for _, doc := range whole {
		frames = appendFrame(frames, 'd', doc)
	}
	for range 3000 {
		doc := bytes.Clone(whole[r.IntN(len(whole))])
		for range 1 + r.IntN(4) {
			at := r.IntN(len(doc))
			switch r.IntN(5) {
			case 0:
				doc = doc[:at+1]
			case 1:
				doc[at] = byte(r.IntN(256))
			case 2:
				doc[at] = `<>&"'/ =![]-?`[r.IntN(13)]
			case 3:
				other := whole[r.IntN(len(whole))]
				doc = append(doc[:at:at], other[r.IntN(len(other)):]...)
			case 4:
				end := min(len(doc), at+r.IntN(200))
				doc = append(doc[:end:end], doc[at:]...)
			}
			if len(doc) == 0 {
				break
			}
		}
		frames = appendFrame(frames, 'd', doc)
	}
	if got := len(newHarness(t).run(t, frames)); got != len(whole)+3000 {
		t.Errorf("%d answers", got)
	}
}

// TestErrorsAnywhere puts each kind of error, and what looks like one, into small and large valid
// messages: both ways must agree.
func TestErrorsAnywhere(t *testing.T) {
	t.Parallel()
	event := string(samples(t)["intervento.xml"])
	frames := eventFiles(t)
	want := 0
	for _, trouble := range []string{
		"]]>", "&a;", "&#0;", "<q:p/>", "\x01", "\xff", "<a b='<'/>", "<a b=1/>", "<a b='' b=''/>", "<!-- a -- b -->", "<!-- a --->",
		"<?xml a?>", "<?a:b c?>", "<![CDATA[x]]>", "</x>", "<", "<a", `<a xml:id="1 x"/>`, `<a xml:id="x"/><a xml:id="x"/>`,
		`<a xml:lang="-"/>`, `<a xml:space="x"/>`, `<a xmlns:q=""/>`, `<a xmlns:q="not a uri"/>`,
	} {
		for _, room := range []int{0, 300, 5000} {
			filler := strings.Repeat("<p>zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz</p>", room)
			for _, comment := range []string{"", "<!-- c -->"} { // which takes the long way
				for _, parts := range [][3]string{{trouble + filler, comment}, {filler + trouble, comment}, {filler, comment, trouble}} {
					at := strings.LastIndex(event, "</")
					doc := `<s:Envelope xmlns:s="` + soap12 + `"><s:Header><h>` + parts[0] + "</h></s:Header><s:Body>" +
						event[:at] + parts[1] + parts[2] + event[at:] + "</s:Body></s:Envelope>"
					frames = appendFrame(frames, 'd', []byte(doc))
					want++
				}
			}
		}
	}
	if got := len(newHarness(t).run(t, frames)); got != want {
		t.Errorf("%d answers for %d documents", got, want)
	}
}

// corpora gives the public test vectors, or skips: they are not part of this project.
func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SINBAHUB_CORPORA")
	if dir == "" {
		t.Skip("SINBAHUB_CORPORA is not set: no public test vectors")
	}
	return dir
}

// TestCoreSurvivesAttacks runs the core over every file of the attack, fuzz and conformance
// collections, for the sanitizers to watch.
func TestCoreSurvivesAttacks(t *testing.T) {
	t.Parallel()
	root := corpora(t)
	frames := eventFiles(t)
	files := 0
	for _, dir := range []string{"02-xml-conformance", "03-libxml2-tests", "04-xml-attacks", "06-soap-messages", "08-fuzz"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			frames = appendFrame(frames, 'd', read(t, path))
			files++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(newHarness(t).run(t, frames)); got != files {
		t.Errorf("%d answers for %d files", got, files)
	}
}

// TestConformance holds the parser against the W3C and OASIS conformance suite: what must be
// refused is refused, a document type as such, and nothing else.
func TestConformance(t *testing.T) {
	t.Parallel()
	root := filepath.Join(corpora(t), "02-xml-conformance")
	s := eventSchema(t)
	// Judged otherwise than the suite's table has it, and why.
	otherwise := map[string]string{
		"eduni/xml-1.1/016.xml": "name of the fifth edition of XML 1.0",
		"eduni/xml-1.1/019.xml": "name of the fifth edition of XML 1.0",
		"oasis/p15pass1.xml":    "the doctype stands in a comment",
		"oasis/p16pass1.xml":    "the doctype stands in an instruction",
		"oasis/p04pass1.xml":    "colon in a name: not well-formed with namespaces",
		"oasis/p05pass1.xml":    "colon in a name: not well-formed with namespaces",
		"eduni/xml-1.1/015.xml": "XML 1.1",
		"eduni/xml-1.1/017.xml": "XML 1.1",
		"eduni/xml-1.1/018.xml": "XML 1.1",
	}
	seen := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(string(read(t, filepath.Join(root, "expected.tsv")))), "\n") {
		column := strings.Split(line, "\t")
		if i == 0 {
			continue
		}
		path, want := column[2], column[7]
		v := check(t, s, read(t, filepath.Join(root, path)), xmlschema.Bare)
		got := map[xmlschema.Status]string{
			xmlschema.Doctype:       "reject-doctype",
			xmlschema.Malformed:     "reject",
			xmlschema.UnknownRoot:   "well-formed",
			xmlschema.WrongEncoding: "encoding",
		}[v.Status]
		seen[fmt.Sprintf("%s as %s", want, got)]++
		refused := strings.HasPrefix(want, "reject")
		accepted := strings.HasPrefix(want, "accept")
		if (refused && got == "well-formed" || accepted && got == "reject") && otherwise[path] == "" {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	t.Log(seen)
}

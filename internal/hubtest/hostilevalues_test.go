//go:build smoke

package hubtest_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/xsd"
)

// valuesCompared is how many mutated messages must be accepted and compared.
const valuesCompared = 400

// TestSmokeHostileSpellingsAreReadAsAnotherParserReadsThem writes events in every spelling XML has,
// with pieces of fuzzing corpora in them. Whenever the validator accepts one, each value the hub
// reads equals what xmllint finds at that place of the bytes as they were sent.
func TestSmokeHostileSpellingsAreReadAsAnotherParserReadsThem(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Fatal("xmllint is missing: install the Debian package libxml2-utils")
	}
	m := &speller{rand: rand.New(rand.NewPCG(7, 7)), pieces: corpusPieces(t)}
	events, pool := catalogueOf(t), poolOf(t)
	documents := sampleEvents(t)
	compared, refused, values := 0, 0, 0
	for n := 0; compared < valuesCompared; n++ {
		if n > 40*valuesCompared {
			t.Fatalf("only %d of %d messages were accepted", compared, n)
		}
		body := m.spell(documents[n%len(documents)], []soap.Version{soap.V11, soap.V12}[n%2])
		if soap.Scan(body, soap.DefaultLimits()) != nil {
			refused++
			continue
		}
		result, err := pool.Validate(t.Context(), validator.SinbaEventi, validator.Envelope, body)
		if err != nil || len(result.Violations) > 0 {
			refused++
			continue
		}
		event, err := events.Read(result.Payload)
		if err != nil {
			t.Fatalf("accepted and not readable: %v\n%q", err, body)
		}
		compared++
		values += compareValues(t, event, body)
	}
	t.Logf("%d messages compared with %d values, %d refused", compared, values, refused)
}

// catalogueOf is what the hub reads events with.
func catalogueOf(t *testing.T) *sinba.Catalogue {
	t.Helper()
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sinba.Load(file, sinba.DefaultReference())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// poolOf runs one validator of its own, started from this test's binary.
func poolOf(t *testing.T) *validator.Pool {
	t.Helper()
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := validator.New(validator.Config{Workers: 1, Schemas: map[validator.Schema]validator.SchemaFiles{
		validator.SinbaEventi: {Main: xsd.SinbaEventi, Files: map[string][]byte{xsd.SinbaEventi: file}, Namespace: contract.Namespace},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// sampleEvents are the events of testdata, without their declarations.
func sampleEvents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(hubtest.Root(), "testdata/events/*/*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	documents := make([]string, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents[i] = string(soap.TrimDeclaration(text))
	}
	return documents
}

// corpusPieces are parts of the conformance suite's and the fuzzers' documents.
func corpusPieces(t *testing.T) []string {
	t.Helper()
	var pieces []string
	for _, dir := range []string{"02-xml-conformance", "08-fuzz"} {
		err := filepath.WalkDir(filepath.Join(corpora(t), dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if utf8.Valid(text) && len(text) > 0 {
				pieces = append(pieces, string(text[len(text)/3:min(len(text), len(text)/3+80)]))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pieces
}

// speller writes one document in many ways.
type speller struct {
	rand   *rand.Rand
	pieces []string
}

// one tells yes once in n times.
func (m *speller) one(n int) bool { return m.rand.IntN(n) == 0 }

// pick chooses.
func (m *speller) pick(choices ...string) string { return choices[m.rand.IntN(len(choices))] }

// spell writes an event into an envelope. Each spelling is used seldom enough that many of the
// messages stay valid.
func (m *speller) spell(document string, v soap.Version) []byte {
	text := regexp.MustCompile(`>([^<>]+)<`).ReplaceAllStringFunc(document, func(match string) string {
		value := match[1 : len(match)-1]
		if strings.TrimSpace(value) == "" {
			return ">" + m.between(value) + "<"
		}
		return ">" + m.value(value) + "<"
	})
	text = regexp.MustCompile(`</?[A-Za-z]+`).ReplaceAllStringFunc(text, func(tag string) string {
		if m.one(50) && tag[1] == '/' {
			return tag + m.pick(" ", "\n", "\t\r\n")
		}
		return tag
	})
	if m.one(4) { // another prefix than none
		prefix := m.pick("s", "sinba", "xml-", "_", "è")
		text = regexp.MustCompile(`<(/?)([A-Za-z])`).ReplaceAllString(text, "<${1}"+prefix+":$2")
		text = strings.Replace(text, "xmlns=", "xmlns:"+prefix+"=", 1)
	}
	if m.one(4) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if m.one(3) {
		text = strings.Replace(text, `versione="1.0"`, m.pick(`versione='1.0'`, "\nversione = \"1&#46;0\"", `versione="&#x31;.0" xmlns:unused="urn:unused"`), 1)
	}
	body := string(soap.AppendEnvelope(nil, v, []byte(m.between("")+text+m.between(""))))
	switch m.rand.IntN(6) {
	case 0:
		body = "\ufeff" + body
	case 1:
		body = strings.Replace(body, `<?xml version="1.0" encoding="UTF-8"?>`, m.pick("", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding='utf-8' standalone='yes' ?>\n<!-- a -->"), 1)
	case 2: // one byte of it is another
		at := m.rand.IntN(len(body))
		body = body[:at] + string(rune(' '+m.rand.IntN(95))) + body[at+1:]
	}
	return []byte(body)
}

// between writes what may stand between two elements.
func (m *speller) between(blank string) string {
	if !m.one(60) {
		return blank
	}
	return blank + m.pick("<!-- "+strings.ReplaceAll(m.pick(m.pieces...), "-", "")+" -->", "<?a "+strings.ReplaceAll(m.pick(m.pieces...), "?", "")+"?>",
		"\t\r\n", "\n\n", m.pick("<![CDATA[ \n]]>", m.pick(m.pieces...), "&#32;")) + blank
}

// value writes a value in another way that says the same, or seldom another value.
func (m *speller) value(value string) string {
	switch {
	case m.one(150):
		return strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(m.pick(m.pieces...))
	case !m.one(4) || strings.Contains(value, "&"):
		return value
	}
	at := m.rand.IntN(len(value))
	for at > 0 && !utf8.RuneStart(value[at]) {
		at--
	}
	r, n := utf8.DecodeRuneInString(value[at:])
	before, after := value[:at], value[at+n:]
	if strings.Contains(value, " ") || m.one(40) { // mostly names and addresses, which take any character
		before += m.pick("&quot;", "&amp;&lt;", "]]&gt;", "&#38;amp;", "\u00a0", "\U0001F600", "e\u0301", "\u202e", "\ufeff", " ", "&#x1F600;", "<!-- -->", "<?a?>")
	}
	return m.pick(
		fmt.Sprintf("%s&#%d;%s", before, r, after), fmt.Sprintf("%s&#x%x;%s", before, r, after), fmt.Sprintf("%s&#x000%X;%s", before, r, after),
		before+"<![CDATA["+string(r)+after+"]]>", before+"<![CDATA["+string(r)+"]]>"+after, before+"<![CDATA[]]>"+string(r)+after,
	)
}

// compareValues asks xmllint for every value of an event at once and gives how many there were.
func compareValues(t *testing.T, event *sinba.Event, body []byte) int {
	t.Helper()
	const separator, root = "|·|", `/*[local-name()="Envelope"]/*[local-name()="Body"]/*[1]`
	want := []string{event.Version()}
	asked := []string{root + "/@versione"}
	step := regexp.MustCompile(`/(\w+)(?:\[(\d+)\])?`)
	for leaf := range event.All() {
		path := step.ReplaceAllStringFunc(leaf.Path, func(part string) string {
			name := step.FindStringSubmatch(part)
			if name[2] == "" {
				name[2] = "1"
			}
			return fmt.Sprintf(`/*[local-name()=%q][%s]`, name[1], name[2])
		})
		asked, want = append(asked, root+path), append(want, leaf.Value)
	}
	query := `concat("", string(` + strings.Join(asked, `), "`+separator+`", string(`) + `), "` + separator + `", count(` + root + `//*[not(*)]))`
	cmd := exec.CommandContext(t.Context(), "xmllint", "--nonet", "--xpath", query, "-")
	cmd.Stdin = bytes.NewReader(body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xmllint: %v\n%q", err, body)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), separator)
	if len(got) != len(want)+1 || got[len(want)] != strconv.Itoa(len(want)-1) {
		t.Fatalf("%d values, xmllint has %s in %d\n%q", len(want)-1, got[len(got)-1], len(got)-2, body)
	}
	if got[0] == "" {
		got[0] = sinba.SchemaVersion // absent means that
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: the hub reads %q, xmllint %q\n%.2000q", asked[i], want[i], got[i], body)
		}
	}
	return len(want)
}

package sinba_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// standardLeaves reads the leaves of a document with encoding/xml: every element without child
// elements, with its path from below the root.
func standardLeaves(doc []byte) ([]leafValue, error) {
	type level struct {
		path     string
		text     strings.Builder
		children map[string]int
	}
	var all []leafValue
	stack := []*level{}
	d := xml.NewDecoder(strings.NewReader(string(doc)))
	d.Strict = true
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			next := &level{children: map[string]int{}}
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.children[t.Name.Local]++
				next.path = top.path + "/" + t.Name.Local
				if n := top.children[t.Name.Local]; n > 1 {
					next.path = fmt.Sprintf("%s[%d]", next.path, n)
				}
			}
			stack = append(stack, next)
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(t)
			}
		case xml.EndElement:
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if len(top.children) == 0 {
				all = append(all, leafValue{top.path, top.text.String()})
			}
		}
	}
}

// eventLeaves are the leaves as Read sees them.
func eventLeaves(ev *sinba.Event) []leafValue {
	var all []leafValue
	for leaf := range ev.All() {
		all = append(all, leafValue{leaf.Path, leaf.Value})
	}
	return all
}

// genericLeaves are the leaves as Leaves sees them.
func genericLeaves(doc *sinba.Document) []leafValue {
	var all []leafValue
	for _, leaf := range doc.Leaves {
		all = append(all, leafValue{leaf.Path, leaf.Value})
	}
	return all
}

func TestReadAgreesWithEncodingXMLOnTheSamples(t *testing.T) {
	t.Parallel()
	c := load(t)
	for name, doc := range samples(t) {
		want, err := standardLeaves(doc)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := c.Read(doc)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(want, eventLeaves(ev)); diff != "" {
			t.Errorf("%s (-encoding/xml +Read)\n%s", name, diff)
		}
		generic, err := sinba.Leaves(doc)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(want, genericLeaves(generic)); diff != "" {
			t.Errorf("%s (-encoding/xml +Leaves)\n%s", name, diff)
		}
		if generic.Root != "InviaEventoRichiesta" {
			t.Error(name, generic.Root)
		}
		if v, ok := generic.Value("@versione"); v != "1.0" || !ok {
			t.Error(name, v, ok)
		}
	}
}

func TestReadAgreesWithEncodingXMLOnAnyEvent(t *testing.T) {
	t.Parallel()
	c := load(t)
	rapid.Check(t, func(rt *rapid.T) {
		doc, want := random(t, rt).generate("InviaEventoRichiesta")
		standard, err := standardLeaves([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, standard); diff != "" {
			rt.Fatalf("(-generated +encoding/xml)\n%s", diff)
		}
		ev, err := c.Read([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, eventLeaves(ev)); diff != "" {
			rt.Fatalf("(-generated +Read)\n%s", diff)
		}
		generic, err := sinba.Leaves([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, genericLeaves(generic)); diff != "" {
			rt.Fatalf("(-generated +Leaves)\n%s", diff)
		}
	})
}

func TestReadTakesEveryBodyAndIdentity(t *testing.T) {
	t.Parallel()
	c := load(t)
	seen := map[string]bool{}
	for body := range bodies {
		for identity := range identities {
			doc, want := maximal(t, body, identity, plain).generate("VerificaEventoRichiesta")
			ev, err := c.Read([]byte(doc))
			if err != nil {
				t.Fatal(body, identity, err)
			}
			if diff := cmp.Diff(want, eventLeaves(ev)); diff != "" {
				t.Fatal(diff)
			}
			for _, leaf := range want {
				seen[withoutPositions(leaf.Path)] = true
			}
		}
	}
	for _, leaf := range c.Table() {
		if !seen[leaf.Path] && leaf.Path != "/@versione" {
			t.Errorf("no document had %s", leaf.Path)
		}
	}
}

// withoutPositions cuts [n] out of a path.
func withoutPositions(path string) string {
	var b strings.Builder
	inside := false
	for _, r := range path {
		switch {
		case r == '[':
			inside = true
		case r == ']':
			inside = false
		case !inside:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestReadRefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	c := load(t)
	good := sample(t, "presa-in-carico")
	if _, err := c.Read([]byte(good)); err != nil {
		t.Fatal(err)
	}
	const id = "<IdEvento>"
	cases := map[string]string{
		"nothing":             "",
		"text":                "x",
		"another root":        strings.ReplaceAll(good, "InviaEventoRichiesta", "InviaLottoRichiesta"),
		"unclosed":            strings.TrimSuffix(good, "</InviaEventoRichiesta>"),
		"something behind":    good + "<a></a>",
		"empty element":       change(t, good, "<Cartella>", "<Cartella/><Cartella>"),
		"unknown element":     change(t, good, id, "<Altro></Altro>"+id),
		"twice":               change(t, good, "<Cartella>", "<Cartella></Cartella><Cartella>"),
		"other order":         change(t, good, "<TipoOperazione>I</TipoOperazione><ProgressivoCartella>", "<ProgressivoCartella>1</ProgressivoCartella><TipoOperazione>I</TipoOperazione><ProgressivoCartella>"),
		"two bodies":          change(t, good, "</Dettaglio>", "<Annullamento></Annullamento></Dettaglio>"),
		"text in container":   change(t, good, "<Cartella>", "<Cartella>x"),
		"element in leaf":     change(t, good, id, id+"<b></b>"),
		"comment":             change(t, good, id, "<!-- c -->"+id),
		"instruction":         change(t, good, id, "<?p?>"+id),
		"cdata":               change(t, good, "<Cartella>", "<![CDATA[ ]]><Cartella>"),
		"foreign entity":      change(t, good, "<Indirizzo>", "<Indirizzo>&eacute;"),
		"open entity":         change(t, good, "<Indirizzo>", "<Indirizzo>&amp"),
		"regional leaf":       change(t, good, "<CodiceFiscale>NCLRRA10D63D612R</CodiceFiscale>", "<Pseudonimo>x</Pseudonimo>"),
		"value of no list":    set(t, good, "TipoEvento", "NASCITA"),
		"no date":             set(t, good, "DataApertura", "2024-02-30"),
		"no instant":          set(t, good, "DataOraInvio", "2024-02-28T24:00:00Z"),
		"no number":           set(t, good, "ProgressivoCartella", "x"),
		"number too large":    set(t, good, "ProgressivoCartella", "2147483648"),
		"no uuid":             set(t, good, "IdEvento", "{0d3b1c2a-9f00-4a00-8a00-00000000000a}"),
		"no event id":         set(t, good, "IdEvento", ""),
		"no message id":       set(t, good, "IdMessaggio", ""),
		"no type":             set(t, good, "TipoEvento", ""),
		"no sequence":         set(t, good, "ProgressivoCartella", ""),
		"no instant at all":   set(t, good, "DataOraEvento", ""),
		"attribute unquoted":  change(t, good, ` versione="1.0"`, ` versione=1.0`),
		"attribute valueless": change(t, good, ` versione="1.0"`, ` versione`),
		"tags crossed":        change(t, good, "</Cartella><Dettaglio>", "</Dettaglio><Dettaglio>"),
	}
	for name, doc := range cases {
		if _, err := c.Read([]byte(doc)); err == nil {
			t.Errorf("%s was read", name)
		} else if strings.Contains(err.Error(), "eacute") || strings.Contains(err.Error(), "NASCITA") {
			t.Errorf("%s: the error quotes the document: %v", name, err)
		}
	}
}

func TestReadTakesARawGreaterThanInAnAttribute(t *testing.T) {
	t.Parallel()
	doc := change(t, sample(t, "annullamento"), ` versione="1.0"`, ` versione="1.0" xmlns:x="u:>" x:y="a>b=&quot;c"`)
	if got := read(t, doc).Version(); got != "1.0" {
		t.Error(got)
	}
	generic, err := sinba.Leaves([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := generic.Value("@y"); v != `a>b="c` {
		t.Errorf("%q", v)
	}
}

func TestLeavesReadsAnyRoot(t *testing.T) {
	t.Parallel()
	const doc = `<siss:TrasmettiEventoRisposta xmlns:siss="urn:sinba:siss:v1"><siss:Esito>RIFIUTATO</siss:Esito>` +
		`<siss:Violazione><siss:Codice>SISS_201</siss:Codice></siss:Violazione>` +
		`<siss:Altro></siss:Altro>` +
		`<siss:Violazione><siss:Codice>a&amp;b&#xD;</siss:Codice></siss:Violazione></siss:TrasmettiEventoRisposta>`
	got, err := sinba.Leaves([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := []leafValue{
		{"/Esito", "RIFIUTATO"},
		{"/Violazione/Codice", "SISS_201"},
		{"/Altro", ""},
		{"/Violazione[2]/Codice", "a&b\r"},
	}
	if diff := cmp.Diff(want, genericLeaves(got)); diff != "" {
		t.Error(diff)
	}
	if v, ok := got.Value("/Violazione[2]/Codice"); v != "a&b\r" || !ok {
		t.Error(v, ok)
	}
	if _, ok := got.Value("/Nulla"); ok {
		t.Error("found what is not there")
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got.Leaves, got.Leaves[3]); strings.Contains(text, "a&b") || strings.Contains(text, "SISS_201") {
		t.Error("a value was printed:", text)
	}
	leaf, err := sinba.Leaves([]byte(`<EchoRichiesta xmlns="urn:sinba:eventi:v1"></EchoRichiesta>`))
	if err != nil || leaf.Root != "EchoRichiesta" || len(leaf.Leaves) != 1 || leaf.Leaves[0].Value != "" {
		t.Errorf("%v %v", leaf, err)
	}
	for _, bad := range []string{"", "x", "<a>", "<a></b>", "<a><b></b>x</a>", "<a>x<b></b></a>", "<a></a><a></a>", "<a>&x;</a>", `<a b="&x;"></a>`, "<a/>", "<a", "<a b", `<a b="`, `<a b="c`, "</a>"} {
		if _, err := sinba.Leaves([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	deep := strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000)
	if _, err := sinba.Leaves([]byte(deep)); err == nil {
		t.Error("a document of 5000 levels was read")
	}
}

// FuzzRead: no bytes make a reader panic, and what both readers and encoding/xml take they read
// alike. encoding/xml is laxer and stricter than canonical XML in places, so only agreement counts.
func FuzzRead(f *testing.F) {
	for _, doc := range samples(f) {
		f.Add(doc)
	}
	for body := range bodies {
		doc, _ := maximal(f, body, body%identities, plain).generate("Evento")
		f.Add([]byte(doc))
	}
	f.Add([]byte(`<a b="c">x&amp;<d></d></a>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c := load(t)
		ev, err := c.Read(doc)
		generic, genericErr := sinba.Leaves(doc)
		if err != nil {
			_, _ = c.National(doc, nationalCodes())
			return
		}
		if genericErr != nil {
			t.Fatal("Read takes what Leaves refuses")
		}
		mine := eventLeaves(ev)
		if diff := cmp.Diff(mine, withoutContainers(ev, generic)); diff != "" {
			t.Fatalf("(-Read +Leaves)\n%s", diff)
		}
		if standard, err := standardLeaves(doc); err == nil {
			if diff := cmp.Diff(genericLeaves(generic), standard); diff != "" && !strings.Contains(string(doc), "\r") {
				t.Fatalf("(-Leaves +encoding/xml)\n%s", diff)
			}
		}
		_ = ev.Content()
		_ = c.Judge(ev, sinba.RuleContext{Now: received})
		regional := c.Regional(ev, regionalCodes())
		if _, err := c.National(regional, nationalCodes()); err != nil {
			t.Fatal(err)
		}
	})
}

// withoutContainers drops containers that happen to be empty: Leaves does not know the schema.
func withoutContainers(ev *sinba.Event, doc *sinba.Document) []leafValue {
	known := map[string]bool{}
	for _, leaf := range eventLeaves(ev) {
		known[leaf.Path] = true
	}
	var all []leafValue
	for _, leaf := range genericLeaves(doc) {
		if known[leaf.Path] || leaf.Value != "" {
			all = append(all, leaf)
		}
	}
	return all
}

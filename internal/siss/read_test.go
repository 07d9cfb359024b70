package siss_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/siss"
)

// drawElement writes a random element as canonical XML writes it, under the given prefix.
func drawElement(t *rapid.T, depth int, prefix, attributes string) string {
	name := rapid.StringMatching(`[A-Z][a-zA-Z]{0,8}`).Draw(t, "name")
	var content strings.Builder
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		if depth > 0 && rapid.Bool().Draw(t, "child") {
			inner := ""
			if rapid.Bool().Draw(t, "attribute") {
				inner = ` a="x &gt; y > z" b="/"` // canonical attributes may hold a raw >
			}
			content.WriteString(drawElement(t, depth-1, prefix, inner))
		} else {
			content.WriteString(rapid.StringMatching(`([a-z0-9 >]|&amp;|&lt;|&gt;|&#xD;|\n){0,10}`).Draw(t, "text"))
		}
	}
	return "<" + prefix + name + attributes + ">" + content.String() + "</" + prefix + name + ">"
}

// flat lists a document's local names and texts, so that spellings can be compared.
func flat(t *rapid.T, document string) string {
	d := xml.NewDecoder(strings.NewReader(document))
	var out strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%v in %s", err, document)
		}
		switch x := token.(type) {
		case xml.StartElement:
			out.WriteString("<" + x.Name.Space + "|" + x.Name.Local + ">")
		case xml.EndElement:
			out.WriteString("</>")
		case xml.CharData:
			out.WriteString(string(x))
		}
	}
}

func TestStandaloneKeepsTheEventAndDropsItsSpelling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		plain := drawElement(t, 3, "", "")
		declared := strings.Replace(plain, ">", ` xmlns="urn:sinba:siss:v1">`, 1)
		got := string(siss.Standalone([]byte(plain)))
		if flat(t, got) != flat(t, declared) {
			t.Fatalf("%s became %s", plain, got)
		}
		if strings.Contains(got, ` a="`) {
			t.Fatalf("attribute kept: %s", got)
		}
		if again := string(siss.Standalone([]byte(got))); again != got {
			t.Fatalf("not stable: %s, then %s", got, again)
		}
	})
}

func TestStandaloneIsTheSameForEveryPrefix(t *testing.T) {
	t.Parallel()
	plain := `<E><A>1</A><B x="p:q"><C></C></B></E>`
	prefixed := `<p:E xmlns:p="urn:sinba:siss:v1"><p:A>1</p:A><p:B x="p:q"><p:C></p:C></p:B></p:E>`
	if a, b := siss.Standalone([]byte(plain)), siss.Standalone([]byte(prefixed)); string(a) != string(b) {
		t.Errorf("%s differs from %s", a, b)
	}
}

func TestTextOfADirectChildOnly(t *testing.T) {
	t.Parallel()
	document := []byte(`<r xmlns="urn:x"><a><v>inner</v></a><v>a &amp; &lt;b&gt;&#xD;</v><v>second</v></r>`)
	if got := siss.Text(document, "v"); got != "a & <b>\r" {
		t.Errorf("got %q", got)
	}
	if got := siss.Text(document, "w"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestTypeOfFindsTheTypeAtAnyDepth(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{
		`<E><T><TipoEvento>PROGETTO</TipoEvento></T></E>`: "PROGETTO",
		`<p:TipoEvento>X</p:TipoEvento>`:                  "X",
		`<E><T></T></E>`:                                  "",
		``:                                                "",
	} {
		if got := siss.TypeOf([]byte(document)); got != want {
			t.Errorf("%s: %q, want %q", document, got, want)
		}
	}
}

func TestAppendJSONIsReadBackAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		line := siss.AppendJSON(nil, []byte(text))
		var got string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// The file of received transmissions may have been edited: reading it must not end the process.
func FuzzReaderSurvivesAnyBytes(f *testing.F) {
	for _, seed := range []string{"", "<", "</", "<a", `<a b="`, `<a b="c>`, "<a:b></a:b>", "<TipoEvento>", "<a>b</a></a>", "<a><b></a>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, document []byte) {
		siss.Standalone(document)
		siss.TypeOf(document)
		siss.Text(document, "a")
	})
}

package soap_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

func TestScanRefusesWhatIsOverALimit(t *testing.T) {
	t.Parallel()
	limits := soap.DefaultLimits()
	open, shut := strings.Repeat("<a>", limits.Depth), strings.Repeat("</a>", limits.Depth)
	attributes := func(n int, prefix string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(" " + prefix + strings.Repeat("x", 1+i%7) + string(rune('a'+i%26)) + `="v>'"`)
		}
		return "<e" + b.String() + "/>"
	}
	cases := []struct {
		name string
		doc  string
		want soap.Reason
	}{
		{"deepest allowed", open + shut, 0},
		{"one too deep", "<a>" + open + shut + "</a>", soap.TooDeep},
		{"siblings are not depth", "<a>" + strings.Repeat("<b/><c></c>", 1000) + "</a>", 0},
		{"most attributes", attributes(limits.Attributes, ""), 0},
		{"one attribute too many", attributes(limits.Attributes+1, ""), soap.TooManyAttributes},
		{"one namespace too many", attributes(limits.Namespaces+1, "xmlns:"), soap.TooManyNamespaces},
		{"attribute flood", attributes(100_000, ""), soap.TooManyAttributes},
		{"most namespaces in scope", nested(2, limits.Scope/2, "<b/>"), 0},
		{"an empty element's count too", nested(2, limits.Scope/2, `<b xmlns:c="d"/>`), soap.TooManyNamespaces},
		{"one namespace in scope too many", nested(2, limits.Scope/2, `<b xmlns="c"></b>`), soap.TooManyNamespaces},
		{"closed elements have none in scope", "<a>" + strings.Repeat(nested(2, limits.Scope/2, ""), 10) + "</a>", 0},
		{"longest name", "<" + strings.Repeat("n", limits.Name) + "/>", 0},
		{"name too long", "<" + strings.Repeat("n", limits.Name+1) + "/>", soap.NameTooLong},
		{"attribute name too long", "<a " + strings.Repeat("n", limits.Name+1) + "='1'/>", soap.NameTooLong},
		{"longest text", "<a>" + strings.Repeat("t", limits.Text) + "</a>", 0},
		{"text too long", "<a>" + strings.Repeat("t", limits.Text+1) + "</a>", soap.TextTooLong},
		{"attribute value too long", `<a b="` + strings.Repeat("t", limits.Text+1) + `"/>`, soap.TextTooLong},
		{"instruction's name too long", "<a><?" + strings.Repeat("n", limits.Name+1) + " x?></a>", soap.NameTooLong},
		{"longest name of an instruction", "<a><?" + strings.Repeat("n", limits.Name) + " " + strings.Repeat("x", limits.Name) + "?></a>", 0},
		{"comment too long", "<a><!--" + strings.Repeat("t", limits.Text+1) + "--></a>", soap.TextTooLong},
		{"cdata too long", "<a><![CDATA[" + strings.Repeat("t", limits.Text+1) + "]]></a>", soap.TextTooLong},
		{"markup in a comment does not count", "<a><!-- " + strings.Repeat("<b>", 100) + " --></a>", 0},
		{"instruction flood", "<a>" + strings.Repeat("<?p?>", limits.Misc+1) + "</a>", soap.TooManyMisc},
		{"element flood", "<a>" + strings.Repeat("<b/>", limits.Elements) + "</a>", soap.TooManyElements},
		{"too many bytes", strings.Repeat(" ", limits.Bytes) + "<", soap.TooManyBytes},
		{"doctype", "<!DOCTYPE a><a/>", soap.Doctype},
		{"doctype after a comment", "<!--x--><!DOCTYPE a [<!ENTITY b 'c'>]><a/>", soap.Doctype},
		{"nothing", "", soap.Empty},
		{"only blanks", " \r\n\t", soap.Empty},
		{"null byte", "<a>\x00</a>", soap.NullByte},
		{"not UTF-8", "<a>\xe8</a>", soap.NotUTF8},
		{"declared UTF-8", "<?xml version='1.0' encoding='utf-8'?><a/>", 0},
		{"marked UTF-8", "\xef\xbb\xbf<?xml version='1.0' encoding=\"UTF-8\"?><a/>", 0},
		{"an instruction before the root", `<?xml version="1.0"?><?xml-stylesheet href="<a>"?><?è x?><a/>`, 0},
		{"broken end is the parser's business", "<a b='1", 0},
		{"lone bracket is the parser's business", "<", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := reason(t, soap.Scan([]byte(c.doc), limits)); got != c.want {
				t.Errorf("Scan: %v, want %v", got, c.want)
			}
		})
	}
}

// nested opens depth elements with so many namespace declarations each around content.
func nested(depth, declarations int, content string) string {
	var b strings.Builder
	for d := range depth {
		b.WriteString("<e")
		for i := range declarations {
			fmt.Fprintf(&b, ` xmlns:p%d_%d="u"`, d, i)
		}
		b.WriteString(">")
	}
	return b.String() + content + strings.Repeat("</e>", depth)
}

// TestScanRefusesMarkupAtWhichAParserTakesUpItsWorkElsewhere hides elements where this pass would
// not count them and libxml2, which goes on behind an error, would read them.
func TestScanRefusesMarkupAtWhichAParserTakesUpItsWorkElsewhere(t *testing.T) {
	t.Parallel()
	const hidden = "<x/>"
	for name, doc := range map[string]string{
		"instruction without name":           "<a><?" + hidden + "?></a>",
		"instruction with a digit":           "<a><?1" + hidden + "?></a>",
		"instruction with a sign of no name": "<a><?\u00d7" + hidden + "?></a>",
		"instruction at the end":             "<a><?",
		"XML declaration without its end":    "<?xml version='1.0'>" + hidden + "<?b?>",
		"marked XML declaration":             "\xef\xbb\xbf<?xml version='1.0'>" + hidden + "<?b?>",
		"hyphens in a comment":               "<a><!-- -- " + hidden + "--></a>",
		"control character in a comment":     "<a><!--\x01" + hidden + "--></a>",
		"control character in a section":     "<a><![CDATA[\x1f" + hidden + "]]></a>",
		"control character in a value":       "<a b='\x0b" + hidden + "'/>",
		"control character far in":           "<a>" + strings.Repeat("\n", 99) + "1234567\x08</a>",
		"no character U+FFFE":                "<a><!--\ufffe" + hidden + "--></a>",
		"no character U+FFFF":                "<a>\uffff</a>",
		"element in a value":                 "<a b='" + hidden + "'/>",
		"element in a value without end":     "<a b='" + hidden,
		"element in a start tag":             "<a><b c=1 " + hidden + "</a>",
		"element in an end tag":              "<a><b></b " + hidden + "></a>",
		"end tag before the start":           "</a>" + hidden,
		"end tag too many":                   "<a></a></a>" + hidden,
		"small doctype":                      "<!doctype a><a/>",
		"declaration of a document type":     "<a><!ELEMENT b (c)></a>",
		"broken section":                     "<a><![cdata[" + hidden + "]]></a>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := reason(t, soap.Scan([]byte(doc), soap.DefaultLimits())); got != soap.Broken {
				t.Errorf("Scan: %v, want %v", got, soap.Broken)
			}
		})
	}
}

// reason is the reason in err, 0 for nil.
func reason(t *testing.T, err error) soap.Reason {
	t.Helper()
	if err == nil {
		return 0
	}
	var limit *soap.LimitError
	if !errors.As(err, &limit) {
		t.Fatalf("error is %T, want *soap.LimitError", err)
	}
	return limit.Reason
}

func TestScanNamesTheEncodingFound(t *testing.T) {
	t.Parallel()
	wide := func(text string, big bool) string {
		var b bytes.Buffer
		for _, u := range utf16.Encode([]rune(text)) {
			if big {
				b.Write([]byte{byte(u >> 8), byte(u)})
			} else {
				b.Write([]byte{byte(u), byte(u >> 8)})
			}
		}
		return b.String()
	}
	cases := []struct{ doc, want string }{
		{"\xff\xfe" + wide("<a/>", false), "UTF-16LE"},
		{"\xfe\xff" + wide("<a/>", true), "UTF-16BE"},
		{wide("<a/>", false), "UTF-16LE"},
		{wide("<a/>", true), "UTF-16BE"},
		{"\x4c\x6f\xa7\x94\x93", "EBCDIC"},
		{"+ADw-a/+AD4-", "UTF-7"},
		{"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "ISO-8859-1"},
		{"<?xml version='1.0' encoding='Mario Rossi'?><a/>", "other"},
		{"<?xml version='1.0' encoding=UTF-8?><a/>", "other"},
		{"<a>\xc3\x28</a>", "bytes"},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			var limit *soap.LimitError
			if err := soap.Scan([]byte(c.doc), soap.DefaultLimits()); !errors.As(err, &limit) || limit.Encoding != c.want {
				t.Errorf("Scan(%q) found %v, want %q", c.doc, limit, c.want)
			}
		})
	}
}

func TestScanTellsTheLine(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"<a>\n\n<!DOCTYPE a>", "<a>\n\n\x01\n\n</a>", "<a>\n\n\x00", "<a\n\n b='<'/>"} {
		err := soap.Scan([]byte(doc), soap.DefaultLimits())
		var limit *soap.LimitError
		if !errors.As(err, &limit) || limit.Line != 3 {
			t.Errorf("%q: line %+v, want 3", doc, limit)
		}
	}
}

// TestScanEndsOnAnything proves that the pass neither panics nor loops, whatever it is given.
func TestScanEndsOnAnything(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"<", ">", "/", "</", "/>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<!", "=", "'", `"`, "a", " ", "\n", "xmlns:b", "è"})
	rapid.Check(t, func(t *rapid.T) {
		doc := strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "")
		_ = soap.Scan([]byte(doc), soap.Limits{Bytes: 1 << 20, Depth: 3, Elements: 5, Attributes: 3, Namespaces: 2, Scope: 3, Name: 4, Text: 6, Misc: 2})
	})
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("<a b='c'><!--d--><e/></a>"))
	f.Fuzz(func(_ *testing.T, doc []byte) { _ = soap.Scan(doc, soap.DefaultLimits()) })
}

func BenchmarkScan(b *testing.B) {
	doc := []byte("<a>" + strings.Repeat("<Elemento nome=\"valore\">contenuto qualsiasi</Elemento>", 150) + "</a>")
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		if err := soap.Scan(doc, soap.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

package xmlschema_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// shown writes a finding as "code line path".
func shown(f xmlschema.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d ", f.Code, f.Line)
	for _, s := range f.Path {
		fmt.Fprintf(&b, "/%s[%d]", s.Name, s.Pos)
	}
	if f.Child != "" {
		b.WriteString(" " + f.Child)
	}
	return b.String()
}

func shownAll(v xmlschema.Verdict) []string {
	var all []string
	for _, f := range v.Findings {
		all = append(all, shown(f))
	}
	return all
}

func TestFindingsSayWhatAndWhere(t *testing.T) {
	t.Parallel()
	s := small(t, `
	<xs:simpleType name="Code"><xs:restriction base="xs:string"><xs:enumeration value="A"/><xs:enumeration value="B"/></xs:restriction></xs:simpleType>
	<xs:simpleType name="Short"><xs:restriction base="xs:string"><xs:maxLength value="3"/><xs:pattern value="[a-z]*"/></xs:restriction></xs:simpleType>
	<xs:simpleType name="Digit"><xs:restriction base="xs:int"><xs:minInclusive value="0"/><xs:maxInclusive value="9"/></xs:restriction></xs:simpleType>
	<xs:simpleType name="Either"><xs:union memberTypes="Code Digit"/></xs:simpleType>
	<xs:complexType name="Value"><xs:simpleContent><xs:extension base="Digit"><xs:attribute name="unit" type="Code"/></xs:extension></xs:simpleContent></xs:complexType>
	<xs:element name="r"><xs:complexType><xs:sequence>
		<xs:element name="code" type="Code" minOccurs="0" maxOccurs="unbounded"/>
		<xs:element name="short" type="Short" minOccurs="0"/>
		<xs:element name="digit" type="Digit" minOccurs="0"/>
		<xs:element name="either" type="Either" minOccurs="0"/>
		<xs:element name="day" type="xs:date" minOccurs="0"/>
		<xs:element name="value" type="Value" minOccurs="0"/>
		<xs:element name="box" minOccurs="0"><xs:complexType><xs:sequence><xs:element name="one" type="Code"/><xs:element name="two" type="Code"/></xs:sequence>
			<xs:attribute name="kind" type="Code" use="required"/></xs:complexType></xs:element>
	</xs:sequence><xs:attribute name="v" type="Digit"/></xs:complexType></xs:element>`)
	for name, tt := range map[string]struct {
		doc  string
		want []string
	}{
		"enumeration":                  {"<code>C</code>", []string{"1840 1 /r[1]/code[1]"}},
		"second of a name":             {"<code>A</code>\n\n<code>C</code>", []string{"1840 3 /r[1]/code[2]"}},
		"pattern":                      {"<short>1</short>", []string{"1839 1 /r[1]/short[1]"}},
		"length and pattern, one each": {"<short>12345</short>", []string{"1832 1 /r[1]/short[1]"}},
		"range":                        {"<digit>10</digit>", []string{"1834 1 /r[1]/digit[1]"}},
		"no number":                    {"<digit>x</digit>", []string{"1824 1 /r[1]/digit[1]"}},
		"union":                        {"<either>x</either>", []string{"1826 1 /r[1]/either[1]"}},
		"empty value":                  {"<day/>", []string{"1824 1 /r[1]/day[1]"}},
		"blanks around":                {"<code> A</code><digit>1\n</digit><day>\t2020-01-01</day>", []string{"100002 1 /r[1]/code[1]", "100002 1 /r[1]/digit[1]", "100002 2 /r[1]/day[1]"}},
		"only blanks":                  {"<digit> </digit>", []string{"1824 1 /r[1]/digit[1]"}},
		"no-break space is no blank":   {"<digit>1\u00A0</digit>", []string{"1824 1 /r[1]/digit[1]"}},
		"comment in a value":           {"<short>a<!-- b -->c</short>", []string{"100001 1 /r[1]/short[1]"}},
		"instruction in a value":       {"<short>a<?b?></short>", []string{"100001 1 /r[1]/short[1]"}},
		"comment in a wrong value":     {"<short>1<!-- b -->c</short>", []string{"1839 1 /r[1]/short[1]", "100001 1 /r[1]/short[1]"}},
		"comment between elements":     {"<code>A</code> <!-- b --> <code>B</code>", nil},
		"missing child":                {"<box kind='A'><one>A</one></box>", []string{"100003 1 /r[1]/box[1] two"}},
		"missing all children":         {"<box kind='A'/>", []string{"100003 1 /r[1]/box[1]"}},
		"missing first child":          {"<box kind='A'><two>A</two></box>", []string{"100003 1 /r[1]/box[1] one"}},
		"one child too many":           {"<box kind='A'><one>A</one><two>A</two><two>B</two></box>", []string{"100005 1 /r[1]/box[1]/two[2]"}},
		"unknown child":                {"<code>A</code><Rossi>x</Rossi>", []string{"1871 1 /r[1]/[2]"}},
		"child of another namespace":   {"<code xmlns='urn:u'>A</code>", []string{"100006 1 /r[1]/code[1]"}},
		"text among elements":          {"<box kind='A'>x<one>A</one><two>A</two></box>", []string{"1843 1 /r[1]/box[1]"}},
		"text and missing child":       {"<box kind='A'>x<one>A</one></box>", []string{"100003 1 /r[1]/box[1] two", "1843 1 /r[1]/box[1]"}},
		"text instead of children":     {"<box kind='A'>x</box>", []string{"1843 1 /r[1]/box[1]"}},
		"wrong order":                  {"<box kind='A'><two>A</two><one>C</one></box>", []string{"100004 1 /r[1]/box[1]/two[1]", "1840 1 /r[1]/box[1]/one[1]"}},
		"unknown child for a missing":  {"<box kind='A'><One>A</One><two>C</two></box>", []string{"1871 1 /r[1]/box[1]/[1] one", "1840 1 /r[1]/box[1]/two[1]"}},
		"values after a wrong child":   {"<code>A</code><Rossi/><digit>x</digit><short>1</short>", []string{"1871 1 /r[1]/[2]", "100004 1 /r[1]/digit[1]", "1824 1 /r[1]/digit[1]", "1839 1 /r[1]/short[1]"}},
		"all of another namespace":     {"<box kind='A' xmlns=''><one>A</one><two>C</two></box>", []string{"100006 1 /r[1]/box[1]", "1840 1 /r[1]/box[1]/two[1]"}},
		"blanks around a wrong value":  {"<code> C</code><digit> 10 </digit>", []string{"1840 1 /r[1]/code[1]", "1834 1 /r[1]/digit[1]"}},
		"blanks and a wrong child":     {"<code>A </code><Rossi/><digit> 1</digit>", []string{"100002 1 /r[1]/code[1]", "1871 1 /r[1]/[2]", "100002 1 /r[1]/digit[1]"}},
		"nil of an element with more":  {"<box kind='A' i:nil='true' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'/>", []string{"1847 1 /r[1]/box[1]"}},
		"element in a value":           {"<code>A<b/></code>", []string{"1828 1 /r[1]/code[1]"}},
		"attribute missing":            {"<box><one>A</one><two>A</two></box>", []string{"1868 1 /r[1]/box[1]"}},
		"attribute not expected":       {"<code unit='A'>A</code>", []string{"1827 1 /r[1]/code[1]/@unit[0]"}},
		"attribute unknown":            {"<code Rossi='A'>A</code>", []string{"1827 1 /r[1]/code[1]/[0]"}},
		"attribute's value":            {"<value unit='C'>1</value>", []string{"1840 1 /r[1]/value[1]/@unit[0]"}},
		"attribute's blanks":           {"<value unit=' A'>1</value>", []string{"100002 1 /r[1]/value[1]/@unit[0]"}},
		"attribute and value":          {"<value unit='C'>x</value>", []string{"1840 1 /r[1]/value[1]/@unit[0]", "1824 1 /r[1]/value[1]"}},
		"nil where not allowed":        {"<code i:nil='true' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'/>", []string{"1847 1 /r[1]/code[1]"}},
		"type that is not derived":     {"<code i:type='Digit' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'>1</code>", []string{"1852 1 /r[1]/code[1]/[0]", "1840 1 /r[1]/code[1]"}},
		"several, in document order":   {"<code>C</code>\n<short>1</short>\n<digit>x</digit>", []string{"1840 1 /r[1]/code[1]", "1839 2 /r[1]/short[1]", "1824 3 /r[1]/digit[1]"}},
	} {
		v := check(t, s, []byte(`<r xmlns="urn:t">`+tt.doc+`</r>`), xmlschema.Bare)
		if diff := cmp.Diff(tt.want, shownAll(v)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if v.Total != len(tt.want) || (v.Payload == nil) != (len(tt.want) > 0) {
			t.Errorf("%s: total %d, payload %q", name, v.Total, v.Payload)
		}
	}
	v := check(t, s, []byte(`<r xmlns="urn:t" v="x" w="1"/>`), xmlschema.Bare)
	if diff := cmp.Diff([]string{"1824 1 /r[1]/@v[0]", "1866 1 /r[1]/[0]"}, shownAll(v)); diff != "" {
		t.Error(diff)
	}
}

// TestSplitValuesAreRefusedOrJoined splits every value of the samples in the three ways XML has.
func TestSplitValuesAreRefusedOrJoined(t *testing.T) {
	t.Parallel()
	s := eventSchema(t)
	leaf := regexp.MustCompile(`>[^<>]+</`)
	for name, event := range samples(t) {
		for _, at := range leaf.FindAllIndex(event, -1) {
			middle := (at[0] + at[1] - 1) / 2
			for event[middle]&0xC0 == 0x80 {
				middle++ // not inside a character
			}
			split := func(by string) []byte {
				return []byte(string(event[:middle]) + by + string(event[middle:]))
			}
			for _, by := range []string{"<!---->", "<!-- x -->", "<?x?>"} {
				v := check(t, s, split(by), xmlschema.Bare)
				if v.Status != xmlschema.Invalid || v.Total != 1 || v.Findings[0].Code != xmlschema.CodeSplitValue {
					t.Errorf("%s at %d by %s: %v", name, middle, by, shownAll(v))
				}
			}
			if v := check(t, s, split("<![CDATA[]]>"), xmlschema.Bare); !bytes.Equal(v.Payload, event) {
				t.Errorf("%s at %d by CDATA: %v", name, middle, shownAll(v))
			}
		}
	}
}

func TestFindingsAreCountedBeyondTheList(t *testing.T) {
	t.Parallel()
	s := small(t, `<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="d" type="xs:int" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element>`)
	v := check(t, s, []byte(`<r xmlns="urn:t">`+strings.Repeat("<d>x</d>", 250)+`</r>`), xmlschema.Bare)
	if v.Total != 250 || len(v.Findings) != xmlschema.MaxFindings {
		t.Fatalf("%d of %d", len(v.Findings), v.Total)
	}
	for i, f := range v.Findings {
		if want := fmt.Sprintf("1824 1 /r[1]/d[%d]", i+1); shown(f) != want {
			t.Errorf("got %s, want %s", shown(f), want)
		}
	}
}

func TestFindingsWithoutRoomEndTheListOnly(t *testing.T) {
	t.Parallel()
	s := small(t, `<xs:element name="r"><xs:complexType><xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence></xs:complexType></xs:element>
		<xs:element name="d" type="xs:int"/>`)
	long := strings.Repeat("n", 255)
	depth := 200
	doc := `<r xmlns="urn:t">` + strings.Repeat("<"+long+">", depth) + strings.Repeat("<d>x</d>", 100) +
		strings.Repeat("</"+long+">", depth) + `</r>`
	v := check(t, s, []byte(doc), xmlschema.Bare)
	if v.Status != xmlschema.Invalid || v.Total != 100 || len(v.Findings) == 0 || len(v.Findings) == 100 {
		t.Errorf("status %d, %d of %d", v.Status, len(v.Findings), v.Total)
	}
}

// TestNoFindingHoldsAValue breaks values, names and attributes with a mark that must not come
// back. It is not parallel: it watches the process's stderr, to which libxml2 prints.
func TestNoFindingHoldsAValue(t *testing.T) { //nolint:paralleltest // watches the whole process's stderr
	const mark = "MARKED7x"
	s := eventSchema(t)
	var events [][]byte
	for _, e := range samples(t) {
		events = append(events, e)
	}
	stderr := captureStderr(t)
	leaf := regexp.MustCompile(`>[^<>]+</`) // the text of an element that holds nothing else
	rapid.Check(t, func(rt *rapid.T) {
		event := string(rapid.SampledFrom(events).Draw(rt, "event"))
		places := leaf.FindAllStringIndex(event, -1)
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			p := rapid.SampledFrom(places).Draw(rt, "place")
			value := mark + strconv.Itoa(rapid.IntRange(0, 9).Draw(rt, "digit"))
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0: // another value
				event = event[:p[0]+1] + value + event[p[1]-2:]
			case 1: // a child where text belongs, named by the mark
				event = event[:p[0]+1] + "<" + value + "/>" + event[p[1]-2:]
			case 2: // an attribute named and valued by the mark
				event = event[:p[0]] + " " + value + `="` + value + `"` + event[p[0]:]
			case 3: // a namespace
				event = event[:p[0]] + ` xmlns="urn:` + value + `"` + event[p[0]:]
			case 4: // not well-formed
				event = event[:p[0]+1] + value + "<" + event[p[1]-2:]
			case 5: // a long value
				event = event[:p[0]+1] + strings.Repeat(value, 2000) + event[p[1]-2:]
			}
			places = leaf.FindAllStringIndex(event, -1)
			if len(places) == 0 {
				break
			}
		}
		v := check(t, s, []byte(event), xmlschema.Bare)
		v.Payload = nil
		if text := fmt.Sprintf("%+v", v); strings.Contains(text, mark) {
			rt.Fatalf("verdict holds the mark: %s", text)
		}
	})
	if out := stderr(); out != "" {
		t.Errorf("libxml2 printed %d bytes", len(out))
	}
}

// captureStderr points descriptor 2 to a file until the returned function reads it.
func captureStderr(t *testing.T) (content func() string) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	restore := redirect(t, f)
	return func() string {
		restore()
		return string(read(t, f.Name()))
	}
}

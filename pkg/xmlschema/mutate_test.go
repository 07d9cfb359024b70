package xmlschema_test

import (
	"bytes"
	"encoding/xml"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// node is an element of a document to be mutated: raw names and attributes, and either a text or
// children.
type node struct {
	name  string
	attrs [][2]string
	text  string
	kids  []*node
}

// parse reads one of this project's own documents without comments.
func parse(tb testing.TB, document []byte) *node {
	tb.Helper()
	d := xml.NewDecoder(bytes.NewReader(document))
	root := &node{}
	path := []*node{root}
	for {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: raw(t.Name)}
			for _, a := range t.Attr {
				n.attrs = append(n.attrs, [2]string{raw(a.Name), a.Value})
			}
			path[len(path)-1].kids = append(path[len(path)-1].kids, n)
			path = append(path, n)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			path[len(path)-1].text += string(t)
		}
	}
	if len(root.kids) != 1 {
		tb.Fatal("a document to mutate has no root")
	}
	return root.kids[0]
}

func raw(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func (n *node) clone() *node {
	c := &node{name: n.name, attrs: slices.Clone(n.attrs), text: n.text}
	for _, k := range n.kids {
		c.kids = append(c.kids, k.clone())
	}
	return c
}

// render writes the document. An attribute without a name stands for what comes before the
// children, as it is; so a text between elements, a comment or CDATA can be written.
func (n *node) render(b *strings.Builder) {
	b.WriteString("<" + n.name)
	var inside []string
	for _, a := range n.attrs {
		if a[0] == "" {
			inside = append(inside, a[1])
			continue
		}
		b.WriteString(" " + a[0] + `="` + escape(a[1]) + `"`)
	}
	b.WriteString(">" + strings.Join(inside, ""))
	if len(n.kids) == 0 {
		b.WriteString(escape(n.text))
	}
	for _, k := range n.kids {
		k.render(b)
	}
	b.WriteString("</" + n.name + ">")
}

func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\r", "&#13;")

func (n *node) String() string {
	var b strings.Builder
	n.render(&b)
	return b.String()
}

// all lists the elements in document order, the root first.
func (n *node) all() []*node {
	list := []*node{n}
	for _, k := range n.kids {
		list = append(list, k.all()...)
	}
	return list
}

// mutator changes documents at random but always alike, and says what it did.
type mutator struct {
	r *rand.Rand
	// types and names are those of the schema, to be put where they do not belong.
	types, names []string
}

func pick[T any](m mutator, from ...T) T { return from[m.r.IntN(len(from))] }

// mutate changes one thing in a copy of the document.
func (m mutator) mutate(document *node) (mutated *node, what string) {
	for {
		mutated = document.clone()
		change := pick(m, m.value, m.value, m.value, m.value, m.order, m.multiplicity, m.multiplicity, m.attribute, m.namespace, m.blanks, m.inside)
		if what = change(mutated); what != "" {
			return mutated, what
		}
	}
}

// leaf is a random element without children, inner one with some.
func (m mutator) leaf(root *node) *node {
	return pick(m, slices.DeleteFunc(root.all(), func(n *node) bool { return len(n.kids) > 0 })...)
}

func (m mutator) inner(root *node) *node {
	return pick(m, slices.DeleteFunc(root.all(), func(n *node) bool { return len(n.kids) == 0 })...)
}

// borders are values at the borders of the types that the contract has.
func borders() []string {
	return []string{
		"", "0", "-0", "+1", "-1", "01", "007", "1.0", "1.", ".5", "1e3", "1E3", "INF", "NaN", "0x10", "١", "9", "10", "999", "1000",
		"2147483647", "2147483648", "-2147483648", "-2147483649", "99999999999999999999999999", "1,5", "0.001", "1234567.89", "12345678.90", "12345678.9", "1 000",
		"true", "false", "TRUE", "1 ", "altro", "UE", "2023-02-28", "2023-02-29", "2024-02-29", "1900-02-29", "2000-02-29", "2023-00-10", "2023-13-10", "2023-04-31",
		"2023-4-1", "23-04-01", "02023-04-01", "12023-04-01", "-2023-04-01", "0000-01-01", "1899-12-31", "2099-12-31", "2100-01-01",
		"2023-04-01Z", "2023-04-01+01:00", "2023-04-01+14:00", "2023-04-01+14:01", "2023-04-01-14:00", "2023-04-01+24:00", "2023-04-01+1:00", "2023-04-01z",
		"2023-04", "2023", "--04-01", "01/04/2023", "2023-04-01T10:00:00", "2023-04-01T10:00:00Z", "2023-04-01T24:00:00Z", "2023-04-01T24:00:01Z", "2023-04-01T23:59:60Z",
		"2023-04-01T10:00:00.Z", "2023-04-01T10:00:00.123456789Z", "2023-04-01T10:00:00.1234567891Z", "2023-04-01T10:00Z", "2023-04-01 10:00:00Z", "2023-04-01T10:00:00+0100",
		"2023-02-29T10:00:00Z", "2023-04-01T10:60:00Z", "2023-04-01T10:00:00-13:59", "2023-04-01T10:00:00+15:00",
		"A", "a", "Z99", "è", "é", "𝒳", "ﬁ", "A\u0301", "\u00A0", "\u200B", "\u2028", "\uFEFF", "x\ty", "x\ny", "x\ry", "a  b", "<", "&", "]]>", `"`, "'",
		"d16300fe-52dd-52ec-ab09-761e4220184a", "D16300FE-52DD-52EC-AB09-761E4220184A", "{d16300fe-52dd-52ec-ab09-761e4220184a}", "00000000-0000-0000-0000-000000000000",
		"RSSMRA85T10A562S", "rssmra85t10a562s", "94000000102", "STP0901234567890", "ENI0901234567890", "D612", "048017", "380", "http://a b", "urn:x",
		strings.Repeat("x", 20), strings.Repeat("x", 21), strings.Repeat("x", 36), strings.Repeat("x", 37), strings.Repeat("x", 50), strings.Repeat("x", 51),
		strings.Repeat("x", 100), strings.Repeat("x", 101), strings.Repeat("𝒳", 100), strings.Repeat("𝒳", 101), strings.Repeat("9", 400),
	}
}

// value changes the text of a leaf: to one of the borders, to another leaf's, or a little.
func (m mutator) value(root *node) string {
	n := m.leaf(root)
	before := n.text
	switch m.r.IntN(5) {
	case 0, 1:
		n.text = pick(m, borders()...)
	case 2:
		n.text = m.leaf(root).text
	default:
		n.text = m.nearly(n.text)
	}
	if n.text == before {
		return ""
	}
	return "value of " + n.name + " is " + strconv.Quote(n.text)
}

func (m mutator) nearly(text string) string {
	letters := []rune(text)
	if len(letters) == 0 {
		return "x"
	}
	at := m.r.IntN(len(letters))
	switch m.r.IntN(7) {
	case 0:
		return string(slices.Delete(slices.Clone(letters), at, at+1))
	case 1:
		letters[at] = pick(m, []rune("0123456789AZaz-_.:+ T")...)
	case 2:
		letters = slices.Insert(letters, at, pick(m, []rune("0123456789AZaz-_.:+ éZ")...))
	case 3:
		return strings.ToLower(text)
	case 4:
		return strings.ToUpper(text)
	case 5:
		return pick(m, "0", "+", "-") + text
	case 6:
		return text + pick(m, "0", "Z", "+01:00", ".0", ".000")
	}
	return string(letters)
}

// order exchanges two neighbours, or moves a child to the front or the end.
func (m mutator) order(root *node) string {
	n := m.inner(root)
	i, j := m.r.IntN(len(n.kids)), pick(m, 0, len(n.kids)-1)
	if m.r.IntN(2) == 0 {
		j = min(i+1, len(n.kids)-1)
	}
	if n.kids[i].name == n.kids[j].name {
		return ""
	}
	n.kids[i], n.kids[j] = n.kids[j], n.kids[i]
	return n.kids[j].name + " and " + n.kids[i].name + " exchanged"
}

// multiplicity leaves a child out, repeats it, or brings in another of the schema's elements.
func (m mutator) multiplicity(root *node) string {
	n := m.inner(root)
	i := m.r.IntN(len(n.kids))
	name := n.kids[i].name
	switch m.r.IntN(5) {
	case 0, 1:
		n.kids = slices.Delete(n.kids, i, i+1)
		return name + " left out"
	case 2:
		times := pick(m, 1, 1, 2, 20, 101)
		for range times {
			n.kids = slices.Insert(n.kids, i, n.kids[i].clone())
		}
		return name + " repeated " + strconv.Itoa(times) + " times"
	case 3:
		n.kids = slices.Insert(n.kids, i, m.inner(root).clone())
		return n.kids[i].name + " put before " + name
	}
	other := &node{name: pick(m, m.names...), text: pick(m, "", "1", "2023-04-01")}
	n.kids = slices.Insert(n.kids, i, other)
	return "new " + other.name + " before " + name
}

// attribute adds, changes or takes away an attribute.
func (m mutator) attribute(root *node) string {
	const instance = "http://www.w3.org/2001/XMLSchema-instance"
	n := pick(m, root.all()...)
	if m.r.IntN(3) == 0 {
		n = root
	}
	if len(n.attrs) > 0 && m.r.IntN(3) == 0 {
		i := m.r.IntN(len(n.attrs))
		if strings.HasPrefix(n.attrs[i][0], "xmlns") {
			return ""
		}
		if m.r.IntN(3) == 0 {
			n.attrs = slices.Delete(n.attrs, i, i+1)
			return "attribute of " + n.name + " left out"
		}
		n.attrs[i][1] = pick(m, slices.Concat(borders(), []string{"1.0", " 1.0", "1.1", "10.22", "1.0.0"})...)
		return n.attrs[i][0] + " of " + n.name + " is " + strconv.Quote(n.attrs[i][1])
	}
	extra := pick(m,
		[][2]string{{"versione", "1.0"}}, [][2]string{{"x", "1"}}, [][2]string{{"xml:lang", "it"}}, [][2]string{{"xml:space", "preserve"}}, [][2]string{{"xml:lang", "?"}},
		[][2]string{{"xmlns:p", "urn:p"}, {"p:a", "1"}}, [][2]string{{"xmlns:p", "urn:p"}},
		[][2]string{{"xmlns:i", instance}, {"i:nil", pick(m, "true", "false", "1", "x", "")}},
		[][2]string{{"xmlns:i", instance}, {"xmlns:t", root.namespace()}, {"i:type", "t:" + pick(m, m.types...)}},
		[][2]string{{"xmlns:i", instance}, {"i:type", pick(m, m.types...)}},
		[][2]string{{"xmlns:i", instance}, {"xmlns:s", "http://www.w3.org/2001/XMLSchema"}, {"i:type", "s:" + pick(m, "string", "int", "date", "anyType", "token")}},
		[][2]string{{"xmlns:i", instance}, {"i:schemaLocation", "urn:a b.xsd"}}, [][2]string{{"xmlns:i", instance}, {"i:other", "1"}},
	)
	for _, a := range extra {
		if slices.ContainsFunc(n.attrs, func(b [2]string) bool { return b[0] == a[0] }) {
			return ""
		}
	}
	n.attrs = append(n.attrs, extra...)
	last := extra[len(extra)-1]
	return n.name + " gets " + last[0] + "=" + strconv.Quote(last[1])
}

func (n *node) namespace() string {
	for _, a := range n.attrs {
		if a[0] == "xmlns" {
			return a[1]
		}
	}
	return ""
}

// namespace puts an element into another namespace, or the same by another prefix.
func (m mutator) namespace(root *node) string {
	own := root.namespace()
	n := pick(m, root.all()...)
	if n == root {
		n.attrs[slices.IndexFunc(n.attrs, func(a [2]string) bool { return a[0] == "xmlns" })][1] = pick(m, "urn:other", own+"/", strings.ToUpper(own))
		return "the root in another namespace"
	}
	switch m.r.IntN(4) {
	case 0:
		n.attrs = append(n.attrs, [2]string{"xmlns", pick(m, "urn:other", "")})
		return n.name + " in another namespace"
	case 1:
		n.attrs = append(n.attrs, [2]string{"xmlns", own})
		return n.name + " declares its namespace again"
	case 2:
		n.attrs = append(n.attrs, [2]string{"xmlns:q", own})
		n.name = "q:" + n.name
		return n.name + " by a prefix"
	}
	n.attrs = append(n.attrs, [2]string{"xmlns:q", "urn:other"})
	n.name = "q:" + n.name
	return n.name + " by a prefix of another namespace"
}

// blanks puts white space around or into a value.
func (m mutator) blanks(root *node) string {
	n := m.leaf(root)
	blank := pick(m, " ", "\n", "\t", "  \n ", "\r\n", "\r", "\u00A0", "\u0085")
	switch m.r.IntN(3) {
	case 0:
		n.text = blank + n.text
	case 1:
		n.text += blank
	default:
		n.text = blank + n.text + blank
	}
	return "value of " + n.name + " is " + strconv.Quote(n.text)
}

// inside puts text, comments, instructions or CDATA between elements or into a value, as the
// parser sees them.
func (m mutator) inside(root *node) string {
	n := pick(m, root.all()...)
	what := pick(m, "x", " ", "\n", "<!-- x -->", "<?x y?>", "<![CDATA[x]]>", "<![CDATA[ ]]>", "<![CDATA[]]>", "&#32;", "&#x41;", "&amp;", "&nbsp;", "<!-- -- -->", "<?xml?>", "&#0;", "\x01", "]]>")
	n.attrs = append(n.attrs, [2]string{"", what})
	return strconv.Quote(what) + " at the beginning of " + n.name
}

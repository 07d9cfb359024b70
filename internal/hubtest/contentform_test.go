//go:build e2e || smoke

package hubtest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"
)

// element is a document as a vendor holds it.
type element struct {
	name     string
	text     string
	children []*element
}

// parseDocument reads a document with Go's own parser, which shares nothing with the hub.
func parseDocument(t *testing.T, document []byte) *element {
	t.Helper()
	root := &element{}
	open := []*element{root}
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if err == io.EOF { //nolint:errorlint // Token gives it bare
			return root.children[0]
		}
		if err != nil {
			t.Fatal(err)
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local}
			top.children = append(top.children, e)
			open = append(open, e)
		case xml.CharData:
			top.text += string(token)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}

// walk visits every leaf in document order with its path below the root, positions of same-named
// siblings from the second on as [n].
func (e *element) walk(path string, visit func(path string, leaf *element)) {
	seen := map[string]int{}
	for _, c := range e.children {
		seen[c.name]++
		at := path + "/" + c.name
		if n := seen[c.name]; n > 1 {
			at += fmt.Sprintf("[%d]", n)
		}
		if len(c.children) == 0 {
			visit(at, c)
		} else {
			c.walk(at, visit)
		}
	}
}

// contentOf writes the content form as deploy/docs/vendors.md describes it to vendors.
func contentOf(t *testing.T, document []byte) []byte {
	t.Helper()
	var form bytes.Buffer
	parseDocument(t, document).walk("", func(path string, leaf *element) {
		switch {
		case path == "/Testata/IdMessaggio", path == "/Testata/DataOraInvio", strings.HasPrefix(path, "/Mittente/Applicativo/"):
		default:
			fmt.Fprintf(&form, "%s=%s\n", path, valueOf(t, leaf))
		}
	})
	return form.Bytes()
}

// valueOf is a leaf's value in one spelling.
func valueOf(t *testing.T, leaf *element) string {
	t.Helper()
	text := leaf.text
	switch name := leaf.name; {
	case name == "IdEvento" || name == "IdEventoRiferito":
		return strings.ToLower(text)
	case strings.HasPrefix(name, "DataOra"):
		at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC().Format(time.RFC3339Nano)
	case strings.HasPrefix(name, "Data") && name != "DataNascitaPresunta":
		return strings.TrimSpace(text)[:len("2006-01-02")]
	case name == "ProgressivoCartella" || name == "OreServizioMensile" || name == "NumeroComponentiISEE" || name == "ImportoMensile":
		number, ok := new(big.Rat).SetString(strings.TrimSpace(text))
		if !ok {
			t.Fatalf("%s is no number", name)
		}
		whole := number.FloatString(2)
		return strings.TrimSuffix(strings.TrimRight(whole, "0"), ".")
	}
	return text
}

// proofOf is SHA-256 over the salt's bytes and the content form.
func proofOf(t *testing.T, salt string, document []byte) string {
	t.Helper()
	bits, err := hex.DecodeString(salt)
	if err != nil || len(bits) != 16 {
		t.Fatalf("SaleImpronta %q", salt)
	}
	sum := sha256.Sum256(append(bits, contentOf(t, document)...))
	return hex.EncodeToString(sum[:])
}

// style is how a product writes its documents.
type style struct {
	prefix  string
	indent  bool
	remarks bool
	// entities writes every letter of texts as a reference.
	entities bool
	// attributes of the root.
	attributes string
}

// render writes a document in a style.
func (e *element) render(s style) []byte {
	var out bytes.Buffer
	declaration := "xmlns"
	if s.prefix != "" {
		declaration += ":" + s.prefix
		s.prefix += ":"
	}
	fmt.Fprintf(&out, `<%s%s %s="urn:sinba:eventi:v1" %s>`, s.prefix, e.name, declaration, s.attributes)
	e.renderInside(&out, s, "\n")
	fmt.Fprintf(&out, "</%s%s>", s.prefix, e.name)
	return out.Bytes()
}

func (e *element) renderInside(out *bytes.Buffer, s style, newline string) {
	if len(e.children) == 0 {
		out.WriteString(e.escaped(s))
		return
	}
	for _, c := range e.children {
		if s.indent {
			out.WriteString(newline + "\t")
		}
		if s.remarks {
			fmt.Fprintf(out, "<!-- %s --><?product %s?>", c.name, c.name)
		}
		fmt.Fprintf(out, "<%s%s>", s.prefix, c.name)
		c.renderInside(out, s, newline+"\t")
		fmt.Fprintf(out, "</%s%s", s.prefix, c.name)
		if s.remarks {
			out.WriteString(" \t")
		}
		out.WriteString(">")
	}
	if s.indent {
		out.WriteString(newline)
	}
}

func (e *element) escaped(s style) string {
	var out strings.Builder
	for _, r := range e.text {
		if s.entities || strings.ContainsRune("<>&", r) {
			fmt.Fprintf(&out, "&#x%X;", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// with gives a copy in which leaves have other texts; the change gets each leaf's path.
func (e *element) with(change func(path, text string) string) *element {
	c := e.clone()
	c.walk("", func(path string, leaf *element) { leaf.text = change(path, leaf.text) })
	return c
}

func (e *element) clone() *element {
	c := &element{name: e.name, text: e.text}
	for _, child := range e.children {
		c.children = append(c.children, child.clone())
	}
	return c
}

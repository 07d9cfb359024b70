package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// Verify tells whether the receipt proves a document: whether it names its IdEvento, and
// ImprontaMessaggio is SHA-256 over the salt and the document's content. It gives ErrReceipt if
// not, or if the document cannot be read. A receipt whose salt is gone proves nothing any more:
// that is no error.
func (r *Receipt) Verify(document []byte) error {
	event := parse(document)
	if event == nil || !strings.EqualFold(r.IDEvento, event.leaf("Testata", "IdEvento")) {
		return ErrReceipt
	}
	return r.verify(event)
}

func (r *Receipt) verify(event *element) error {
	if r.SaleImpronta == "" {
		return nil
	}
	salt, err := hex.DecodeString(r.SaleImpronta)
	if event == nil || err != nil {
		return ErrReceipt
	}
	sum := sha256.Sum256(append(salt, event.content()...))
	if hex.EncodeToString(sum[:]) != r.ImprontaMessaggio {
		return ErrReceipt
	}
	return nil
}

// element is a document as far as its content goes. A nil one has no leaves.
type element struct {
	name     string // local
	text     []byte
	children []*element
}

// maxDepth is the hub's own bound on nested elements.
const maxDepth = 64

// parse reads a document of the vendor's, or gives nil. It judges nothing, so that Go's parser is
// good enough: the hub judges.
func parse(document []byte) *element {
	d := xml.NewDecoder(bytes.NewReader(document))
	top := &element{}
	open := []*element{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(top.children) == 1 {
			return top.children[0]
		}
		if err != nil {
			return nil
		}
		last := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return nil
			}
			e := &element{name: token.Name.Local}
			last.children = append(last.children, e)
			open = append(open, e)
		case xml.CharData:
			last.text = append(last.text, token...)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}

// leaf is the text at a path, empty if there is none.
func (e *element) leaf(path ...string) string {
	for _, name := range path {
		found := e.all(name)
		if len(found) == 0 {
			return ""
		}
		e = found[0]
	}
	if e == nil {
		return ""
	}
	return string(e.text)
}

// all are the children of a name.
func (e *element) all(name string) []*element {
	if e == nil {
		return nil
	}
	var found []*element
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// content is the form in which two sendings of an event are compared (deploy/docs/vendors.md): a line
// path=value for each leaf in document order, without what an honest repetition changes.
func (e *element) content() []byte { return e.appendContent(nil, "") }

func (e *element) appendContent(to []byte, path string) []byte {
	seen := map[string]int{}
	for _, c := range e.children {
		at := path + "/" + c.name
		seen[c.name]++
		if n := seen[c.name]; n > 1 {
			at += "[" + strconv.Itoa(n) + "]"
		}
		switch {
		case at == "/Testata/IdMessaggio", at == "/Testata/DataOraInvio", at == "/Mittente/Applicativo":
		case len(c.children) > 0:
			to = c.appendContent(to, at)
		default:
			to = append(append(to, at...), '=')
			to = append(append(to, c.value()...), '\n')
		}
	}
	return to
}

// kind is how a leaf's value is compared.
type kind uint8

// The kinds: a text is itself.
const (
	kindText kind = iota
	kindDay
	kindInstant
	kindNumber
	kindUUID
)

// kindOf tells the kind by the leaf's name, which has one type wherever it stands in an event. A test
// compares this with the schema.
func kindOf(name string) kind {
	switch name {
	case "IdEvento", "IdEventoRiferito", "IdMessaggio":
		return kindUUID
	case "DataOraEvento", "DataOraInvio":
		return kindInstant
	case "ProgressivoCartella", "OreServizioMensile", "NumeroComponentiISEE", "ImportoMensile":
		return kindNumber
	case "DataNascitaPresunta":
		return kindText
	}
	if strings.HasPrefix(name, "Data") {
		return kindDay
	}
	return kindText
}

// value is the leaf's value in one spelling. What is not of its type stays as it is: the hub refuses
// it.
func (e *element) value() string {
	switch text := strings.TrimSpace(string(e.text)); kindOf(e.name) {
	case kindDay:
		if len(text) >= len(time.DateOnly) {
			return text[:len(time.DateOnly)]
		}
	case kindInstant:
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
	case kindNumber:
		return number(text)
	case kindUUID:
		return strings.ToLower(string(e.text))
	case kindText:
	}
	return string(e.text)
}

// number writes a decimal by value: no sign of plus or of zero, no zeros that say nothing.
func number(text string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = "-", rest
	} else {
		text = strings.TrimPrefix(text, "+")
	}
	whole, fraction, _ := strings.Cut(text, ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		if fraction == "" {
			return "0"
		}
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction
}

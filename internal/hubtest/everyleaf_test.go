//go:build e2e || smoke

package hubtest_test

import (
	"encoding/xml"
	"testing"

	"github.com/sinbahub/sinbahub/xsd"
)

// schema is what is needed of the published schema to write documents that hold every leaf.
type schema struct {
	Complex []complexType `xml:"complexType"`
	Simple  []simpleType  `xml:"simpleType"`

	complexTypes map[string]complexType
	simpleTypes  map[string]simpleType
}

type complexType struct {
	Name     string      `xml:"name,attr"`
	Sequence []schemaElm `xml:"sequence>element"`
	Choice   []schemaElm `xml:"choice>element"`
}

type schemaElm struct {
	Name      string `xml:"name,attr"`
	Type      string `xml:"type,attr"`
	MaxOccurs string `xml:"maxOccurs,attr"`
}

type simpleType struct {
	Name string `xml:"name,attr"`
	Enum []struct {
		Value string `xml:"value,attr"`
	} `xml:"restriction>enumeration"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	text, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{complexTypes: map[string]complexType{}, simpleTypes: map[string]simpleType{}}
	if err := xml.Unmarshal(text, s); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Complex {
		s.complexTypes[c.Name] = c
	}
	for _, c := range s.Simple {
		s.simpleTypes[c.Name] = c
	}
	return s
}

// writer decides what stands in a document that is as full as the schema allows.
type writer struct {
	schema *schema
	// choose picks one of the elements of a choice.
	choose func(path string, names []string) string
	// leave tells which elements to leave out.
	leave func(path string) bool
	// value gives the text of a leaf that is no enumeration.
	value func(path, typ string) string
}

// document writes an event with every optional element, and twice what may repeat.
func (w *writer) document() *element {
	return w.element("", schemaElm{Name: "InviaEventoRichiesta", Type: "MessaggioEventoType"})
}

func (w *writer) element(path string, e schemaElm) *element {
	out := &element{name: e.Name}
	c, isComplex := w.schema.complexTypes[e.Type]
	if !isComplex {
		if enum := w.schema.simpleTypes[e.Type].Enum; len(enum) > 0 {
			out.text = enum[0].Value
		}
		if text := w.value(path, e.Type); text != "" {
			out.text = text
		}
		return out
	}
	children := c.Sequence
	if len(c.Choice) > 0 {
		children = []schemaElm{w.chosen(path, c.Choice)}
	}
	for _, child := range children {
		at := path + "/" + child.Name
		if w.leave(at) {
			continue
		}
		out.children = append(out.children, w.element(at, child))
		if child.MaxOccurs != "" {
			out.children = append(out.children, w.element(at, child))
		}
	}
	return out
}

func (w *writer) chosen(path string, choice []schemaElm) schemaElm {
	names := make([]string, len(choice))
	for i, c := range choice {
		names[i] = c.Name
	}
	name := w.choose(path, names)
	for _, c := range choice {
		if c.Name == name {
			return c
		}
	}
	panic("no such choice: " + name)
}

package xmlschema

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
)

// Place is what the schema says of an element or attribute at its place in a document. It is built
// from the schema's own files: a checker only says where and what, and is not believed more.
type Place struct {
	// Name of the element, or "@name" of the attribute.
	Name string
	// Simple is its type, nil for an element with children.
	Simple *Simple
	// Slots are the children in their order, for an element that has some.
	Slots []Slot
	// Among are the slots of the parent, and Own which of them this is; empty for a root or an
	// attribute.
	Among []Slot
	Own   int
}

// Slot is an element of a sequence, or a choice between several.
type Slot struct {
	// Names of the elements, in the schema's order.
	Names []string
	// Least and Most are how often one of them may stand; Most is -1 for any number.
	Least, Most int
}

// Simple is a simple type.
type Simple struct {
	// Name is its own, or the built-in type's with its prefix.
	Name string
	// Values is the closed list of an enumeration, in the schema's order.
	Values []string
	// Least and Most bound the length of a text; Most is 0 if it is not bound.
	Least, Most int
}

// The part of XML Schema that the contracts use.
type (
	modelFile struct {
		Elements  []modelElement `xml:"element"`
		Complexes []modelType    `xml:"complexType"`
		Simples   []modelSimple  `xml:"simpleType"`
	}
	modelElement struct {
		Name    string     `xml:"name,attr"`
		Type    string     `xml:"type,attr"`
		Least   string     `xml:"minOccurs,attr"`
		Most    string     `xml:"maxOccurs,attr"`
		Complex *modelType `xml:"complexType"`
	}
	modelType struct {
		Name       string         `xml:"name,attr"`
		Sequence   *modelGroup    `xml:"sequence"`
		Choice     *modelGroup    `xml:"choice"`
		Attributes []modelElement `xml:"attribute"`
	}
	modelGroup struct {
		Parts []modelPart `xml:",any"`
	}
	modelPart struct {
		XMLName      xml.Name `xml:""`
		modelElement `xml:""`
		Elements     []modelElement `xml:"element"`
	}
	modelSimple struct {
		Name        string `xml:"name,attr"`
		Restriction struct {
			Facets []struct {
				XMLName xml.Name `xml:""`
				Value   string   `xml:"value,attr"`
			} `xml:",any"`
		} `xml:"restriction"`
	}
)

// complexType is the children and attributes of an element.
type complexType struct {
	slots      []Slot
	elements   map[string]modelElement
	slotOf     map[string]int
	attributes map[string]modelElement
}

// readModel adds the types of one file.
func (n Names) readModel(content []byte) {
	var file modelFile
	if xml.Unmarshal(content, &file) != nil {
		return // read has told it
	}
	for _, e := range file.Elements {
		n.roots[e.Name] = e
	}
	for i := range file.Complexes {
		n.complexes[file.Complexes[i].Name] = file.Complexes[i].compile()
	}
	for i := range file.Simples {
		n.simples[file.Simples[i].Name] = file.Simples[i].compile()
	}
}

func (t *modelType) compile() *complexType {
	c := &complexType{elements: map[string]modelElement{}, slotOf: map[string]int{}, attributes: map[string]modelElement{}}
	switch {
	case t.Sequence != nil:
		for _, part := range t.Sequence.Parts {
			switch part.XMLName.Local {
			case "element":
				c.add(part.Least, part.Most, part.modelElement)
			case "choice":
				c.add(part.Least, part.Most, part.Elements...)
			}
		}
	case t.Choice != nil:
		var all []modelElement
		for _, part := range t.Choice.Parts {
			if part.XMLName.Local == "element" {
				all = append(all, part.modelElement)
			}
		}
		c.add("", "", all...)
	}
	for _, a := range t.Attributes {
		c.attributes["@"+a.Name] = a
	}
	return c
}

func (c *complexType) add(least, most string, elements ...modelElement) {
	slot := Slot{Least: 1, Most: 1}
	if n, err := strconv.Atoi(least); err == nil {
		slot.Least = n
	}
	if n, err := strconv.Atoi(most); err == nil {
		slot.Most = n
	} else if most == "unbounded" {
		slot.Most = -1
	}
	for _, e := range elements {
		slot.Names = append(slot.Names, e.Name)
		c.elements[e.Name] = e
		c.slotOf[e.Name] = len(c.slots)
	}
	c.slots = append(c.slots, slot)
}

func (t *modelSimple) compile() *Simple {
	s := &Simple{Name: t.Name}
	for _, f := range t.Restriction.Facets {
		n, _ := strconv.Atoi(f.Value)
		switch f.XMLName.Local {
		case "enumeration":
			s.Values = append(s.Values, f.Value)
		case "minLength":
			s.Least = n
		case "maxLength":
			s.Most = n
		case "pattern":
			// A class of characters repeated, as the codes of the contract have it.
			if rest, ok := strings.CutSuffix(f.Value, "}"); ok && strings.HasPrefix(rest, "[") && strings.Count(rest, "]") == 1 {
				least, most, _ := strings.Cut(rest[strings.LastIndexByte(rest, '{')+1:], ",")
				s.Least, _ = strconv.Atoi(least)
				s.Most = s.Least
				if m, err := strconv.Atoi(most); err == nil {
					s.Most = m
				}
			}
		}
	}
	return s
}

// At tells what the schema says of the last step of a path, which may begin with an item of a lot. ok
// is false for a path that the schema does not have.
func (n Names) At(path []Step) (p Place, ok bool) {
	if len(path) == 0 {
		return Place{}, false
	}
	p.Name = path[0].Name
	element, known := n.roots[p.Name]
	if !known && p.Name != "" && p.Name == n.Lot.Item {
		element, known = n.roots[n.Lot.As]
	}
	if !known {
		return Place{}, false
	}
	for _, step := range path[1:] {
		t := n.contents(element)
		if t == nil || step.Name == "" {
			return Place{}, false
		}
		if a, isAttribute := t.attributes[step.Name]; isAttribute {
			return Place{Name: step.Name, Simple: n.simple(a)}, true
		}
		if element, known = t.elements[step.Name]; !known {
			return Place{}, false
		}
		p = Place{Name: step.Name, Among: t.slots, Own: t.slotOf[step.Name]}
	}
	if t := n.contents(element); t != nil {
		p.Slots = t.slots
	} else {
		p.Simple = n.simple(element)
	}
	return p, true
}

// contents is nil for an element of a simple type.
func (n Names) contents(e modelElement) *complexType {
	if e.Complex != nil {
		return e.Complex.compile()
	}
	return n.complexes[e.Type[strings.IndexByte(e.Type, ':')+1:]]
}

// simple gives a type of the schema's own, or a built-in one by its name alone.
func (n Names) simple(e modelElement) *Simple {
	if s := n.simples[e.Type]; s != nil {
		return s
	}
	return &Simple{Name: e.Type}
}

// SimpleTypes lists the simple types of the schema by their names.
func (n Names) SimpleTypes() []Simple {
	all := make([]Simple, 0, len(n.simples))
	for _, s := range n.simples {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Simple) int { return strings.Compare(a.Name, b.Name) })
	return all
}

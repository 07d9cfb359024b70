package sinba

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
)

// Faults of our own schema file. They name what is wrong, and the file is public.
var (
	errSchemaXML   = errors.New("the event schema is not readable as an XML Schema")
	errSchemaShape = errors.New("the event schema uses a construct this package does not know")
)

// catalogueError is a fault found at start-up in the published contract files. Its text names
// paths and types of the contract, never anything of a message.
type catalogueError struct{ what, where string }

// Error gives what is wrong and where.
func (e *catalogueError) Error() string { return e.what + ": " + e.where }

// kind is how the values of a simple type compare: by text or by value.
type kind uint8

// The kinds of simple types. Everything but kindText is a closed set or a number, so it can hold
// no free words.
const (
	kindText kind = iota
	kindEnum
	kindUUID
	kindDate
	kindInstant
	kindInt
	kindDecimal
)

// String names the kind, for tables and messages of the start-up.
func (k kind) String() string {
	switch k {
	case kindText:
		return "text"
	case kindEnum:
		return "enumeration"
	case kindUUID:
		return "uuid"
	case kindDate:
		return "date"
	case kindInstant:
		return "instant"
	case kindInt:
		return "int"
	case kindDecimal:
		return "decimal"
	}
	return ""
}

// simpleType is one simple type of the event schema.
type simpleType struct {
	name string
	kind kind
	// enum is the closed list of an enumeration, in the schema's order.
	enum []string
	def  xsdSimpleType
}

// The part of XML Schema 1.0 that the event contract uses. Anything else is met by the `,any`
// fields and refused, so that a later edit of the schema cannot be half understood.
type (
	xsdSchema struct {
		XMLName   xml.Name         `xml:"http://www.w3.org/2001/XMLSchema schema"`
		Elements  []xsdElement     `xml:"element"`
		Complexes []xsdComplexType `xml:"complexType"`
		Simples   []xsdSimpleType  `xml:"simpleType"`
		Other     []xsdOther       `xml:",any"`
	}
	xsdElement struct {
		Name      string     `xml:"name,attr"`
		Type      string     `xml:"type,attr"`
		MinOccurs string     `xml:"minOccurs,attr"`
		MaxOccurs string     `xml:"maxOccurs,attr"`
		Other     []xsdOther `xml:",any"`
	}
	xsdComplexType struct {
		Name       string         `xml:"name,attr"`
		Sequence   *xsdGroup      `xml:"sequence"`
		Choice     *xsdGroup      `xml:"choice"`
		Attributes []xsdAttribute `xml:"attribute"`
		Other      []xsdOther     `xml:",any"`
	}
	xsdGroup struct {
		Elements []xsdElement `xml:"element"`
		Other    []xsdOther   `xml:",any"`
	}
	xsdAttribute struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
		Use  string `xml:"use,attr"`
	}
	xsdSimpleType struct {
		Name          string         `xml:"name,attr"`
		Documentation string         `xml:"annotation>documentation"`
		Restriction   xsdRestriction `xml:"restriction"`
	}
	xsdRestriction struct {
		Base   string     `xml:"base,attr"`
		Facets []xsdFacet `xml:",any"`
	}
	xsdFacet struct {
		XMLName       xml.Name `xml:""`
		Value         string   `xml:"value,attr"`
		Documentation string   `xml:"annotation>documentation"`
	}
	xsdOther struct {
		XMLName xml.Name `xml:""`
	}
)

// unbounded stands for maxOccurs="unbounded".
const unbounded = 1 << 30

// occurs reads minOccurs and maxOccurs; both are 1 when absent.
func (e *xsdElement) occurs() (least, most int, ok bool) {
	least, most = 1, 1
	var err error
	if e.MinOccurs != "" {
		if least, err = strconv.Atoi(e.MinOccurs); err != nil {
			return 0, 0, false
		}
	}
	if e.MaxOccurs == "unbounded" {
		return least, unbounded, true
	}
	if e.MaxOccurs != "" {
		if most, err = strconv.Atoi(e.MaxOccurs); err != nil {
			return 0, 0, false
		}
	}
	return least, most, most > 0
}

// schema is the event schema by name.
type schema struct {
	complexes map[string]*xsdComplexType
	simples   map[string]*simpleType
}

// parseSchema reads the event schema. The bytes are our own, embedded in the binary: the standard
// library's parser is good enough for them.
func parseSchema(file []byte) (*schema, error) {
	var doc xsdSchema
	if xml.Unmarshal(file, &doc) != nil {
		return nil, errSchemaXML
	}
	if len(doc.Other) > 0 {
		return nil, errSchemaShape
	}
	s := &schema{
		complexes: make(map[string]*xsdComplexType, len(doc.Complexes)),
		simples:   make(map[string]*simpleType, len(doc.Simples)),
	}
	for i := range doc.Complexes {
		s.complexes[doc.Complexes[i].Name] = &doc.Complexes[i]
	}
	for i := range doc.Simples {
		def := doc.Simples[i]
		k, ok := kindOfType(&def)
		if !ok {
			return nil, &catalogueError{"simple type of an unknown base", def.Name}
		}
		s.simples[def.Name] = &simpleType{name: def.Name, kind: k, enum: def.values(), def: def}
	}
	return s, nil
}

// uuidType is the one type told by its name: its pattern leaves no room for anything else.
const uuidType = "UuidType"

// kindOfType derives how values of the type compare from its base and facets.
func kindOfType(def *xsdSimpleType) (kind, bool) {
	base, ok := strings.CutPrefix(def.Restriction.Base, "xs:")
	if !ok {
		return 0, false
	}
	switch base {
	case "date":
		return kindDate, true
	case "dateTime":
		return kindInstant, true
	case "int", "long":
		return kindInt, true
	case "decimal":
		return kindDecimal, true
	case "string":
		if def.Name == uuidType {
			return kindUUID, true
		}
		for _, f := range def.Restriction.Facets {
			if f.XMLName.Local == "enumeration" {
				return kindEnum, true
			}
		}
		return kindText, true
	}
	return 0, false
}

// values lists the enumeration of the type, in the schema's order.
func (t *xsdSimpleType) values() []string {
	var all []string
	for _, f := range t.Restriction.Facets {
		if f.XMLName.Local == "enumeration" {
			all = append(all, f.Value)
		}
	}
	return all
}

// model gives the ordered elements of a complex type and whether only one of them may stand.
func (t *xsdComplexType) model() (elements []xsdElement, choice bool, err error) {
	group := t.Sequence
	if group == nil {
		group, choice = t.Choice, true
	}
	if group == nil || t.Sequence != nil && t.Choice != nil {
		return nil, false, &catalogueError{"complex type without one sequence or choice", t.Name}
	}
	for _, other := range append(t.Other, group.Other...) {
		if other.XMLName.Local != "annotation" {
			return nil, false, &catalogueError{"complex type with " + other.XMLName.Local, t.Name}
		}
	}
	return group.Elements, choice, nil
}

package sinba

import (
	"slices"
	"strconv"
	"strings"
)

// The simple types of the national schema that are not copied from the event schema. None of them
// can hold a name, a codice fiscale or any other free text: a code has 20 characters of base32, one
// of a person 16.
const nationalTypes = `  <xs:simpleType name="IDBeneficiarioType"><xs:annotation><xs:documentation>Codice del minore presso SISS: pseudonimo, mai un identificativo.</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="[A-Z2-7]{20}"/></xs:restriction></xs:simpleType>
  <xs:simpleType name="IdRicodificatoType"><xs:annotation><xs:documentation>Identificativo locale ricodificato per SISS.</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="[A-Z2-7]{20}"/></xs:restriction></xs:simpleType>
  <xs:simpleType name="MeseType"><xs:annotation><xs:documentation>Anno e mese, ora italiana; mai il giorno.</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="[0-9]{4}-(0[1-9]|1[0-2])"/></xs:restriction></xs:simpleType>
  <xs:simpleType name="AnnoType"><xs:restriction base="xs:string"><xs:pattern value="[0-9]{4}"/></xs:restriction></xs:simpleType>
  <xs:simpleType name="codFasciaEta"><xs:annotation><xs:documentation>[SINBA] età nel mese dell'evento, estremo superiore escluso; assente dai 18 anni</xs:documentation></xs:annotation><xs:restriction base="xs:string">
    <xs:enumeration value="1"><xs:annotation><xs:documentation>0-3</xs:documentation></xs:annotation></xs:enumeration>
    <xs:enumeration value="2"><xs:annotation><xs:documentation>3-6</xs:documentation></xs:annotation></xs:enumeration>
    <xs:enumeration value="3"><xs:annotation><xs:documentation>6-9</xs:documentation></xs:annotation></xs:enumeration>
    <xs:enumeration value="4"><xs:annotation><xs:documentation>9-12</xs:documentation></xs:annotation></xs:enumeration>
    <xs:enumeration value="5"><xs:annotation><xs:documentation>12-15</xs:documentation></xs:annotation></xs:enumeration>
    <xs:enumeration value="6"><xs:annotation><xs:documentation>15-18</xs:documentation></xs:annotation></xs:enumeration>
  </xs:restriction></xs:simpleType>
  <xs:simpleType name="NazioneType"><xs:annotation><xs:documentation>ISO 3166-1 numerico (997-999 convenzionali); quelle rare come UE o EXTRA_UE; altro se fuori elenco.</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="[0-9]{3}|UE|EXTRA_UE|altro"/></xs:restriction></xs:simpleType>
  <xs:simpleType name="CodicePrestazioneType"><xs:annotation><xs:documentation>Codice dell'elenco delle prestazioni; altro se fuori elenco.</xs:documentation></xs:annotation><xs:restriction base="xs:string"><xs:pattern value="[A-Z0-9.]{5,10}|altro"/></xs:restriction></xs:simpleType>
`

// nationalHead and nationalTail frame the national schema.
const (
	nationalHead = `<?xml version="1.0" encoding="UTF-8"?>
<!-- The national event of S.In.Ba., version 1: no element is able to hold an identity. XSD 1.0 only.
     Generated from sinba-eventi-v1.xsd and the leaf table foglie.tsv (mapping version 1): do not edit,
     run go test ./internal/sinba -run TestNationalSchemaFile -update. -->
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:sinba:siss:v1"
  targetNamespace="urn:sinba:siss:v1" elementFormDefault="qualified" attributeFormDefault="unqualified" version="1.0.0">

  <xs:element name="EventoNazionale" type="EventoNazionaleType"/>

`
	nationalTail = "</xs:schema>\n"
	// nationalType is the complex type of the root.
	nationalType = "EventoNazionaleType"
)

// NationalSchema generates xsd/evento-nazionale-v1.xsd: the elements that National can write, where
// it writes them, with types closed as far as the event schema or the leaf table closes them. An
// error names what has no closed type; the hub's tests keep the file equal to this.
func (c *Catalogue) NationalSchema() ([]byte, error) {
	g := nationalGenerator{cat: c, complexes: make(map[string]string), simples: make(map[string]bool)}
	if _, err := g.container(0, nationalType); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(nationalHead)
	for _, name := range g.order {
		b.WriteString(g.complexes[name])
	}
	b.WriteString("\n" + nationalTypes)
	names := make([]string, 0, len(g.simples))
	for name := range g.simples {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		g.simple(&b, c.schema.simples[name])
	}
	b.WriteString(nationalTail)
	return []byte(b.String()), nil
}

// nationalGenerator gathers the types of the national schema.
type nationalGenerator struct {
	cat *Catalogue
	// complexes are the complex types by name, order their names as first met.
	complexes map[string]string
	order     []string
	// simples are the types copied from the event schema.
	simples map[string]bool
}

// particle is one element of a national complex type.
type particle struct {
	name, typ   string
	least, most int
}

// container generates the complex type of a node and gives its particles; a container without any
// does not exist in the national event.
func (g *nationalGenerator) container(at int16, name string) ([]particle, error) {
	n := &g.cat.nodes[at]
	var all []particle
	slot := len(g.order)
	for _, child := range n.children {
		some, err := g.child(child)
		if err != nil {
			return nil, err
		}
		for _, p := range some {
			twice := slices.ContainsFunc(all, func(q particle) bool { return q.name == p.name })
			if twice && !n.choice {
				return nil, &catalogueError{"two national leaves of one name", n.path + "/" + p.name}
			}
			if !twice {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	text := complexText(name, all, n.choice && len(all) > 1)
	switch known, ok := g.complexes[name]; {
	case !ok:
		g.complexes[name] = text
		g.order = slices.Insert(g.order, slot, name)
	case known != text:
		return nil, &catalogueError{"one complex type with two national forms", name}
	}
	return all, nil
}

// child gives the particles that a child node becomes: none, one, or the two of year and band.
func (g *nationalGenerator) child(at int16) ([]particle, error) {
	n := &g.cat.nodes[at]
	if n.typ != nil {
		return g.leaf(n)
	}
	inner, err := g.container(at, n.complex)
	if err != nil || len(inner) == 0 {
		return nil, err
	}
	p := particle{name: n.name, typ: n.complex, least: n.least, most: n.most}
	if canBeEmpty(inner) {
		p.least = 0
	}
	return []particle{p}, nil
}

// canBeEmpty tells whether nothing of a container need be written, so that National may leave it
// out. A choice has required particles only.
func canBeEmpty(inner []particle) bool {
	return !slices.ContainsFunc(inner, func(p particle) bool { return p.least > 0 })
}

// leaf gives the particles of a leaf.
func (g *nationalGenerator) leaf(n *node) ([]particle, error) {
	p := particle{least: n.least, most: n.most}
	if len(n.outputs) > 0 {
		p.name = n.outputs[0]
	}
	switch n.national {
	case ClassDrop, ClassRoute:
		return nil, nil
	case ClassPseudonym:
		p.typ, p.least = "IDBeneficiarioType", 1
	case ClassRekey:
		p.typ = "IdRicodificatoType"
	case ClassMonth:
		p.typ = "MeseType"
	case ClassYearBand:
		p.typ = "AnnoType"
		return []particle{p, {name: n.outputs[1], typ: "codFasciaEta", least: 0, most: 1}}, nil
	case ClassGroup:
		p.typ = "NazioneType"
	case ClassRegion:
		p.typ, p.least = "codRegioneSinba", 0
		g.simples[p.typ] = true
	case ClassKeep:
		p.typ = n.typ.name
		switch {
		case n.typ.kind == kindEnum, n.typ.kind == kindInt:
			g.simples[p.typ] = true
		case n.list == listServices:
		default:
			return nil, &catalogueError{"national leaf of an open type", n.path}
		}
	}
	return []particle{p}, nil
}

// complexText writes a complex type.
func complexText(name string, all []particle, choice bool) string {
	model := "sequence"
	if choice {
		model = "choice"
	}
	var b strings.Builder
	b.WriteString("  <xs:complexType name=\"" + name + "\">\n    <xs:" + model + ">\n")
	for _, p := range all {
		b.WriteString("      <xs:element name=\"" + p.name + "\" type=\"" + p.typ + "\"")
		if p.least != 1 {
			b.WriteString(" minOccurs=\"" + strconv.Itoa(p.least) + "\"")
		}
		switch p.most {
		case 1:
		case unbounded:
			b.WriteString(" maxOccurs=\"unbounded\"")
		default:
			b.WriteString(" maxOccurs=\"" + strconv.Itoa(p.most) + "\"")
		}
		b.WriteString("/>\n")
	}
	b.WriteString("    </xs:" + model + ">\n  </xs:complexType>\n")
	return b.String()
}

// simple copies an enumeration or a bounded number of the event schema.
func (*nationalGenerator) simple(b *strings.Builder, t *simpleType) {
	b.WriteString("  <xs:simpleType name=\"" + t.name + "\">" + documentation(t.def.Documentation) +
		"<xs:restriction base=\"" + t.def.Restriction.Base + "\">\n")
	for _, f := range t.def.Restriction.Facets {
		b.WriteString("    <xs:" + f.XMLName.Local + " value=\"" + string(appendText(nil, f.Value)) + "\"")
		if f.Documentation == "" {
			b.WriteString("/>\n")
			continue
		}
		b.WriteString(">" + documentation(f.Documentation) + "</xs:" + f.XMLName.Local + ">\n")
	}
	b.WriteString("  </xs:restriction></xs:simpleType>\n")
}

// documentation writes an annotation, or nothing.
func documentation(text string) string {
	if text == "" {
		return ""
	}
	return "<xs:annotation><xs:documentation>" + string(appendText(nil, text)) + "</xs:documentation></xs:annotation>"
}

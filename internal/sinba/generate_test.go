package sinba_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/xsd"
)

// eventSchema is the event schema read by the tests themselves, so that documents are made from
// the contract and not from what the package understood of it.
type eventSchema struct {
	Complex []struct {
		Name     string          `xml:"name,attr"`
		Sequence []schemaElement `xml:"sequence>element"`
		Choice   []schemaElement `xml:"choice>element"`
	} `xml:"complexType"`
	Simple []struct {
		Name   string `xml:"name,attr"`
		Values []struct {
			Value string `xml:"value,attr"`
		} `xml:"restriction>enumeration"`
	} `xml:"simpleType"`
}

type schemaElement struct {
	Name string `xml:"name,attr"`
	Type string `xml:"type,attr"`
	Min  string `xml:"minOccurs,attr"`
	Max  string `xml:"maxOccurs,attr"`
}

// leafValue is one leaf that a generated document holds.
type leafValue struct{ Path, Value string }

// generator writes documents of MessaggioEventoType.
type generator struct {
	schema eventSchema
	// optional, repeat and choose take the decisions; value makes the text of a leaf.
	optional func(path string) bool
	repeat   func(path string, most int) int
	choose   func(path string, n int) int
	value    func(path, typ string, enum []string) string
	// between gives what stands between elements.
	between func() string
	prefix  string

	doc    strings.Builder
	leaves []leafValue
}

// parsedSchema reads the schema once.
var parsedSchema = sync.OnceValues(func() (eventSchema, error) {
	var s eventSchema
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return s, err
	}
	return s, xml.Unmarshal(file, &s)
})

func newGenerator(tb testing.TB) *generator {
	tb.Helper()
	s, err := parsedSchema()
	if err != nil {
		tb.Fatal(err)
	}
	return &generator{schema: s, between: func() string { return "" }}
}

// generate gives a document and its leaves.
func (g *generator) generate(root string) (string, []leafValue) {
	g.doc.Reset()
	g.leaves = nil
	tag, declaration := root, `xmlns="urn:sinba:eventi:v1"`
	if g.prefix != "" {
		tag, declaration = g.prefix+":"+root, `xmlns:`+g.prefix+`="urn:sinba:eventi:v1"`
	}
	g.doc.WriteString("<" + tag + " " + declaration + ` versione="1.0">`)
	g.children("MessaggioEventoType", "", "")
	g.doc.WriteString(g.between() + "</" + tag + ">")
	return g.doc.String(), g.leaves
}

// children writes what a complex type holds. at has positions, path has none.
func (g *generator) children(typ, at, path string) {
	for _, c := range g.schema.Complex {
		if c.Name != typ {
			continue
		}
		elements := c.Sequence
		if len(c.Choice) > 0 {
			i := g.choose(path, len(c.Choice))
			elements = c.Choice[i : i+1]
		}
		for _, el := range elements {
			g.element(el, at, path+"/"+el.Name)
		}
	}
}

func (g *generator) element(el schemaElement, at, path string) {
	if el.Min == "0" && !g.optional(path) {
		return
	}
	n := 1
	if el.Max != "" {
		most := 3
		_, _ = fmt.Sscan(el.Max, &most)
		n = g.repeat(path, most)
	}
	for i := range n {
		here := at + "/" + el.Name
		if i > 0 {
			here = fmt.Sprintf("%s[%d]", here, i+1)
		}
		tag := el.Name
		if g.prefix != "" {
			tag = g.prefix + ":" + tag
		}
		g.doc.WriteString(g.between() + "<" + tag + ">")
		if g.complex(el.Type) {
			g.children(el.Type, here, path)
			g.doc.WriteString(g.between())
		} else {
			v := g.value(path, el.Type, g.enum(el.Type))
			g.leaves = append(g.leaves, leafValue{here, v})
			g.doc.WriteString(escape(v))
		}
		g.doc.WriteString("</" + tag + ">")
	}
}

func (g *generator) complex(typ string) bool {
	for _, c := range g.schema.Complex {
		if c.Name == typ {
			return true
		}
	}
	return false
}

func (g *generator) enum(typ string) []string {
	var all []string
	for _, s := range g.schema.Simple {
		if s.Name == typ {
			for _, v := range s.Values {
				all = append(all, v.Value)
			}
		}
	}
	return all
}

// escape writes a text as canonical XML does.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;").Replace(s)
}

// random draws every decision and value from rapid.
func random(tb testing.TB, t *rapid.T) *generator {
	tb.Helper()
	g := newGenerator(tb)
	g.prefix = rapid.SampledFrom([]string{"", "s", "ns2"}).Draw(t, "prefix")
	g.optional = func(path string) bool {
		// A parent without any datum is an empty container, which encoding/xml cannot tell from a leaf.
		return strings.HasSuffix(path, "/Occupazione") || rapid.Bool().Draw(t, path)
	}
	g.repeat = func(path string, most int) int { return rapid.IntRange(1, most).Draw(t, path) }
	g.choose = func(path string, n int) int { return rapid.IntRange(0, n-1).Draw(t, path) }
	blanks := rapid.SampledFrom([]string{"", "\n", "  ", "\n\t "}).Draw(t, "blanks")
	g.between = func() string { return blanks }
	g.value = func(path, typ string, enum []string) string {
		if len(enum) > 0 {
			return rapid.SampledFrom(enum).Draw(t, path)
		}
		pattern, ok := patterns()[typ]
		if !ok {
			tb.Fatalf("no generator for %s", typ)
		}
		return pattern.Draw(t, path)
	}
	return g
}

// patterns gives a generator for every simple type that is no enumeration.
func patterns() map[string]*rapid.Generator[string] {
	date := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%04d-%02d-%02d", rapid.IntRange(1990, 2024).Draw(t, "year"),
			rapid.IntRange(1, 12).Draw(t, "month"), rapid.IntRange(1, 28).Draw(t, "day"))
	})
	zone := rapid.SampledFrom([]string{"Z", "+01:00", "-05:30", "+14:00", "+13:59", "-13:00"})
	text := func(most int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 .&<>\"'àñ€-")), 1, most, -1).Filter(func(s string) bool {
			return strings.TrimSpace(s) != ""
		})
	}
	re := rapid.StringMatching
	return map[string]*rapid.Generator[string]{
		"UuidType": re(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`),
		"GiornoType": rapid.Custom(func(t *rapid.T) string {
			return date.Draw(t, "date") + rapid.OneOf(rapid.Just(""), zone).Draw(t, "zone")
		}),
		"DataOraTzType": rapid.Custom(func(t *rapid.T) string {
			return date.Draw(t, "date") + re(`T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?`).Draw(t, "time") +
				zone.Draw(t, "zone")
		}),
		"CodiceLocaleType":      re(`[A-Za-z0-9._:/-]{1,36}`),
		"CodiceFiscaleType":     re(`[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-MZ][0-9LMNPQRSTUV]{3}[A-Z]`),
		"CodiceNumerico11Type":  re(`[0-9]{11}`),
		"CodiceSTPType":         re(`STP[0-9]{13}`),
		"CodiceENIType":         re(`ENI[0-9]{13}`),
		"CodiceCatastaleType":   re(`[A-MZ][0-9]{3}`),
		"CodiceIstatComuneType": re(`[0-9]{6}`),
		"CodiceNazioneType":     rapid.OneOf(re(`[0-9]{3}`), rapid.SampledFrom([]string{"380", "642", "276", "724", "826", "997"})),
		"CodicePrestazioneType": rapid.OneOf(re(`[A-Z0-9.]{5,10}`), rapid.Just("A1.20")),
		"ImportoType":           re(`\+?0{0,2}[0-9]{1,7}(\.[0-9]{0,2})?`),
		"PositivoType":          re(`\+?0{0,3}[1-9][0-9]{0,5}`),
		"NumeroComponentiType":  re(`[0-9]`),
		"OreMensiliType":        re(`[0-9]{1,3}`),
		"CapType":               re(`[0-9]{5}`),
		"Testo20Type":           text(20),
		"Testo50Type":           text(50),
		"Testo100Type":          text(100),
	}
}

// maximal takes every optional leaf and two of what repeats; body is the position of Dettaglio's
// choice and identity that of the identifier's. Texts are marked by value.
func maximal(tb testing.TB, body, identity int, value func(path, typ string) string) *generator {
	tb.Helper()
	g := newGenerator(tb)
	g.optional = func(string) bool { return true }
	g.repeat = func(_ string, most int) int { return min(most, 2) }
	g.choose = func(path string, _ int) int {
		if path == "/Dettaglio" {
			return body
		}
		return identity
	}
	g.value = func(path, typ string, enum []string) string {
		if len(enum) > 0 {
			return enum[len(enum)-1]
		}
		return value(path, typ)
	}
	return g
}

// plain gives a valid value for every simple type that is no enumeration.
func plain(_, typ string) string {
	return map[string]string{
		"UuidType": "0d3b1c2a-9f00-4A00-8a00-00000000000A", "GiornoType": "2014-06-15", "DataOraTzType": "2024-06-15T10:00:00+02:00",
		"CodiceLocaleType": "L.1/2", "CodiceFiscaleType": "BNCLCU12C15D612V", "CodiceNumerico11Type": "00743110157",
		"CodiceSTPType": "STP0901010000123", "CodiceENIType": "ENI0901010000123", "CodiceCatastaleType": "D612",
		"CodiceIstatComuneType": "048017", "CodiceNazioneType": "504", "CodicePrestazioneType": "A1.20",
		"ImportoType": "10.50", "PositivoType": "7", "NumeroComponentiType": "4", "OreMensiliType": "12",
		"CapType": "50100", "Testo20Type": "5.1", "Testo50Type": "Alias2k", "Testo100Type": "Ente & <figli>",
	}[typ]
}

// bodyNames gives the elements that Dettaglio may hold.
func bodyNames(tb testing.TB) []string {
	tb.Helper()
	var names []string
	for _, c := range newGenerator(tb).schema.Complex {
		if c.Name == "DettaglioType" {
			for _, el := range c.Choice {
				names = append(names, el.Name)
			}
		}
	}
	if len(names) != bodies {
		tb.Fatal(names)
	}
	return names
}

// belongs tells whether a field is to be tested with a body: its own, or the first for all others.
func belongs(field, element string, body int) bool {
	if strings.HasPrefix(field, "/Dettaglio/") {
		return strings.HasPrefix(field, "/Dettaglio/"+element+"/")
	}
	return body == 0
}

// The sizes of the two choices of an event.
const (
	bodies     = 16
	identities = 5
)

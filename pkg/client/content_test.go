package client_test

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/pkg/client"
)

func TestContentComparesValuesAndNotSpellings(t *testing.T) {
	t.Parallel()
	const document = `<?xml version="1.0"?><!-- x --><p:InviaEventoRichiesta xmlns:p="urn:sinba:eventi:v1" versione="1.0">
  <p:Testata><p:IdMessaggio>x</p:IdMessaggio><p:IdEvento>AB</p:IdEvento><p:DataOraEvento> 2024-03-12T00:20:00.0990+01:00 </p:DataOraEvento>
    <p:DataOraInvio>2024</p:DataOraInvio><p:ProgressivoCartella> +007 </p:ProgressivoCartella></p:Testata>
  <p:Mittente><p:Applicativo><p:Prodotto>x</p:Prodotto></p:Applicativo><p:IdOperatoreLocale> GS&#x3a;1&amp;<!-- -->2 </p:IdOperatoreLocale></p:Mittente>
  <p:Soggetto><p:Anagrafica><p:DataNascita>2024-04-08+02:00</p:DataNascita><p:DataNascitaPresunta>1</p:DataNascitaPresunta></p:Anagrafica></p:Soggetto>
  <p:Dettaglio><p:Fotografia><p:Intervento><p:ImportoMensile>1250.50</p:ImportoMensile></p:Intervento>
    <p:Intervento><p:ImportoMensile>-.500</p:ImportoMensile><p:OreServizioMensile>-0</p:OreServizioMensile></p:Intervento><p:Altro/></p:Fotografia></p:Dettaglio>
</p:InviaEventoRichiesta>
`
	const want = `/Testata/IdEvento=ab
/Testata/DataOraEvento=2024-03-11T23:20:00.099Z
/Testata/ProgressivoCartella=7
/Mittente/IdOperatoreLocale= GS:1&2 
/Soggetto/Anagrafica/DataNascita=2024-04-08
/Soggetto/Anagrafica/DataNascitaPresunta=1
/Dettaglio/Fotografia/Intervento/ImportoMensile=1250.5
/Dettaglio/Fotografia/Intervento[2]/ImportoMensile=-0.5
/Dettaglio/Fotografia/Intervento[2]/OreServizioMensile=0
/Dettaglio/Fotografia/Altro=
`
	if diff := cmp.Diff(want, string(client.ContentOf([]byte(document)))); diff != "" {
		t.Error(diff)
	}
	for _, broken := range []string{"", "<a>", "<a/><b", "a", strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)} {
		if got := client.ContentOf([]byte(broken)); got != nil {
			t.Errorf("%q was read as %q", broken, got)
		}
	}
}

// TestKindsAreThoseOfTheSchema walks the schema from the event down: each leaf has the kind of its
// type, wherever it stands.
func TestKindsAreThoseOfTheSchema(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "xsd", "sinba-eventi-v1.xsd"))
	if err != nil {
		t.Fatal(err)
	}
	type element struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	}
	var schema struct {
		Complex []struct {
			Name     string    `xml:"name,attr"`
			Sequence []element `xml:"sequence>element"`
			Choice   []element `xml:"choice>element"`
			Inner    []element `xml:"sequence>choice>element"`
		} `xml:"complexType"`
		Simple []struct {
			Name        string `xml:"name,attr"`
			Restriction struct {
				Base string `xml:"base,attr"`
			} `xml:"restriction"`
		} `xml:"simpleType"`
	}
	if err := xml.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "<xs:extension"); n != 0 {
		t.Fatalf("%d extensions, which this test does not follow", n)
	}
	children := map[string][]element{}
	for _, c := range schema.Complex {
		children[c.Name] = append(append(c.Sequence, c.Choice...), c.Inner...)
	}
	kinds := map[string]string{"UuidType": "uuid"}
	for _, s := range schema.Simple {
		if kinds[s.Name] == "" {
			kinds[s.Name] = map[string]string{"xs:date": "day", "xs:dateTime": "instant", "xs:int": "number", "xs:long": "number", "xs:decimal": "number", "xs:string": "text"}[s.Restriction.Base]
		}
	}
	leaves := map[string]string{}
	var walk func(typeName string)
	walk = func(typeName string) {
		for _, e := range children[typeName] {
			if _, container := children[e.Type]; container {
				walk(e.Type)
				continue
			}
			leaves[e.Name] = kinds[e.Type]
			if kinds[e.Type] == "" || client.KindOf(e.Name) != kinds[e.Type] {
				t.Errorf("%s is %q in the schema and %q here", e.Name, kinds[e.Type], client.KindOf(e.Name))
			}
		}
	}
	walk("MessaggioEventoType")
	if len(leaves) < 80 || leaves["ImportoMensile"] != "number" || leaves["DataOraEvento"] != "instant" {
		t.Errorf("%d leaves: %v", len(leaves), leaves)
	}
}

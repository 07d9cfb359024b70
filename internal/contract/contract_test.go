package contract_test

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/contract"
)

func newCatalogue(t *testing.T) *contract.Catalogue {
	t.Helper()
	c, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wsdlFile is what the test reads of a WSDL.
type wsdlFile struct {
	Imports []struct {
		Location string `xml:"schemaLocation,attr"`
	} `xml:"types>schema>import"`
	Operations []struct {
		Name string `xml:"name,attr"`
	} `xml:"portType>operation"`
	Actions []struct {
		Operations []struct {
			Inner struct {
				Action string `xml:"soapAction,attr"`
			} `xml:"operation"`
		} `xml:"operation"`
	} `xml:"binding"`
	Ports []struct {
		Address struct {
			Location string `xml:"location,attr"`
		} `xml:"address"`
	} `xml:"service>port"`
}

func TestWSDLHasTheCataloguesOperationsAndTheAskedAddress(t *testing.T) {
	t.Parallel()
	const address = "https://hub.example/soap/sociale/v1/SinbaEventi"
	for soap11, ports := range map[bool]int{true: 1, false: 2} {
		var w wsdlFile
		if err := xml.Unmarshal(newCatalogue(t).WSDL(address, soap11), &w); err != nil {
			t.Fatal(err)
		}
		if len(w.Ports) != ports {
			t.Errorf("%d ports, want %d", len(w.Ports), ports)
		}
		for _, p := range w.Ports {
			if p.Address.Location != address {
				t.Errorf("address %q", p.Address.Location)
			}
		}
		if len(w.Imports) != 1 || w.Imports[0].Location != address+"?xsd=sinba-eventi-v1.xsd" {
			t.Errorf("imports %v", w.Imports)
		}
		operations := contract.Operations()
		if len(w.Operations) != len(operations) {
			t.Fatalf("%d operations, want %d", len(w.Operations), len(operations))
		}
		for i, o := range operations {
			if w.Operations[i].Name != string(o.Name) {
				t.Errorf("operation %q, want %q", w.Operations[i].Name, o.Name)
			}
			for _, b := range w.Actions {
				if b.Operations[i].Inner.Action != o.Action() {
					t.Errorf("action %q, want %q", b.Operations[i].Inner.Action, o.Action())
				}
			}
		}
	}
}

func TestAddressIsEscapedInTheWSDL(t *testing.T) {
	t.Parallel()
	text := newCatalogue(t).WSDL(`http://x/"><evil/>&`, false)
	if bytes.Contains(text, []byte("<evil/>")) {
		t.Error("the address broke out of its attribute")
	}
}

func TestSchemaIsServedByItsNameOnly(t *testing.T) {
	t.Parallel()
	c := newCatalogue(t)
	text, ok := c.XSD("sinba-eventi-v1.xsd")
	if !ok || !strings.Contains(string(text), `targetNamespace="urn:sinba:eventi:v1"`) {
		t.Error("the schema is not served")
	}
	for _, name := range []string{"", "../xsd.go", "siss-ricezione-v1.xsd", "SINBA-EVENTI-V1.XSD"} {
		if _, ok := c.XSD(name); ok {
			t.Errorf("%q is served", name)
		}
	}
}

func TestActionMustAgreeWithTheBody(t *testing.T) {
	t.Parallel()
	c := newCatalogue(t)
	o, ok := c.ByRequest("InviaEventoRichiesta")
	if !ok {
		t.Fatal("InviaEventoRichiesta is no request")
	}
	for action, want := range map[string]bool{
		"": true, "urn:sinba:eventi:v1/inviaEvento": true, "inviaEvento": true, "InviaEventoRichiesta": true,
		"urn:sinba:eventi:v1/InviaEventoRichiesta": true, "urn:sinba:eventi:v1/statoEvento": false, "echo": false, "urn:x": false,
	} {
		if o.AgreesWith(action) != want {
			t.Errorf("%q agrees: %v, want %v", action, !want, want)
		}
	}
	if _, ok := c.ByRequest("InviaEventoRisposta"); ok {
		t.Error("a response is taken for a request")
	}
}

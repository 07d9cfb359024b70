package sinba_test

import (
	"bytes"
	"encoding/xml"
	"os"
	"regexp"
	"strings"
	"testing"
)

// nationalFile is where the generated schema lives.
const nationalFile = "../../xsd/evento-nazionale-v1.xsd"

func TestNationalSchemaFileIsTheGeneratedOne(t *testing.T) {
	t.Parallel()
	generated, err := load(t).NationalSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(nationalFile, generated, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(nationalFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(generated, committed) {
		t.Errorf("%s is not what foglie.tsv and the event schema give: run the test with -update", nationalFile)
	}
}

// TestNationalSchemaHasNoTypeAbleToHoldAnIdentity reads the generated schema as data: every simple
// type is a list of codes, a bounded number, or a pattern that matches no name and no personal code.
func TestNationalSchemaHasNoTypeAbleToHoldAnIdentity(t *testing.T) {
	t.Parallel()
	generated, err := load(t).NationalSchema()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Simple []struct {
			Name        string `xml:"name,attr"`
			Restriction struct {
				Base   string `xml:"base,attr"`
				Facets []struct {
					XMLName xml.Name `xml:""`
					Value   string   `xml:"value,attr"`
				} `xml:",any"`
			} `xml:"restriction"`
		} `xml:"simpleType"`
		Complex []struct {
			Name  string `xml:"name,attr"`
			Inner string `xml:",innerxml"`
		} `xml:"complexType"`
	}
	if err := xml.Unmarshal(generated, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Simple) < 20 || len(doc.Complex) < 15 {
		t.Fatal("schema read badly", len(doc.Simple), len(doc.Complex))
	}
	identities := []string{
		"RSSMRA85T10A562S", "RSSMRAURTMLARSNL", "AAAAAA22A22A222A", "00743110157", "STP0901010000123",
		"ENI0901010000123", "Rossi", "ROSSI MARIO", "rossi", "50100", "048017", "D612", "2010-04-23",
	}
	defined := map[string]bool{}
	for _, s := range doc.Simple {
		defined[s.Name] = true
		enumerations, patterns := 0, 0
		for _, f := range s.Restriction.Facets {
			switch f.XMLName.Local {
			case "enumeration":
				enumerations++
			case "pattern":
				patterns++
				re := regexp.MustCompile("^(?:" + f.Value + ")$")
				for _, id := range identities {
					// A code of a configured list has the shape of a short upper-case word by contract.
					if re.MatchString(id) && (s.Name != "CodicePrestazioneType" || len(id) > 10) {
						t.Errorf("%s can hold %s", s.Name, id)
					}
				}
			case "minInclusive", "maxInclusive":
			default:
				t.Errorf("%s has the facet %s", s.Name, f.XMLName.Local)
			}
		}
		if s.Restriction.Base == "xs:string" && enumerations == 0 && patterns == 0 {
			t.Errorf("%s is an open string", s.Name)
		}
		if s.Restriction.Base != "xs:string" && s.Restriction.Base != "xs:int" {
			t.Errorf("%s has the base %s", s.Name, s.Restriction.Base)
		}
	}
	for _, c := range doc.Complex {
		defined[c.Name] = true
	}
	for _, m := range regexp.MustCompile(`type="([^"]*)"`).FindAllStringSubmatch(string(generated), -1) {
		if !defined[m[1]] {
			t.Errorf("type %s is not defined here", m[1])
		}
	}
}

func TestNationalSchemaHasNoElementThatTheTableDrops(t *testing.T) {
	t.Parallel()
	c := load(t)
	generated, err := c.NationalSchema()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, leaf := range c.Table() {
		for _, name := range leaf.Outputs {
			wanted[name] = leaf.National != "route" || wanted[name]
		}
	}
	for _, leaf := range c.Table() {
		name := leaf.Path[strings.LastIndex(leaf.Path, "/")+1:]
		if !wanted[name] && strings.Contains(string(generated), `name="`+name+`"`) {
			t.Errorf("national schema has %s", name)
		}
	}
	for name, is := range wanted {
		if is && !strings.Contains(string(generated), `name="`+name+`"`) {
			t.Errorf("national schema lacks %s", name)
		}
	}
}

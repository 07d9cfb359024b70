package sinba_test

import (
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// compiled compiles the two schemas once, the national one as the package generates it now.
var compiled = sync.OnceValues(func() (schemas struct{ event, national *xmlschema.Schema }, err error) {
	file, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return schemas, err
	}
	schemas.event, err = xmlschema.Compile(xsd.SinbaEventi, map[string][]byte{xsd.SinbaEventi: file})
	if err != nil {
		return schemas, err
	}
	c, err := catalogue()
	if err != nil {
		return schemas, err
	}
	generated, err := c.NationalSchema()
	if err != nil {
		return schemas, err
	}
	schemas.national, err = xmlschema.Compile(xsd.EventoNazionale, map[string][]byte{xsd.EventoNazionale: generated})
	return schemas, err
})

// check gives libxml2's verdict on a document.
func check(tb testing.TB, national bool, doc []byte) xmlschema.Verdict {
	tb.Helper()
	schemas, err := compiled()
	if err != nil {
		tb.Fatal(err)
	}
	schema := schemas.event
	if national {
		schema = schemas.national
	}
	verdict, err := schema.Check(doc, xmlschema.Bare)
	if err != nil {
		tb.Fatal(err)
	}
	return verdict
}

// TestDocumentsOfTheTestsAreValid: what the other tests are made of conforms to the contract.
func TestDocumentsOfTheTestsAreValid(t *testing.T) {
	t.Parallel()
	everyDocument(t, func(doc string, _ []leafValue) {
		if v := check(t, false, []byte(doc)); v.Status != xmlschema.Valid {
			t.Errorf("%v %v", v.Status, v.Findings)
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		doc, _ := random(t, rt).generate("InviaEventoRichiesta")
		if v := check(t, false, []byte(doc)); v.Status != xmlschema.Valid {
			rt.Fatalf("%v %v", v.Status, v.Findings)
		}
	})
}

// TestReadTakesWhateverTheValidatorWrites: comments, CDATA, references, prefixes and declarations
// that clients write are gone in the canonical bytes, and the content is the same.
func TestReadTakesWhateverTheValidatorWrites(t *testing.T) {
	t.Parallel()
	c := load(t)
	plainDoc := sample(t, "caricamento-iniziale")
	want := string(read(t, plainDoc).Content())
	dressed := map[string]string{
		"declaration": `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\r\n" + plainDoc + "\n<!-- end -->",
		"comments":    strings.ReplaceAll(plainDoc, "<Cartella>", "<!-- <Cartella> --><?p i?><Cartella>"),
		"line ends":   strings.ReplaceAll(plainDoc, "<Cartella>", "\r\n\t<Cartella>\r\n"),
		"references":  strings.ReplaceAll(plainDoc, "Via di Prova", "&#86;ia&#x20;di <![CDATA[Prova]]>"),
		"quotes":      strings.ReplaceAll(plainDoc, "dell'Area", "dell&apos;Area"),
		"single":      strings.ReplaceAll(plainDoc, `versione="1.0"`, `versione='1.0'`),
		"hint": strings.ReplaceAll(plainDoc, `versione="1.0"`,
			`xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:sinba:eventi:v1 a>b.xsd" versione="1.0"`),
		"types": strings.ReplaceAll(plainDoc, `<Sesso>`,
			`<Sesso xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:v="urn:sinba:eventi:v1" xsi:type="v:codSesso">`),
		"prefix":   strings.NewReplacer("</", "</è1:", "<", "<è1:", "xmlns=", "xmlns:è1=").Replace(plainDoc),
		"prefixes": strings.NewReplacer("<Cartella>", `<b:Cartella xmlns:b="urn:sinba:eventi:v1">`, "</Cartella>", "</b:Cartella>").Replace(plainDoc),
		"tag ends": strings.ReplaceAll(plainDoc, "</Sesso>", "</Sesso\n>"),
	}
	for name, doc := range dressed {
		v := check(t, false, []byte(doc))
		if v.Status != xmlschema.Valid {
			t.Errorf("%s: %v %v", name, v.Status, v.Findings)
			continue
		}
		ev, err := c.Read(v.Payload)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(ev.Content()) != want {
			t.Errorf("%s: other content", name)
		}
		if ev.Version() != "1.0" {
			t.Errorf("%s: %s", name, ev.Version())
		}
	}
}

// TestNationalConformsToItsSchema for every event that the contract allows.
func TestNationalConformsToItsSchema(t *testing.T) {
	t.Parallel()
	c := load(t)
	everyDocument(t, func(doc string, _ []leafValue) {
		_, leaving := national(t, doc)
		if v := check(t, true, []byte(leaving)); v.Status != xmlschema.Valid || v.Root != "EventoNazionale" {
			t.Errorf("%v %v", v.Status, v.Findings)
		} else if string(v.Payload) != leaving {
			t.Error("the national event is not canonical")
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		doc, _ := random(t, rt).generate("InviaEventoRichiesta")
		ev, err := c.Read([]byte(doc))
		if err != nil {
			rt.Fatal(err)
		}
		leaving, err := c.National(c.Regional(ev, regionalCodes()), nationalCodes())
		if err != nil {
			rt.Fatal(err)
		}
		if v := check(t, true, leaving); v.Status != xmlschema.Valid {
			rt.Fatalf("%v %v", v.Status, v.Findings)
		}
	})
}

// TestNationalSchemaRefusesAnIdentityInEveryElement puts identities into every leaf of every kind of
// national event: none is valid.
func TestNationalSchemaRefusesAnIdentityInEveryElement(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for body := range bodies {
		doc, _ := maximal(t, body, 0, plain).generate("InviaEventoRichiesta")
		_, leaving := national(t, doc)
		parsed, err := sinba.Leaves([]byte(leaving))
		if err != nil {
			t.Fatal(err)
		}
		for _, leaf := range parsed.Leaves {
			path := withoutPositions(leaf.Path)
			if tested[path] {
				continue
			}
			tested[path] = true
			name := path[strings.LastIndex(path, "/")+1:]
			at := strings.Index(leaving, "<"+name+">"+leaf.Value+"<")
			if at < 0 {
				t.Fatal(path)
			}
			from := at + len(name) + 2
			for _, identity := range []string{"RSSMRA85T10A562S", "AAAAAA22A22A222A", "80012345676", "STP0901010000123", "Rossi", "Mario Rossi", "2010-04-23", "A-00001-3031"} {
				bad := leaving[:from] + identity + leaving[from+len(leaf.Value):]
				if check(t, true, []byte(bad)).Status == xmlschema.Valid {
					t.Errorf("%s can hold %s", path, identity)
				}
			}
		}
		for _, extra := range []string{"Cognome", "CodiceFiscale", "IdAssistitoLocale", "DataNascita", "Note"} {
			for _, container := range []string{"Testata", "Soggetto", "Identificativo", "Anagrafica", "Residenza", "Cartella", "Dettaglio"} {
				bad := strings.Replace(leaving, "</"+container+">", "<"+extra+">x</"+extra+"></"+container+">", 1)
				if check(t, true, []byte(bad)).Status == xmlschema.Valid {
					t.Errorf("%s can hold %s", container, extra)
				}
			}
		}
	}
	if len(tested) < 150 {
		t.Error("leaves", len(tested))
	}
}

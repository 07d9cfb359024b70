package sinba_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/xsd"
)

// TestCodicePrestazioneIsKeptByItsListOrItsShape covers the one kept leaf whose list may be missing.
func TestCodicePrestazioneIsKeptByItsListOrItsShape(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile(filepath.Join("testdata", "esempi", "intervento.xml"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		services []string
		code     string
		want     string
	}{
		{"no list, a code", nil, "A1.20", "A1.20"},
		{"no list, a deeper code", nil, "B12.3.45", "B12.3.45"},
		{"no list, a word that could be a name", nil, "ROSSI", "altro"},
		{"no list, a name with a digit", nil, "ROSSI2", "altro"},
		{"no list, the beginning of a codice fiscale", nil, "WRNDNM09H7", "altro"},
		{"no list, a local id", nil, "GR008841", "altro"},
		{"no list, no point", nil, "A1201", "altro"},
		{"no list, long groups", nil, "A.123.4", "altro"},
		{"no list, a point at the end", nil, "A1.20.", "altro"},
		{"no list, three digits", nil, "A123.4", "altro"},
		{"listed", []string{"B2.30"}, "B2.30", "B2.30"},
		{"a list and another code", []string{"B2.30"}, "A1.20", "altro"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ref := sinba.DefaultReference()
			ref.Services = c.services
			catalogue, err := sinba.Load(schema, ref)
			if err != nil {
				t.Fatal(err)
			}
			document := bytes.Replace(bytes.TrimSpace(sample), []byte(">A1.20<"), []byte(">"+c.code+"<"), 1)
			event, err := catalogue.Read(document)
			if err != nil {
				t.Fatal(err)
			}
			regional := catalogue.Regional(event, sinba.RegionalCodes{Pseudonym: "P", Rekey: func(_, _ string) string { return "R" }})
			if want := "<CodicePrestazione>" + c.want + "</CodicePrestazione>"; !bytes.Contains(regional, []byte(want)) {
				t.Errorf("no %s in %s", want, regional)
			}
		})
	}
}

package sinba_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// What could locate a child in a protected placement (art. 403 c.c.) never leaves for the nation: no structure,
// its region neither, no municipality, address, postal code or zone but the region of residence, and of the
// placement's days the month only.
func TestNothingThatLocatesAPlacementLeaves(t *testing.T) {
	t.Parallel()
	locating := []string{"Struttura", "Comune", "Catastale", "Indirizzo", "CAP", "Cap", "Via", "Civico", "Luogo", "Zona", "Domicilio"}
	seen, days := 0, 0
	for _, row := range load(t).Table() {
		leaf := row.Path[strings.LastIndex(row.Path, "/")+1:]
		for _, word := range locating {
			if !strings.Contains(leaf, word) && !strings.Contains(row.Path, "/"+word+"/") {
				continue
			}
			// Codes of closed lists that say how, not where, and the one generalised place.
			if row.National == sinba.ClassDrop || leaf == "LuogoVita" || leaf == "EsitoInserimentoStruttura" ||
				row.National == sinba.ClassRegion && strings.HasSuffix(row.Path, "/Residenza/CodiceComune") {
				seen++
				continue
			}
			t.Errorf("%s is %q for the nation", row.Path, row.National)
		}
		if strings.Contains(row.Path, "/InserimentoStruttura/Data") {
			if days++; row.National != sinba.ClassMonth {
				t.Errorf("%s is %q for the nation", row.Path, row.National)
			}
		}
	}
	if seen < 10 || days < 4 {
		t.Errorf("only %d leaves and %d days looked at", seen, days)
	}
}

// A leaf table that lets a place out does not load, so that no hub starts with it and no replay tries it.
func TestATableThatLocatesAPlacementDoesNotLoad(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("foglie.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for path, class := range map[string]string{
		"/Dettaglio/InserimentoStruttura/CodiceStrutturaASSO":               "keep",
		"/Dettaglio/InserimentoStruttura/CodiceRegioneStruttura":            "keep",
		"/Dettaglio/InserimentoStruttura/DataIngresso":                      "keep",
		"/Dettaglio/Fotografia/InserimentoStruttura/CodiceStrutturaASSO":    "route",
		"/Dettaglio/Fotografia/InserimentoStruttura/CodiceRegioneStruttura": "keep",
		"/Dettaglio/Fotografia/InserimentoStruttura/DataDimissione":         "keep",
	} {
		var table strings.Builder
		changed := false
		for line := range strings.Lines(string(text)) {
			if columns := strings.Split(line, "\t"); columns[0] == path {
				columns[2], columns[3] = class, "Fuori"
				line, changed = strings.Join(columns, "\t"), true
			}
			table.WriteString(line)
		}
		if !changed {
			t.Errorf("no row of %s", path)
		}
		if _, err := sinba.LoadVersion(schemaFile(t), []byte(table.String()), reference()); err == nil || !strings.Contains(err.Error(), "locate") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s as %q: %v", path, class, err)
		}
	}
}

// Neither the event for the nation nor the record of a case whose child was taken away by an order of the court
// and placed says where.
func TestAProtectedPlacementIsNowhereToBeFound(t *testing.T) {
	t.Parallel()
	const structure, region, day = "ASSO-4031", "09", "2024-05-17"
	placement := stored("INSERIMENTO_STRUTTURA", day, `<InserimentoStruttura><IdInserimento>N</IdInserimento><Fase>APERTURA</Fase>`+
		`<CodiceStrutturaASSO>`+structure+`</CodiceStrutturaASSO><DataIngresso>`+day+`</DataIngresso>`+
		`<CarattereInserimentoResidenziale>10</CarattereInserimentoResidenziale><FormaInserimentoResidenziale>2</FormaInserimentoResidenziale>`+
		`<TipoInserimentoResidenziale>1</TipoInserimentoResidenziale><IdProvvedimento>T</IdProvvedimento>`+minor("4")+`</InserimentoStruttura>`)
	elsewhere := strings.Replace(placement, "<CodiceStrutturaASSO>"+structure+"</CodiceStrutturaASSO>",
		"<CodiceRegioneStruttura>"+region+"</CodiceRegioneStruttura>", 1)
	c := load(t)
	for name, event := range map[string]string{"in the region": placement, "in another region": elsewhere} {
		leaving, err := c.National([]byte(event), nationalCodes())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(string(leaving), "<MeseIngresso>2024-05</MeseIngresso>") {
			t.Fatalf("%s: no placement in %s", name, leaving)
		}
		history := [][]byte{
			[]byte(order("T", "APERTURA", "2024-05-16", "8", "")), []byte(assessment("2024-05-16", "4", "1")), []byte(event),
		}
		r, _ := record(t, history, "2024-12-31")
		flow := string(flowOf(r, "2024-12-31"))
		if !strings.Contains(flow, "FormaInserimentoResidenziale") {
			t.Fatalf("%s: no placement in %s", name, flow)
		}
		for what, text := range map[string]string{"the event": string(leaving), "the record": flow} {
			for _, place := range []string{structure, "4031", "CodiceStrutturaASSO", "RegioneStruttura", day, ">" + region + "<", `"` + region + `"`} {
				if strings.Contains(text, place) {
					t.Errorf("%s: %s tells %s: %s", name, what, place, text)
				}
			}
		}
	}
}

package sinba_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// schemaPlaces gives every path below Dettaglio at which an element of a complex type may stand,
// with the position of its body in Dettaglio's choice.
func schemaPlaces(tb testing.TB, typ string) map[string]int {
	tb.Helper()
	g := newGenerator(tb)
	places := map[string]int{}
	var walk func(name, path string, body int)
	walk = func(name, path string, body int) {
		if name == typ {
			places[path] = body
		}
		for _, c := range g.schema.Complex {
			if c.Name != name {
				continue
			}
			for i, el := range slices.Concat(c.Sequence, c.Choice) {
				if path == "/Dettaglio" {
					body = i
				}
				walk(el.Type, path+"/"+el.Name, body)
			}
		}
	}
	walk("DettaglioType", "/Dettaglio", 0)
	return places
}

// edited is the largest document of a body with other values at some paths and without others.
func edited(tb testing.TB, body int, values map[string]string) string {
	tb.Helper()
	g := maximal(tb, body, identities-1, plain)
	usual := g.value
	g.value = func(path, typ string, enum []string) string {
		if v, ok := values[path]; ok {
			return v
		}
		return usual(path, typ, enum)
	}
	g.optional = func(path string) bool {
		v, ok := values[path]
		return !ok || v != ""
	}
	doc, _ := g.generate("InviaEventoRichiesta")
	return doc
}

// TestRulesLookAtEveryPlaceOfTheSchema breaks each rule of a repeated group at every place where the
// schema lets the group stand, the ones inside a Fotografia among them.
func TestRulesLookAtEveryPlaceOfTheSchema(t *testing.T) {
	t.Parallel()
	const citizenship, birth = "/Soggetto/Anagrafica/CodiceCittadinanza", "/Soggetto/Anagrafica/DataNascita"
	cases := []struct {
		typ    string
		places int
		// edits are values of leaves by their path below the place, or from the root; an empty one
		// leaves the element out.
		edits map[string]string
		want  string
	}{
		{"DatiMinoreType", 9, map[string]string{"Disabilita": "1", "TipoDisabilita": ""}, "SINBA_307 GRAVE BR-07 TipoDisabilita"},
		{"DatiMinoreType", 9, map[string]string{"Disabilita": "1", "InvCivCertificazioni": ""}, "SINBA_307 GRAVE BR-07 InvCivCertificazioni"},
		{"DatiMinoreType", 9, map[string]string{"Disabilita": "2"}, "SINBA_307 LIEVE BR-07 TipoDisabilita"},
		{"DatiMinoreType", 9, map[string]string{"MinoreStranieroNoAcc": "1", citizenship: "380"}, "SINBA_309 GRAVE BR-09 MinoreStranieroNoAcc"},
		{"NucleoFamiliareType", 4, map[string]string{"ComposizioneFamiglia": "3"}, "SINBA_311 GRAVE BR-11 ComposizioneFamiglia"},
		{"SegnalazioneType", 2, map[string]string{"SegnalazioneAutoritaGiudiziaria": "1", "DataSegnalazioneAutorita": ""}, "SINBA_308 GRAVE BR-08 DataSegnalazioneAutorita"},
		{"ProgettoType", 2, map[string]string{"DataFine": ""}, "SINBA_312 GRAVE BR-12 DataFine"},
		{"InterventoType", 2, map[string]string{"DataFinePrestazione": ""}, "SINBA_312 GRAVE BR-12 DataFinePrestazione"},
		{"AffidamentoType", 2, map[string]string{"DataFine": ""}, "SINBA_312 GRAVE BR-12 DataFine"},
		{"AffidamentoType", 2, map[string]string{"EsitoAffido": ""}, "SINBA_312 GRAVE BR-12 EsitoAffido"},
		{"InserimentoStrutturaType", 2, map[string]string{"DataDimissione": ""}, "SINBA_312 GRAVE BR-12 DataDimissione"},
		{"InserimentoStrutturaType", 2, map[string]string{"EsitoInserimentoStruttura": ""}, "SINBA_312 GRAVE BR-12 EsitoInserimentoStruttura"},
		{"ProvvedimentoGiudiziarioType", 2, map[string]string{"DataCessazione": ""}, "SINBA_312 GRAVE BR-12 DataCessazione"},
		{"ProgettoType", 2, map[string]string{"DataFine": "2014-06-14"}, "SINBA_306 GRAVE BR-06 DataFine"},
		{"InterventoType", 2, map[string]string{"DataFinePrestazione": "2014-06-14"}, "SINBA_306 GRAVE BR-06 DataFinePrestazione"},
		{"AffidamentoType", 2, map[string]string{"DataFine": "2014-06-14"}, "SINBA_306 GRAVE BR-06 DataFine"},
		{"InserimentoStrutturaType", 2, map[string]string{"DataDimissione": "2014-06-14"}, "SINBA_306 GRAVE BR-06 DataDimissione"},
		{"ProvvedimentoGiudiziarioType", 2, map[string]string{"DataCessazione": "2014-06-14"}, "SINBA_306 GRAVE BR-06 DataCessazione"},
		{"ProgettoType", 2, map[string]string{"Fase": "MODIFICA"}, "SINBA_306 LIEVE BR-06 DataFine"},
		{"InterventoType", 2, map[string]string{"Fase": "APERTURA"}, "SINBA_306 LIEVE BR-06 DataFinePrestazione"},
		{"AffidamentoType", 2, map[string]string{"Fase": "APERTURA"}, "SINBA_306 LIEVE BR-06 DataFine"},
		{"InserimentoStrutturaType", 2, map[string]string{"Fase": "MODIFICA"}, "SINBA_306 LIEVE BR-06 DataDimissione"},
		{"PresaInCaricoType", 2, map[string]string{birth: "1996-06-15"}, "SINBA_305 LIEVE BR-05 DataPresaInCarico"},
		{"RiaperturaCartellaType", 1, map[string]string{birth: "1993-06-15"}, "SINBA_305 GRAVE BR-05 DataPresaInCarico"},
	}
	for _, c := range cases {
		places := schemaPlaces(t, c.typ)
		if len(places) != c.places {
			t.Errorf("%s stands at %d places, not %d: look at the rules and this table", c.typ, len(places), c.places)
		}
		for path, body := range places {
			values := map[string]string{}
			for name, value := range c.edits {
				if !strings.HasPrefix(name, "/") {
					name = path + "/" + name
				}
				values[name] = value
			}
			at := strings.LastIndex(c.want, " ") + 1
			want := c.want[:at] + path + "/" + c.want[at:]
			if !slices.Contains(places1(verdict(t, edited(t, body, values), received)), want) {
				t.Errorf("%v: no %s", values, want)
			}
			usual := places1(verdict(t, edited(t, body, nil), received))
			if c.want != "SINBA_307 LIEVE BR-07 TipoDisabilita" && c.typ != "NucleoFamiliareType" && slices.Contains(usual, want) {
				t.Errorf("%s without any edit", want)
			}
		}
	}
}

// places1 drops the positions of verdicts' paths.
func places1(lines []string) []string {
	all := make([]string, len(lines))
	for i, line := range lines {
		at := strings.LastIndex(line, " ") + 1
		all[i] = line[:at] + withoutPositions(line[at:])
	}
	return all
}

// TestBR10ComparesEveryChildWithEveryFamily: one DatiMinore anywhere in the event that says a parent
// is dead is held against all families of it.
func TestBR10ComparesEveryChildWithEveryFamily(t *testing.T) {
	t.Parallel()
	families := map[int][]string{}
	for path, body := range schemaPlaces(t, "NucleoFamiliareType") {
		families[body] = append(families[body], path)
	}
	for path, body := range schemaPlaces(t, "DatiMinoreType") {
		for _, c := range []struct{ dead, member, data string }{{"3", "2", "Padre"}, {"4", "1", "Madre"}} {
			values := map[string]string{path + "/CondizioneMinore": c.dead}
			for _, family := range families[body] {
				values[family+"/ComposizioneFamiglia"] = c.member
			}
			got := places1(verdict(t, edited(t, body, values), received))
			for _, family := range families[body] {
				for _, name := range []string{"ComposizioneFamiglia", c.data} {
					if !slices.Contains(got, "SINBA_310 GRAVE BR-10 "+family+"/"+name) {
						t.Errorf("%s %s: nothing said of %s/%s", path, c.dead, family, name)
					}
				}
				other := "Padre"
				if c.data == "Padre" {
					other = "Madre"
				}
				if slices.Contains(got, "SINBA_310 GRAVE BR-10 "+family+"/"+other) {
					t.Errorf("%s %s: %s is not dead", path, c.dead, other)
				}
			}
		}
	}
	if n := len(sinba.Rules()); n < 20 {
		t.Error(n)
	}
}

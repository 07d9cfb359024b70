package sinba_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// stored is a regional event as Regional writes it.
func stored(tipo, day, detail string) string { return storedWith(tipo, day, "", detail) }

// storedWith has an Anagrafica too.
func storedWith(tipo, day, person, detail string) string {
	return `<EventoRegionale xmlns="urn:sinba:regionale:v1" mappa="1"><Testata><IdEvento>5d9a53f1-77c4-4f1b-9b6f-2a51f06d5a01</IdEvento>` +
		`<TipoEvento>` + tipo + `</TipoEvento><TipoOperazione>I</TipoOperazione><ProgressivoCartella>1</ProgressivoCartella>` +
		`<DataOraEvento>` + day + `T10:00:00Z</DataOraEvento></Testata><Soggetto><Identificativo><Pseudonimo>PSEUDONIMOREGIONALEA</Pseudonimo></Identificativo>` +
		person + `</Soggetto><Cartella><IdCartella>CARTELLAAAAAAAAAAAAA</IdCartella><DataApertura>2023-01-10</DataApertura></Cartella><Dettaglio>` +
		detail + `</Dettaglio></EventoRegionale>`
}

// person is an Anagrafica by month of birth and region.
func person(month, region string) string {
	return `<Anagrafica><Sesso>F</Sesso><DataNascita>` + month + `</DataNascita><CodiceCittadinanza>380</CodiceCittadinanza>` +
		`<Residenza><CodiceNazione>380</CodiceNazione><CodiceComune>` + region + `</CodiceComune></Residenza></Anagrafica>`
}

// minor is a DatiMinore with a place of life.
func minor(luogo string) string {
	return `<DatiMinore><MinoreStranieroNoAcc>2</MinoreStranieroNoAcc><CondizioneMinore>3</CondizioneMinore><LuogoVita>` + luogo +
		`</LuogoVita><ScuolaFrequentata>5</ScuolaFrequentata><CondizioneLavoro>1</CondizioneLavoro><Disabilita>1</Disabilita>` +
		`<TipoDisabilita>4</TipoDisabilita><InvCivCertificazioni>5</InvCivCertificazioni></DatiMinore>`
}

func report(day, first, source, authority string) string {
	when := ""
	if authority == "1" {
		when = `<DataSegnalazioneAutorita>` + day + `</DataSegnalazioneAutorita>`
	}
	return stored("SEGNALAZIONE", day, `<Segnalazione><IdSegnalazione>S</IdSegnalazione><DataSegnalazione>`+day+`</DataSegnalazione><PrimaSegnalazione>`+first+
		`</PrimaSegnalazione><FonteSegnalazione>`+source+`</FonteSegnalazione><SegnalazioneAutoritaGiudiziaria>`+authority+`</SegnalazioneAutoritaGiudiziaria>`+when+`</Segnalazione>`)
}

func assessment(day, luogo, value string) string {
	return stored("VALUTAZIONE", day, `<Valutazione><IdValutazione>V</IdValutazione><DataValutazione>`+day+`</DataValutazione>`+minor(luogo)+
		`<ValutazioneMinore>`+value+`</ValutazioneMinore><ValutazioneMinore>13</ValutazioneMinore><ValutazioneFamigliaMinore>6</ValutazioneFamigliaMinore>`+
		`<CollaborazioniInterventi>7</CollaborazioniInterventi><CollaborazioniInterventi>1</CollaborazioniInterventi>`+
		`<ISEE><NumeroComponentiISEE>4</NumeroComponentiISEE><FasciaISEEBeneficiario>3</FasciaISEEBeneficiario></ISEE></Valutazione>`)
}

func household(day, member string) string {
	return stored("NUCLEO_FAMILIARE", day, `<NucleoFamiliare><DataRiferimento>`+day+`</DataRiferimento><ComposizioneFamiglia>`+member+`</ComposizioneFamiglia>`+
		`<Padre><CodiceCittadinanza>008</CodiceCittadinanza><CodiceRegioneResidenza>17</CodiceRegioneResidenza><TitoloStudio>5</TitoloStudio><Occupazione>2</Occupazione></Padre>`+
		`<Madre><CodiceCittadinanza gruppo="EXTRA_UE">144</CodiceCittadinanza><CodiceRegioneResidenza>10</CodiceRegioneResidenza><TitoloStudio>6</TitoloStudio><Occupazione>1</Occupazione></Madre></NucleoFamiliare>`)
}

func order(id, fase, day, kind, ceased string) string {
	return stored("PROVVEDIMENTO_GIUDIZIARIO", day, `<ProvvedimentoGiudiziario><IdProvvedimento>`+id+`</IdProvvedimento><Fase>`+fase+`</Fase>`+
		`<DataProvvedimentoGiudiziario>`+day+`</DataProvvedimentoGiudiziario><AutoritaProvvedimento>2</AutoritaProvvedimento>`+
		optional("TipoProvvedimentoGiudiziario", kind)+`<PotestaTutela>3</PotestaTutela>`+optional("DataCessazione", ceased)+`</ProvvedimentoGiudiziario>`)
}

// optional is an element, nothing for an empty value.
func optional(name, value string) string {
	if value == "" {
		return ""
	}
	return "<" + name + ">" + value + "</" + name + ">"
}

func care(id, fase, day, end, tipo string) string {
	outcome := ""
	if end != "" {
		outcome = "9"
	}
	return stored("AFFIDAMENTO", day, `<Affidamento><IdAffidamento>`+id+`</IdAffidamento><Fase>`+fase+`</Fase><DataInizio>`+day+`</DataInizio>`+optional("DataFine", end)+
		`<FormaInterventoAffido>2</FormaInterventoAffido><TipoInterventoAffido>`+tipo+`</TipoInterventoAffido><DurataAffido>1</DurataAffido><CarattereAffido>2</CarattereAffido>`+
		optional("EsitoAffido", outcome)+`</Affidamento>`)
}

func placement(id, fase, day, end string) string {
	return stored("INSERIMENTO_STRUTTURA", day, `<InserimentoStruttura><IdInserimento>`+id+`</IdInserimento><Fase>`+fase+`</Fase><DataIngresso>`+day+`</DataIngresso>`+
		optional("DataDimissione", end)+`<CarattereInserimentoResidenziale>10</CarattereInserimentoResidenziale><FormaInserimentoResidenziale>1</FormaInserimentoResidenziale>`+
		`<TipoInserimentoResidenziale>2</TipoInserimentoResidenziale><EsitoInserimentoStruttura>8</EsitoInserimentoStruttura></InserimentoStruttura>`)
}

func service(id, fase, begin, end, code string) string {
	return stored("INTERVENTO", begin, `<Intervento><IdIntervento>`+id+`</IdIntervento><Fase>`+fase+`</Fase><CodicePrestazione>`+code+`</CodicePrestazione>`+
		`<DataInizioPrestazione>`+begin+`</DataInizioPrestazione>`+optional("DataFinePrestazione", end)+`</Intervento>`)
}

func closing(day string) string {
	return stored("CHIUSURA_CARTELLA", day, `<ChiusuraCartella><DataChiusura>`+day+`</DataChiusura><MotivazioneChiusuraCarico>4</MotivazioneChiusuraCarico>`+
		`<SituazioneChiusuraCarico>2</SituazioneChiusuraCarico></ChiusuraCartella>`)
}

func reopening(day string) string {
	return stored("RIAPERTURA_CARTELLA", day, `<RiaperturaCartella><DataRiapertura>`+day+`</DataRiapertura></RiaperturaCartella>`)
}

func charge(day string) string {
	return storedWith("PRESA_IN_CARICO", day, person("2012-05", "17"), `<PresaInCarico><DataPresaInCarico>`+day+`</DataPresaInCarico><TipoPresaInCarico>SOCIALE</TipoPresaInCarico></PresaInCarico>`)
}

// wholeCase has a source for every attribute.
func wholeCase() []string {
	return []string{
		stored("APERTURA_CARTELLA", "2023-01-10", `<AperturaCartella><CanaleAccesso>PRONTO_INTERVENTO</CanaleAccesso></AperturaCartella>`),
		report("2023-02-11", "1", "13", "1"), charge("2023-03-01"), assessment("2023-03-15", "4", "8"), household("2023-03-16", "1"),
		order("P", "APERTURA", "2023-04-01", "4", ""), care("A", "CHIUSURA", "2023-04-10", "2023-05-10", "2"),
		placement("I", "CHIUSURA", "2023-05-11", "2023-08-01"), service("X", "CHIUSURA", "2023-04-01", "2023-09-30", "A1.20"), closing("2023-10-01"),
	}
}

// project projects a case of the year 2023 at its end.
func project(t rapid.TB, events []string) (sinba.Record, []string) {
	t.Helper()
	c, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	live := make([][]byte, len(events))
	for i, e := range events {
		live[i] = []byte(e)
	}
	r, missing, err := c.Record(live, sinba.RecordQuery{Beneficiary: "CODICENAZIONALEAAAAA", Reference: on("2023-12-31")})
	if err != nil {
		t.Fatal(err)
	}
	return r, missing
}

// withoutLeaf takes every element of a name out of the events; inside, if not empty, is the element
// around it.
func withoutLeaf(events []string, inside, name string) []string {
	out := slices.Clone(events)
	leaf := regexp.MustCompile("<" + name + "[ >][^<]*</" + name + ">")
	for i, e := range out {
		if inside == "" {
			out[i] = leaf.ReplaceAllString(e, "")
			continue
		}
		out[i] = regexp.MustCompile("<"+inside+">.*</"+inside+">").ReplaceAllStringFunc(e, func(s string) string { return leaf.ReplaceAllString(s, "") })
	}
	return out
}

// Each attribute comes from its own source: taken away, the attribute is missing, or absent where it
// may be, and nothing stands in for it.
func TestRecordTakesEveryAttributeFromItsSource(t *testing.T) {
	t.Parallel()
	events := wholeCase()
	whole, missing := project(t, events)
	if len(missing) > 0 {
		t.Fatalf("the whole case misses %v", missing)
	}
	schema, err := flowSchema()
	if err != nil {
		t.Fatal(err)
	}
	if verdict, err := schema.Check(flowOf(whole, "2023-12-31"), xmlschema.Judge); err != nil || verdict.Status != xmlschema.Valid {
		t.Fatalf("%v %v", verdict, err)
	}
	// AutoritaProvvedimento: value 2, from the leaf of that name inside ProvvedimentoGiudiziario.
	for attribute, source := range map[string]struct{ want, inside, leaf, after string }{
		"MinoreStranieroNoAcc":             {"2", "DatiMinore", "MinoreStranieroNoAcc", ""},
		"CondizioneMinore":                 {"3", "DatiMinore", "CondizioneMinore", ""},
		"LuogoVita":                        {"4", "DatiMinore", "LuogoVita", ""},
		"ScuolaFrequentata":                {"5", "DatiMinore", "ScuolaFrequentata", ""},
		"CondizioneLavoro":                 {"1", "DatiMinore", "CondizioneLavoro", ""},
		"Disabilita":                       {"1", "DatiMinore", "Disabilita", ""},
		"TipoDisabilita":                   {"4", "DatiMinore", "TipoDisabilita", ""},
		"InvCivCertificazioni":             {"5", "DatiMinore", "InvCivCertificazioni", ""},
		"CodiceCittadinanzaPadre":          {"008", "Padre", "CodiceCittadinanza", ""},
		"CodiceCittadinanzaMadre":          {"144", "Madre", "CodiceCittadinanza", ""},
		"CodiceRegioneResidenzaPadre":      {"17", "Padre", "CodiceRegioneResidenza", ""},
		"CodiceRegioneResidenzaMadre":      {"10", "Madre", "CodiceRegioneResidenza", ""},
		"TitoloStudioPadre":                {"5", "Padre", "TitoloStudio", ""},
		"TitoloStudioMadre":                {"6", "Madre", "TitoloStudio", ""},
		"OccupazionePadre":                 {"2", "Padre", "Occupazione", ""},
		"OccupazioneMadre":                 {"1", "Madre", "Occupazione", ""},
		"DataPrimaSegnalazione":            {"02/2023", "", "DataSegnalazione", "02/2023"}, // its event's own day is left
		"FonteSegnalazione":                {"13", "", "FonteSegnalazione", ""},
		"ValutazioneMinore":                {"8", "Valutazione", "ValutazioneMinore", ""},
		"ValutazioneFamigliaMinore":        {"6", "Valutazione", "ValutazioneFamigliaMinore", ""},
		"SegnalazioneAutoritaGiudiziaria":  {"1", "Segnalazione", "SegnalazioneAutoritaGiudiziaria", "2"},
		"DataSegnalazione":                 {"02/2023", "Segnalazione", "DataSegnalazioneAutorita", ""},
		"AutoritaProvvedimento":            {"2", "ProvvedimentoGiudiziario", "AutoritaProvvedimento", ""},
		"DataProvvedimentoGiudiziario":     {"04/2023", "ProvvedimentoGiudiziario", "DataProvvedimentoGiudiziario", ""},
		"PotestaTutela":                    {"3", "ProvvedimentoGiudiziario", "PotestaTutela", ""},
		"TipoProvvedimentoGiudiziario":     {"4", "ProvvedimentoGiudiziario", "TipoProvvedimentoGiudiziario", ""},
		"FormaInterventoAffido":            {"2", "Affidamento", "FormaInterventoAffido", ""},
		"TipoInterventoAffido":             {"2", "Affidamento", "TipoInterventoAffido", ""},
		"DurataAffido":                     {"1", "Affidamento", "DurataAffido", ""},
		"CarattereAffido":                  {"2", "Affidamento", "CarattereAffido", ""},
		"EsitoAffido":                      {"9", "Affidamento", "EsitoAffido", ""},
		"CarattereInserimentoResidenziale": {"10", "InserimentoStruttura", "CarattereInserimentoResidenziale", ""},
		"FormaInserimentoResidenziale":     {"1", "InserimentoStruttura", "FormaInserimentoResidenziale", ""},
		"TipoInserimentoResidenziale":      {"2", "InserimentoStruttura", "TipoInserimentoResidenziale", ""},
		"EsitoInserimentoStruttura":        {"8", "InserimentoStruttura", "EsitoInserimentoStruttura", ""},
		"MotivazioneChiusuraCarico":        {"4", "ChiusuraCartella", "MotivazioneChiusuraCarico", ""},
		"SituazioneChiusuraCarico":         {"2", "ChiusuraCartella", "SituazioneChiusuraCarico", ""},
		"CollaborazioniInterventi":         {"7", "Valutazione", "CollaborazioniInterventi", ""},
		"NumeroComponentiISEE":             {"4", "Valutazione", "NumeroComponentiISEE", ""},
		"FasciaISEEBeneficiario":           {"3", "Valutazione", "FasciaISEEBeneficiario", ""},
		"FasciaEtaBeneficiario":            {"4", "Anagrafica", "DataNascita", ""},
		"AnnoNascita":                      {"2012", "Anagrafica", "DataNascita", ""},
		"CodiceRegioneResidenza":           {"17", "Anagrafica", "CodiceComune", ""},
		"CodiceNazioneResidenza":           {"380", "Residenza", "CodiceNazione", ""},
		"ProvvedimentoGiudiziario":         {"1", "ProvvedimentoGiudiziario", "DataProvvedimentoGiudiziario", "1"}, // below: without the event
		"IDBeneficiario":                   {"CODICENAZIONALEAAAAA", "Soggetto", "Pseudonimo", "CODICENAZIONALEAAAAA"},
	} {
		if got, _ := whole.Value(attribute); got != source.want {
			t.Errorf("%s is %q, want %q", attribute, got, source.want)
		}
		poorer, missing := project(t, withoutLeaf(events, source.inside, source.leaf))
		if got, _ := poorer.Value(attribute); got != source.after {
			t.Errorf("%s without %s is %q, want %q", attribute, source.leaf, got, source.after)
		}
		if required(t, attribute) && source.after == "" && !slices.Contains(missing, attribute) {
			t.Errorf("%s is required, gone and not told as missing: %v", attribute, missing)
		}
	}
	if diff := cmp.Diff([]string{"A1.20"}, whole.Services()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1"}, whole.Family()); diff != "" {
		t.Error(diff)
	}
}

// required reads the mirror of the national schema, which also proves that each attribute is in it.
func required(t *testing.T, attribute string) bool {
	t.Helper()
	at := regexp.MustCompile(`<xs:attribute name="` + attribute + `" type="[^"]+"( use="required")?/>`).FindStringSubmatch(mirror(t))
	if at == nil {
		t.Errorf("%s is not in the schema", attribute)
		return false
	}
	return at[1] != ""
}

// What whole events are the source of.
func TestRecordWithoutAnEventSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for event, want := range map[string][]string{
		"SEGNALAZIONE":              {"DataPrimaSegnalazione", "FonteSegnalazione", "SegnalazioneAutoritaGiudiziaria"},
		"PRESA_IN_CARICO":           {"FasciaEtaBeneficiario", "AnnoNascita", "CodiceNazioneResidenza", "PresaInCarico"},
		"NUCLEO_FAMILIARE":          {"Famiglia/ComposizioneFamiglia"},
		"INTERVENTO":                {"Prestazioni/CodicePrestazione"},
		"PROVVEDIMENTO_GIUDIZIARIO": nil,
		"AFFIDAMENTO":               nil,
		"VALUTAZIONE": {
			"MinoreStranieroNoAcc", "CondizioneMinore", "LuogoVita", "ScuolaFrequentata", "CondizioneLavoro", "Disabilita",
			"ValutazioneMinore", "ValutazioneFamigliaMinore",
		},
	} {
		events := slices.DeleteFunc(wholeCase(), func(e string) bool { return strings.Contains(e, "<TipoEvento>"+event+"<") })
		r, missing := project(t, events)
		if diff := cmp.Diff(want, missing); diff != "" {
			t.Errorf("without %s: %s", event, diff)
		}
		if got, _ := r.Value("ProvvedimentoGiudiziario"); (got == "2") != (event == "PROVVEDIMENTO_GIUDIZIARIO") {
			t.Errorf("without %s ProvvedimentoGiudiziario is %q", event, got)
		}
	}
}

// What an attribute makes required, and what has no band or code any more.
func TestRecordTellsWhatOneValueAsksOfAnother(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		events []string
		want   []string
	}{
		"disability without details":       {withoutLeaf(withoutLeaf(wholeCase(), "", "TipoDisabilita"), "", "InvCivCertificazioni"), []string{"TipoDisabilita", "InvCivCertificazioni"}},
		"authority without a date":         {withoutLeaf(wholeCase(), "", "DataSegnalazioneAutorita"), []string{"DataSegnalazione"}},
		"order without a date":             {withoutLeaf(wholeCase(), "", "DataProvvedimentoGiudiziario"), []string{"DataProvvedimentoGiudiziario"}},
		"eighteen by months":               {replaceIn(wholeCase(), "2012-05", "2005-12"), []string{"FasciaEtaBeneficiario"}},
		"one month less":                   {replaceIn(wholeCase(), "2012-05", "2006-01"), nil},
		"a nation that was not kept":       {replaceIn(wholeCase(), "<CodiceNazione>380", "<CodiceNazione>altro"), []string{"CodiceNazioneResidenza"}},
		"a service that was not kept":      {append(wholeCase(), service("Y", "APERTURA", "2023-06-01", "", "altro")), []string{"Prestazioni/CodicePrestazione"}},
		"it ended before the year began":   {replaceIn(wholeCase(), "2023-09-30", "2022-12-31"), []string{"Prestazioni/CodicePrestazione"}},
		"it ended on the first day of it":  {replaceIn(wholeCase(), "2023-09-30", "2023-01-01"), nil},
		"it began after the reference day": {replaceIn(replaceIn(wholeCase(), "<DataInizioPrestazione>2023-04-01", "<DataInizioPrestazione>2024-01-01"), "2023-09-30", "2024-02-01"), []string{"Prestazioni/CodicePrestazione"}},
		"taken in charge too late":         {replaceIn(wholeCase(), "<DataPresaInCarico>2023-03-01", "<DataPresaInCarico>2024-01-01"), []string{"PresaInCarico"}},
		"in charge again by a reopening": {
			append(replaceIn(wholeCase(), "<DataPresaInCarico>2023-03-01", "<DataPresaInCarico>2024-01-01"),
				replaceIn([]string{reopening("2023-11-01")}, "</DataRiapertura>", "</DataRiapertura><DataPresaInCarico>2023-11-02</DataPresaInCarico>")[0]), nil,
		},
		"it ended after the reference day": {replaceIn(wholeCase(), "2023-09-30", "2024-02-01"), nil},
	} {
		if _, missing := project(t, tt.events); !slices.Equal(missing, tt.want) {
			t.Errorf("%s: misses %v, want %v", name, missing, tt.want)
		}
	}
}

func replaceIn(events []string, old, with string) []string {
	out := slices.Clone(events)
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], old, with)
	}
	return out
}

func TestRecordSaysEachCodeOnce(t *testing.T) {
	t.Parallel()
	events := append(wholeCase(), service("Y", "APERTURA", "2023-06-01", "", "A1.20"), service("Z", "APERTURA", "2023-06-01", "", "A0.10"))
	r, _ := project(t, replaceIn(events, "<ComposizioneFamiglia>1</ComposizioneFamiglia>", strings.Repeat("<ComposizioneFamiglia>1</ComposizioneFamiglia>", 2)))
	if diff := cmp.Diff([]string{"A0.10", "A1.20"}, r.Services()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1"}, r.Family()); diff != "" {
		t.Error(diff)
	}
}

// Which of several counts.
func TestRecordChoosesAsTheTableSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		events          []string
		attribute, want string
	}{
		"the last assessment by its date":                {[]string{assessment("2023-06-01", "1", "2"), assessment("2023-05-01", "2", "3")}, "ValutazioneMinore", "2"},
		"of one date the last in fold order":             {[]string{assessment("2023-06-01", "1", "2"), assessment("2023-06-01", "2", "3")}, "ValutazioneMinore", "3"},
		"nothing behind the reference date":              {[]string{assessment("2023-06-01", "1", "2"), assessment("2024-01-01", "2", "3")}, "LuogoVita", "1"},
		"the report that says to be the first":           {[]string{report("2023-01-11", "2", "1", "2"), report("2023-02-11", "1", "2", "2")}, "FonteSegnalazione", "2"},
		"else the earliest report":                       {[]string{report("2023-02-11", "2", "1", "2"), report("2023-01-11", "2", "2", "2")}, "FonteSegnalazione", "2"},
		"an authority's among others":                    {[]string{report("2023-01-11", "1", "1", "1"), report("2023-02-11", "2", "2", "2")}, "SegnalazioneAutoritaGiudiziaria", "1"},
		"no authority's":                                 {[]string{report("2023-01-11", "1", "1", "2")}, "SegnalazioneAutoritaGiudiziaria", "2"},
		"the order that has not ceased":                  {[]string{order("P", "APERTURA", "2023-01-01", "4", ""), order("Q", "APERTURA", "2023-02-01", "5", ""), order("Q", "CHIUSURA", "2023-02-01", "5", "2023-03-01")}, "TipoProvvedimentoGiudiziario", "4"},
		"an order that ceases after the reference date":  {[]string{order("Q", "APERTURA", "2023-02-01", "5", ""), order("Q", "CHIUSURA", "2023-02-01", "5", "2024-03-01")}, "ProvvedimentoGiudiziario", "1"},
		"every order ceased":                             {[]string{order("Q", "CHIUSURA", "2023-02-01", "5", "2023-03-01")}, "ProvvedimentoGiudiziario", "2"},
		"what a change leaves out stays":                 {[]string{order("P", "APERTURA", "2023-01-01", "4", ""), order("P", "MODIFICA", "2023-01-01", "", "")}, "TipoProvvedimentoGiudiziario", "4"},
		"an open care before a later one that has ended": {[]string{care("A", "APERTURA", "2023-01-01", "", "1"), care("B", "CHIUSURA", "2023-02-01", "2023-03-01", "2")}, "TipoInterventoAffido", "1"},
		"of ended cares the last":                        {[]string{care("A", "CHIUSURA", "2023-01-01", "2023-01-05", "1"), care("B", "CHIUSURA", "2023-02-01", "2023-03-01", "2")}, "TipoInterventoAffido", "2"},
		"no outcome of a care that was still open":       {[]string{care("A", "APERTURA", "2023-01-01", "", "1"), care("A", "CHIUSURA", "2023-01-01", "2024-01-05", "1")}, "EsitoAffido", ""},
		"nor if only its end is known":                   {[]string{care("A", "CHIUSURA", "2023-01-01", "2024-01-05", "1")}, "EsitoAffido", ""},
		"nor of one whose end was told before":           {[]string{care("A", "APERTURA", "2023-01-01", "2024-01-05", "1")}, "EsitoAffido", ""},
		"an open care that began before an ended one":    {[]string{care("B", "CHIUSURA", "2023-02-01", "2023-03-01", "2"), care("A", "APERTURA", "2023-01-01", "", "1")}, "TipoInterventoAffido", "1"},
		"a change of what has ceased opens nothing":      {[]string{order("Q", "CHIUSURA", "2023-02-01", "5", "2023-03-01"), order("Q", "MODIFICA", "2023-02-01", "5", "")}, "ProvvedimentoGiudiziario", "2"},
		"the latest report of an authority":              {[]string{report("2023-05-11", "1", "1", "1"), report("2023-02-11", "2", "2", "1")}, "DataSegnalazione", "05/2023"},
		"closed":                                         {[]string{closing("2023-03-01")}, "MotivazioneChiusuraCarico", "4"},
		"reopened":                                       {[]string{closing("2023-03-01"), reopening("2023-03-01")}, "MotivazioneChiusuraCarico", ""},
		"reopened after the reference date":              {[]string{closing("2023-03-01"), reopening("2024-03-01")}, "MotivazioneChiusuraCarico", "4"},
		"closed again":                                   {[]string{closing("2023-03-01"), reopening("2023-04-01"), closing("2023-05-01")}, "MotivazioneChiusuraCarico", "4"},
		"no detail of a disability that is none":         {replaceIn([]string{assessment("2023-06-01", "1", "2")}, "<Disabilita>1", "<Disabilita>2"), "TipoDisabilita", ""},
		"a birth date corrected later counts":            {[]string{charge("2023-03-01"), storedWith("VARIAZIONE_ANAGRAFICA", "2024-02-01", person("2011-05", "21"), `<VariazioneAnagrafica><DataVariazione>2024-02-01</DataVariazione></VariazioneAnagrafica>`)}, "AnnoNascita", "2011"},
		"a later residence does not":                     {[]string{charge("2023-03-01"), storedWith("VARIAZIONE_ANAGRAFICA", "2024-02-01", person("2011-05", "21"), `<VariazioneAnagrafica><DataVariazione>2024-02-01</DataVariazione></VariazioneAnagrafica>`)}, "CodiceRegioneResidenza", "17"},
		"a child born after the reference date":          {[]string{replaceIn([]string{charge("2023-03-01")}, "2012-05", "2024-01")[0]}, "FasciaEtaBeneficiario", ""},
	} {
		r, _ := project(t, tt.events)
		if got, _ := r.Value(tt.attribute); got != tt.want {
			t.Errorf("%s: %s is %q, want %q", name, tt.attribute, got, tt.want)
		}
	}
}

func TestRecordStandsWhereItsCaseStood(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]sinba.Standing{
		"2023-01-09": sinba.RecordBeforeOpening, "2023-01-10": sinba.RecordDue, "2024-09-30": sinba.RecordDue, "2024-10-01": sinba.RecordPast,
	} {
		live := make([][]byte, 0, 10)
		for _, e := range wholeCase() {
			live = append(live, []byte(e))
		}
		if r, _ := record(t, live, day); r.Standing() != want {
			t.Errorf("%s: %d, want %d", day, r.Standing(), want)
		}
	}
}

// Where the table says "last by business date", the order in which events with different dates come
// means nothing.
func TestRecordDependsOnDatesAndNotOnTheOrderOfEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfNDistinct(rapid.IntRange(0, 364), 4, 24, rapid.ID[int]).Draw(t, "days")
		events := []string{charge("2023-01-15")}
		for i, n := range days {
			day := on("2023-01-01").AddDate(0, 0, n).Format("2006-01-02")
			value := strconv.Itoa(n%8 + 1)
			switch i % 4 {
			case 0:
				events = append(events, assessment(day, value, value))
			case 1:
				events = append(events, household(day, strconv.Itoa(n%6+1)))
			case 2:
				events = append(events, report(day, strconv.Itoa(n%2+1), value, strconv.Itoa(n/2%2+1)))
			case 3:
				events = append(events, order(fmt.Sprint("P", i), "APERTURA", day, value, ""), care(fmt.Sprint("A", i), "APERTURA", day, "", strconv.Itoa(n%2+1)),
					placement(fmt.Sprint("I", i), "APERTURA", day, ""), service(fmt.Sprint("X", i), "APERTURA", day, "", "A"+strconv.Itoa(n%9)+".20"))
			}
		}
		want, wantMissing := project(t, events)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		got, missing := project(t, events)
		if string(want.AppendXML(nil)) != string(got.AppendXML(nil)) || !slices.Equal(wantMissing, missing) {
			t.Fatalf("another order, another record:\n%s\n%s", want.AppendXML(nil), got.AppendXML(nil))
		}
	})
}

func TestRecordNeedsADayAndACode(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, q := range []sinba.RecordQuery{{Beneficiary: "A"}, {Reference: on("2023-12-31")}, {Beneficiary: strings.Repeat("A", 21), Reference: on("2023-12-31")}} {
		if _, _, err := c.Record(nil, q); err == nil {
			t.Errorf("a record without %+v", q)
		}
	}
	if _, _, err := c.Record([][]byte{[]byte("<x/>")}, sinba.RecordQuery{Beneficiary: "A", Reference: on("2023-12-31")}); err == nil {
		t.Error("a record of what is no regional event")
	}
}

func TestRecordPrintsAsAPlaceholder(t *testing.T) {
	t.Parallel()
	r, _ := project(t, wholeCase())
	if text := fmt.Sprintf("%v %+v %#v", r, &r, []sinba.Record{r}); strings.Contains(text, "CODICENAZIONALE") || strings.Contains(text, "A1.20") {
		t.Error(text)
	}
}

package sinba_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// dated gives the tests' catalogue with further lists.
func dated(tb testing.TB, lists codelist.Files) *sinba.Catalogue {
	tb.Helper()
	set, err := codelist.Parse(codelist.Builtin().With(lists))
	if err != nil {
		tb.Fatal(err)
	}
	ref := reference()
	ref.Use(set)
	c, err := load(tb).WithReference(ref)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// judgedBy gives what the rules of reference data say by a catalogue.
func judgedBy(tb testing.TB, c *sinba.Catalogue, doc string) []string {
	tb.Helper()
	ev, err := c.Read([]byte(doc))
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, v := range c.Judge(ev, sinba.RuleContext{Now: received}) {
		if v.Code != "SINBA_316" && v.Code != "SINBA_319" && !strings.HasPrefix(string(v.Code), "SINBA_36") {
			continue
		}
		all = append(all, fmt.Sprintf("%s %s %s %s", v.Code, v.Severity, v.Rule, strings.TrimPrefix(v.Path, "/InviaEventoRichiesta")))
	}
	return all
}

// judgeDated checks a table of messages against the tests' own catalogue.
func judgeDated(t *testing.T, cases map[string]ruleCase) {
	t.Helper()
	for name, c := range cases {
		if diff := cmp.Diff(c.want, judgedBy(t, load(t), c.doc)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestMunicipalitiesNotInUseAreWarnedOf(t *testing.T) {
	t.Parallel()
	const birth, home = "SINBA_360 LIEVE  /Soggetto/Anagrafica/LuogoNascita", "SINBA_360 LIEVE  /Soggetto/Anagrafica/Residenza/CodiceComune"
	// Born on 2010-04-23, date presumed, LuogoNascita D612; the event is of 2024-08-12.
	doc := change(t, sample(t, "inserimento-struttura"), "<CodiceFiscale>NCLRRA10D63D612R</CodiceFiscale>", "<CodiceSTP>STP0907890123456</CodiceSTP>")
	exact := set(t, doc, "DataNascitaPresunta", "")
	judgeDated(t, map[string]ruleCase{
		"as it was":                        {doc, nil},
		"birth where it then was":          {set(t, exact, "LuogoNascita", "D583"), nil}, // Figline Valdarno until 2013
		"born on the last day":             {set(t, set(t, exact, "LuogoNascita", "D583"), "DataNascita", "2013-12-31"), nil},
		"born on the day after":            {set(t, set(t, exact, "LuogoNascita", "D583"), "DataNascita", "2014-01-01"), []string{birth}},
		"presumed in the last year":        {set(t, set(t, doc, "LuogoNascita", "D583"), "DataNascita", "2013-01-01"), nil},
		"presumed in the year after":       {set(t, set(t, doc, "LuogoNascita", "D583"), "DataNascita", "2014-01-01"), []string{birth}},
		"born before it was":               {set(t, exact, "LuogoNascita", "M321"), []string{birth}},                        // Figline e Incisa from 2014
		"presumed in the first year":       {set(t, set(t, doc, "LuogoNascita", "M420"), "DataNascita", "2019-01-01"), nil}, // from 2019-02-01
		"exactly before the first day":     {set(t, set(t, exact, "LuogoNascita", "M420"), "DataNascita", "2019-01-01"), []string{birth}},
		"its first day is the year's last": {set(t, set(t, doc, "LuogoNascita", "C367"), "DataNascita", "1927-01-01"), nil},
		"birth in no municipality":         {set(t, doc, "LuogoNascita", "M999"), []string{birth}},
		"no birth date":                    {set(t, set(t, doc, "LuogoNascita", "D583"), "DataNascita", ""), nil},
		"a state of birth":                 {set(t, doc, "LuogoNascita", "Z330"), nil},
		"residence that ceased":            {set(t, doc, "CodiceComune", "048016"), []string{home}},
		"residence never known":            {set(t, doc, "CodiceComune", "048999"), []string{home}},
		"ISTAT's number and region":        {set(t, doc, "CodiceComune", "999999"), []string{home}},
		"residence before it was":          {set(t, set(t, doc, "CodiceComune", "048052"), "DataOraEvento", "2013-12-31T22:59:59Z"), []string{home}},
		"Italy's day, not Greenwich's":     {set(t, set(t, doc, "CodiceComune", "048052"), "DataOraEvento", "2013-12-31T23:00:00Z"), nil},
	})
}

func TestStatesNotInUseAreWarnedOf(t *testing.T) {
	t.Parallel()
	const at = "SINBA_361 LIEVE  /Soggetto/Anagrafica/"
	doc := change(t, sample(t, "inserimento-struttura"), "<CodiceFiscale>NCLRRA10D63D612R</CodiceFiscale>", "<CodiceSTP>STP0907890123456</CodiceSTP>")
	judgeDated(t, map[string]ruleCase{
		"Kosovo":           {set(t, doc, "CodiceCittadinanza", "997"), nil},
		"not known":        {set(t, doc, "CodiceCittadinanza", "998"), nil},
		"stateless":        {set(t, doc, "CodiceCittadinanza", "999"), nil},
		"no number":        {set(t, doc, "CodiceCittadinanza", "000"), []string{at + "CodiceCittadinanza"}},
		"ISTAT's number":   {set(t, doc, "CodiceCittadinanza", "201"), []string{at + "CodiceCittadinanza"}},
		"residence":        {set(t, doc, "CodiceNazione", "111"), []string{at + "Residenza/CodiceNazione"}},
		"born in Morocco":  {set(t, doc, "LuogoNascita", "Z330"), nil},
		"born in no state": {set(t, doc, "LuogoNascita", "Z999"), []string{at + "LuogoNascita"}},
		"born in Serbia e Montenegro while it was": {set(t, set(t, doc, "LuogoNascita", "Z157"), "DataNascita", "2006-01-01"), nil},
		"and after": {set(t, set(t, doc, "LuogoNascita", "Z157"), "DataNascita", "2007-01-01"), []string{at + "LuogoNascita"}},
	})
}

func TestServicesOfAListAreWarnedOfOnlyIfTheListIsThere(t *testing.T) {
	t.Parallel()
	const service, item = "SINBA_362 LIEVE  /Dettaglio/Intervento/CodicePrestazione", "SINBA_362 LIEVE  /Dettaglio/Intervento/VoceNomenclatore"
	const begin = "2024-05-06"
	doc := set(t, set(t, sample(t, "intervento"), "VoceNomenclatore", "V.1"), "DataInizioPrestazione", begin)
	doc = set(t, doc, "DataFinePrestazione", "2024-05-07")
	services := func(rows string) codelist.Files {
		return codelist.Files{codelist.Services: []byte("codice\tda\ta\tnome\n" + rows)}
	}
	items := codelist.Files{codelist.Nomenclature: []byte("codice\tda\ta\tnome\nV.2\t\t\tVoce\n")}
	for name, c := range map[string]struct {
		lists codelist.Files
		want  []string
	}{
		"no list":               {nil, nil},
		"listed":                {services("A1.20\t\t\tAssistenza\n"), nil},
		"not listed":            {services("B1.20\t\t\tAssistenza\n"), []string{service}},
		"begun on the last day": {services("A1.20\t\t" + begin + "\tAssistenza\n"), nil},
		"begun after it":        {services("A1.20\t\t2024-05-05\tAssistenza\n"), []string{service}},
		"begun before it":       {services("A1.20\t2024-05-07\t\tAssistenza\n"), []string{service}},
		"another item":          {items, []string{item}},
		"both":                  {services("B1.20\t\t\tAssistenza\n").With(items), []string{service, item}},
	} {
		if diff := cmp.Diff(c.want, judgedBy(t, dated(t, c.lists), doc)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	// A code whose days are over is still kept: it is in the list, not altro.
	c := dated(t, services("A1.20\t\t2020-12-31\tAssistenza\n"))
	ev, err := c.Read([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if regional := c.Regional(ev, regionalCodes()); !bytes.Contains(regional, []byte("<CodicePrestazione>A1.20</CodicePrestazione>")) {
		t.Errorf("%s", regional)
	}
}

func TestBR16StructuresAreHeldAgainstTheirRegister(t *testing.T) {
	t.Parallel()
	const at = "/Dettaglio/InserimentoStruttura/CodiceStrutturaASSO"
	// In on 2024-08-12, out on the same day.
	doc := change(t, sample(t, "inserimento-struttura"), "<CodiceRegioneStruttura>09</CodiceRegioneStruttura>", "<CodiceStrutturaASSO>ASSO-1</CodiceStrutturaASSO>")
	stay := set(t, doc, "DataDimissione", "2024-09-01")
	open := change(t, set(t, set(t, doc, "DataDimissione", ""), "EsitoInserimentoStruttura", ""), "<Fase>CHIUSURA</Fase>", "<Fase>APERTURA</Fase>")
	register := func(rows string) codelist.Files {
		return codelist.Files{codelist.Structures: []byte("codice\tda\ta\tnome\n" + rows)}
	}
	for name, c := range map[string]struct {
		lists codelist.Files
		doc   string
		want  []string
	}{
		"no register":             {nil, doc, nil},
		"active":                  {register("ASSO-1\t\t\tCasa\n"), doc, nil},
		"unknown":                 {register("ASSO-2\t\t\tCasa\n"), doc, []string{"SINBA_316 GRAVE BR-16 " + at}},
		"ceased before":           {register("ASSO-1\t\t2024-08-11\tCasa\n"), doc, []string{"SINBA_316 LIEVE BR-16 " + at}},
		"ceased on the last day":  {register("ASSO-1\t\t2024-08-12\tCasa\n"), doc, nil},
		"begun after":             {register("ASSO-1\t2024-08-13\t\tCasa\n"), open, []string{"SINBA_316 LIEVE BR-16 " + at}},
		"ceased during the stay":  {register("ASSO-1\t\t2024-08-31\tCasa\n"), stay, []string{"SINBA_316 LIEVE BR-16 " + at}},
		"ceased, still there":     {register("ASSO-1\t\t2024-08-31\tCasa\n"), open, nil},
		"closed and opened again": {register("ASSO-1\t\t2024-08-20\tCasa\nASSO-1\t2024-08-25\t\tCasa\n"), stay, nil},
	} {
		if diff := cmp.Diff(c.want, judgedBy(t, dated(t, c.lists), c.doc)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestBR16LooksAtEachPlacementAlone has two in one message: the dates of the second are not the
// first one's.
func TestBR16LooksAtEachPlacementAlone(t *testing.T) {
	t.Parallel()
	doc := sample(t, "caricamento-iniziale")
	const open, end = "<InserimentoStruttura>", "</InserimentoStruttura>"
	before, rest, _ := strings.Cut(doc, open)
	body, after, found := strings.Cut(rest, end)
	if !found || strings.Contains(after, open) {
		t.Fatal("not one placement in the sample")
	}
	body = change(t, body, "<CodiceRegioneStruttura>09</CodiceRegioneStruttura>", "<CodiceStrutturaASSO>ASSO-1</CodiceStrutturaASSO>")
	first := set(t, set(t, body, "DataIngresso", "2024-05-01"), "DataDimissione", "")
	second := set(t, set(t, body, "DataIngresso", "2024-07-01"), "DataDimissione", "2024-08-01")
	c := dated(t, codelist.Files{codelist.Structures: []byte("codice\tda\ta\tnome\nASSO-1\t\t2024-06-30\tCasa\n")})
	got := judgedBy(t, c, before+open+first+end+open+second+end+after)
	want := []string{"SINBA_316 LIEVE BR-16 /Dettaglio/Fotografia/InserimentoStruttura[2]/CodiceStrutturaASSO"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBR19RegionsThatLookLikeISTATs(t *testing.T) {
	t.Parallel()
	family := sample(t, "nucleo-familiare")
	const father = "/Dettaglio/NucleoFamiliare/Padre/CodiceRegioneResidenza"
	before, rest, found := strings.Cut(family, "<Padre>")
	_, after, closed := strings.Cut(rest, "</Padre>")
	if !found || !closed {
		t.Fatal("the sample has no father")
	}
	parent := func(region string) string {
		return before + "<Padre><CodiceRegioneResidenza>" + region + "</CodiceRegioneResidenza></Padre>" + after
	}
	placed := sample(t, "inserimento-struttura")
	judgeDated(t, map[string]ruleCase{
		"a father in Toscana":               {set(t, parent("17"), "CodiceComune", "048017"), nil},
		"a father in Liguria":               {set(t, parent("09"), "CodiceComune", "048017"), []string{"SINBA_319 LIEVE BR-19 " + father}},
		"the child in Liguria too":          {set(t, parent("09"), "CodiceComune", "010025"), nil},
		"the child in a new municipality":   {set(t, parent("09"), "CodiceComune", "048052"), []string{"SINBA_319 LIEVE BR-19 " + father}},
		"a structure in Liguria":            {placed, nil},
		"a structure in Toscana, by region": {set(t, placed, "CodiceRegioneStruttura", "17"), []string{"SINBA_319 LIEVE BR-19 /Dettaglio/InserimentoStruttura/CodiceRegioneStruttura"}},
	})
}

// TestRegionOfAnEventIsThatOfTheProvince makes sure that the list changes nothing of what was stored
// before it: for every code that was in use since 2012 it says what the province says.
func TestRegionOfAnEventIsThatOfTheProvince(t *testing.T) {
	t.Parallel()
	asked := 0
	for _, line := range strings.Split(string(codelist.Builtin()[codelist.Municipalities]), "\n")[1:] {
		f := strings.Split(line, "\t")
		if len(f) < 7 || f[3] != "" && f[3] < "2012" {
			continue
		}
		asked++
		if region, ok := sinba.RegionOfMunicipality(f[0]); !ok || region != f[5] {
			t.Error(f[0], region, f[5])
		}
	}
	if asked < 8_000 {
		t.Error("asked only", asked)
	}
	// And so in the event, for the 273 of before, today's and ceased ones.
	doc := sample(t, "inserimento-struttura")
	text, err := os.ReadFile(filepath.Join("..", "codelist", "testdata", "comuni_toscana.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		code, _, _ := strings.Cut(line, ",")
		regional := load(t).Regional(read(t, set(t, doc, "CodiceComune", code)), regionalCodes())
		if !bytes.Contains(regional, []byte("<CodiceComune>17</CodiceComune>")) {
			t.Error(code)
		}
	}
}

func TestMunicipalityOfANewProvinceHasItsRegionFromTheList(t *testing.T) {
	t.Parallel()
	rows := bytes.Clone(codelist.Builtin()[codelist.Municipalities])
	rows = append(rows, "150001\tM900\t2024-01-01\t\tXX\t17\tNUOVO COMUNE\n"...)
	newer := dated(t, codelist.Files{codelist.Municipalities: rows})
	doc := set(t, sample(t, "inserimento-struttura"), "CodiceComune", "150001")
	for name, c := range map[string]struct {
		catalogue *sinba.Catalogue
		region    bool
		verdict   []string
	}{
		"inside the binary": {load(t), false, []string{"SINBA_360 LIEVE  /Soggetto/Anagrafica/Residenza/CodiceComune"}},
		"newer":             {newer, true, nil},
	} {
		ev, err := c.catalogue.Read([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		regional := c.catalogue.Regional(ev, regionalCodes())
		if bytes.Contains(regional, []byte("<CodiceComune>17</CodiceComune>")) != c.region {
			t.Errorf("%s: %s", name, regional)
		}
		if diff := cmp.Diff(c.verdict, judgedBy(t, c.catalogue, doc)); diff != "" {
			t.Error(name, diff)
		}
	}
	if newer.ReferenceVersion() == load(t).ReferenceVersion() || load(t).ReferenceVersion() != codelist.Default().Version() {
		t.Error("versions")
	}
}

func TestWithoutListsNothingIsWarnedOf(t *testing.T) {
	t.Parallel()
	ref := reference()
	ref.Data = nil
	c, err := load(t).WithReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	doc := set(t, sample(t, "inserimento-struttura"), "CodiceComune", "999999")
	if got := judgedBy(t, c, doc); got != nil || c.ReferenceVersion() != "" {
		t.Error(got, c.ReferenceVersion())
	}
}

// TestReferenceMayBeSwappedWhileEventsAreJudged is for the race detector: each verdict is that of one
// of the two catalogues, never of a mixture.
func TestReferenceMayBeSwappedWhileEventsAreJudged(t *testing.T) {
	t.Parallel()
	doc := change(t, sample(t, "inserimento-struttura"), "<CodiceRegioneStruttura>09</CodiceRegioneStruttura>", "<CodiceStrutturaASSO>ASSO-1</CodiceStrutturaASSO>")
	without := dated(t, nil)
	with := dated(t, codelist.Files{codelist.Structures: []byte("codice\tda\ta\tnome\nASSO-2\t\t\tCasa\n")})
	want := map[string][]string{
		without.ReferenceVersion(): judgedBy(t, without, doc),
		with.ReferenceVersion():    judgedBy(t, with, doc),
	}
	var inForce atomic.Pointer[sinba.Catalogue]
	inForce.Store(without)
	stop := make(chan struct{})
	var judges sync.WaitGroup
	for range 4 {
		judges.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c := inForce.Load()
				if got := judgedBy(t, c, doc); !slices.Equal(got, want[c.ReferenceVersion()]) {
					t.Error(c.ReferenceVersion(), got)
					return
				}
			}
		})
	}
	for i := range 400 {
		inForce.Store([]*sinba.Catalogue{without, with}[i%2])
	}
	close(stop)
	judges.Wait()
}

package sinba_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// verdict writes violations as "code severity rule path" lines.
func verdict(tb testing.TB, doc string, now time.Time) []string {
	tb.Helper()
	var all []string
	for _, v := range load(tb).Judge(read(tb, doc), sinba.RuleContext{Now: now}) {
		if v.Line != 0 {
			tb.Error("a rule knows no line", v.Line)
		}
		path, ok := strings.CutPrefix(v.Path, "/InviaEventoRichiesta")
		if !ok {
			tb.Error("path", v.Path)
		}
		all = append(all, fmt.Sprintf("%s %s %s %s", v.Code, v.Severity, v.Rule, path))
	}
	return all
}

// ruleCase is a message and what the rules say of it.
type ruleCase struct {
	doc  string
	want []string
}

// judgeAll checks a table of messages.
func judgeAll(t *testing.T, cases map[string]ruleCase) {
	t.Helper()
	for name, c := range cases {
		if diff := cmp.Diff(c.want, verdict(t, c.doc, received)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestRulesAcceptEverySample(t *testing.T) {
	t.Parallel()
	// The contract's unaccompanied minor lives with both parents.
	const family = "SINBA_309 LIEVE BR-09 /Dettaglio/PresaInCarico/NucleoFamiliare/ComposizioneFamiglia"
	warned := map[string][]string{"msna": {family, family + "[2]"}}
	for name, doc := range samples(t) {
		if diff := cmp.Diff(warned[name], verdict(t, string(doc), received)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// operated gives a message another TipoOperazione, with the reference that it needs.
func operated(tb testing.TB, doc, operation string) string {
	tb.Helper()
	if strings.Contains(doc, "<IdEventoRiferito>") {
		doc = set(tb, doc, "IdEventoRiferito", "")
	}
	reference := ""
	if operation != "I" {
		reference = "<IdEventoRiferito>77ad0d17-ab8e-44f2-9cc8-19bbb9d4f8d4</IdEventoRiferito>"
	}
	return change(tb, set(tb, doc, "TipoOperazione", operation), "</TipoOperazione>", "</TipoOperazione>"+reference)
}

func TestRulesTableIsInOrderAndHasItsCodes(t *testing.T) {
	t.Parallel()
	texts := map[hub.Code]bool{}
	for _, text := range hub.Codes() {
		texts[text.Code] = true
	}
	last := -1
	for _, r := range sinba.Rules() {
		// A number may have a second row, of a later version; checks without a number are many.
		if at := r.Number*100 + r.Since; at <= last && r.Number != 0 {
			t.Error("order", r.Number)
		} else {
			last = at
		}
		if r.Number > 0 && r.Code != hub.Code(fmt.Sprintf("SINBA_3%02d", r.Number)) {
			t.Error(r.Number, r.Code)
		}
		if r.Number > 0 && r.Name() != fmt.Sprintf("BR-%02d", r.Number) {
			t.Error(r.Name())
		}
		if !texts[r.Code] {
			t.Error("no text for", r.Code)
		}
		if r.Severity < hub.Lieve || r.Looks == "" || r.Source == "" || r.Since < 1 || r.Since > sinba.RulesVersion || r.Judged == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestNilIdentifiersAreRefused(t *testing.T) {
	t.Parallel()
	const zero = "00000000-0000-0000-0000-000000000000"
	doc := sample(t, "annullamento")
	judgeAll(t, map[string]ruleCase{
		"message": {set(t, doc, "IdMessaggio", zero), []string{"SINBA_103 GRAVE  /Testata/IdMessaggio"}},
		"event":   {set(t, doc, "IdEvento", zero), []string{"SINBA_103 GRAVE  /Testata/IdEvento"}},
		"refers":  {set(t, doc, "IdEventoRiferito", zero), []string{"SINBA_103 GRAVE  /Testata/IdEventoRiferito"}},
		"nearly":  {set(t, doc, "IdEvento", strings.Replace(zero, "0", "1", 1)), nil},
	})
}

func TestBR01BodyMatchesTypeAndOperation(t *testing.T) {
	t.Parallel()
	bodyOf := map[string]string{}
	for name, doc := range samples(t) {
		ev := read(t, string(doc))
		if ev.Operation() != sinba.Annullamento {
			bodyOf[string(ev.Type())] = name
		}
	}
	for _, typ := range sinba.EventTypes() {
		name, ok := bodyOf[string(typ)]
		if !ok {
			t.Fatal("no sample of", typ)
		}
		doc := sample(t, name)
		from := strings.Index(doc, "<Dettaglio><") + len("<Dettaglio><")
		body := doc[from : from+strings.Index(doc[from:], ">")]
		for _, other := range sinba.EventTypes() {
			for _, operation := range []string{"I", "R", "A"} {
				changed := operated(t, set(t, doc, "TipoEvento", string(other)), operation)
				var want []string
				if operation == "A" || other != typ {
					want = []string{"SINBA_301 GRAVE BR-01 /Dettaglio/" + body}
				}
				got := slices.DeleteFunc(verdict(t, changed, received), func(s string) bool { return !strings.HasPrefix(s, "SINBA_301") })
				if diff := cmp.Diff(want, slices.Clip(got), cmpEmpty); diff != "" {
					t.Errorf("%s as %s %s: %s", name, other, operation, diff)
				}
			}
		}
	}
	annulment := sample(t, "annullamento")
	for _, typ := range sinba.EventTypes() {
		judgeAll(t, map[string]ruleCase{
			"annulment of " + string(typ): {set(t, annulment, "TipoEvento", string(typ)), nil},
			"insertion of " + string(typ): {
				set(t, operated(t, set(t, annulment, "TipoEvento", string(typ)), "I"), "Cognome", "Rossi"),
				[]string{"SINBA_301 GRAVE BR-01 /Dettaglio/Annullamento"},
			},
		})
	}
}

// cmpEmpty takes an empty list for none.
var cmpEmpty = cmp.Transformer("empty", func(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
})

func TestBR03CodiceFiscale(t *testing.T) {
	t.Parallel()
	doc := set(t, sample(t, "presa-in-carico"), "DataNascitaPresunta", "")
	cf := func(code string) string { return set(t, doc, "CodiceFiscale", code) }
	// NCLRRA10D63D612R says: female, 23-04-2010, Firenze; so does Anagrafica.
	presumed := func(birth string) string {
		return set(t, set(t, sample(t, "presa-in-carico"), "DataNascitaPresunta", "1"), "DataNascita", birth)
	}
	const (
		path  = "/Soggetto/Identificativo/CodiceFiscale"
		sex   = "SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/Sesso"
		birth = "SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/DataNascita"
		place = "SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/LuogoNascita"

		tooOld = "SINBA_305 GRAVE BR-05 /Dettaglio/PresaInCarico/DataPresaInCarico"
	)
	change1 := sample(t, "variazione-anagrafica")
	previous := func(name, code string) string {
		return change(t, change1, "<CodiceSTP>STP0901010000123</CodiceSTP>", "<"+name+">"+code+"</"+name+">")
	}
	judgeAll(t, map[string]ruleCase{
		"right":                  {doc, nil},
		"check character":        {cf("NCLRRA10D63D612S"), []string{"SINBA_303 GRAVE BR-03 " + path}},
		"no such day":            {cf("NCLRRA10D71D612R"), []string{"SINBA_303 GRAVE BR-03 " + path}},
		"omocode of the same":    {cf(omocode("NCLRRA10D63D612R")), nil},
		"omocode wrong check":    {cf("NCLRRA10D63D6MNA"), []string{"SINBA_303 GRAVE BR-03 " + path}},
		"other sex":              {set(t, doc, "Sesso", "M"), []string{sex}},
		"other day":              {set(t, doc, "DataNascita", "2010-04-22"), []string{birth}},
		"other year":             {set(t, doc, "DataNascita", "2011-04-23"), []string{birth}},
		"other century":          {set(t, doc, "DataNascita", "1910-04-23"), []string{tooOld}},
		"with a zone":            {set(t, doc, "DataNascita", "2010-04-23+14:00"), nil},
		"other place":            {set(t, doc, "LuogoNascita", "Z330"), []string{place}},
		"no place":               {set(t, doc, "LuogoNascita", ""), nil},
		"all three":              {set(t, set(t, set(t, doc, "Sesso", "M"), "DataNascita", "2010-04-22"), "LuogoNascita", "G702"), []string{sex, birth, place}},
		"no Anagrafica":          {without(t, sample(t, "intervento"), "Anagrafica"), nil},
		"presumed, same day":     {presumed("2010-04-23"), nil},
		"presumed, 1 January":    {presumed("2010-01-01"), nil},
		"presumed, year before":  {presumed("2009-01-01"), []string{birth}},
		"presumed, another day":  {presumed("2010-05-01"), []string{birth}},
		"known, 1 January":       {set(t, doc, "DataNascita", "2010-01-01"), []string{birth}},
		"previous right":         {previous("CodiceFiscale", "BNCLCU12C15D612V"), nil},
		"previous wrong":         {previous("CodiceFiscale", "BNCLCU12C15D612W"), []string{"SINBA_303 GRAVE BR-03 /Dettaglio/VariazioneAnagrafica/IdentificativoPrecedente/CodiceFiscale"}},
		"previous never coheres": {set(t, previous("CodiceFiscale", "BNCLCU12C15D612V"), "LuogoNascita", "D612"), nil},
	})
}

// omocode replaces the last digit of a codice fiscale by its letter and sets the check character.
func omocode(code string) string {
	const odd = "BAFHJNPRTVCESULDGIMOQKWZYX"
	b := []byte(code)
	b[14] = "LMNPQRSTUV"[b[14]-'0']
	sum := 0
	for i, c := range b[:15] {
		rank := int(c - 'A')
		if c <= '9' {
			rank = int(c - '0')
		}
		if i%2 == 0 {
			rank = int(odd[rank] - 'A')
		}
		sum += rank
	}
	b[15] = 'A' + byte(sum%26)
	return string(b)
}

// without cuts an element with all it holds.
func without(tb testing.TB, doc, name string) string {
	tb.Helper()
	from, to := strings.Index(doc, "<"+name+">"), strings.Index(doc, "</"+name+">")
	if from < 0 || to < 0 {
		tb.Fatal("no", name)
	}
	return doc[:from] + doc[to+len("</"+name+">"):]
}

func TestBR04OtherCodes(t *testing.T) {
	t.Parallel()
	doc := sample(t, "segnalazione")
	id := func(name, code string) string {
		return change(t, doc, "<CodiceFiscale>NCLRRA10D63D612R</CodiceFiscale>", "<"+name+">"+code+"</"+name+">")
	}
	previous := func(name, code string) string {
		return change(t, sample(t, "variazione-anagrafica"), "<CodiceSTP>STP0901010000123</CodiceSTP>", "<"+name+">"+code+"</"+name+">")
	}
	refused := func(name string) []string { return []string{"SINBA_304 GRAVE BR-04 /Soggetto/Identificativo/" + name} }
	refusedBefore := func(name string) []string {
		return []string{"SINBA_304 GRAVE BR-04 /Dettaglio/VariazioneAnagrafica/IdentificativoPrecedente/" + name}
	}
	judgeAll(t, map[string]ruleCase{
		"STP":                   {id("CodiceSTP", "STP0901010000123"), nil},
		"STP unknown region":    {id("CodiceSTP", "STP9991010000123"), refused("CodiceSTP")},
		"STP region 21":         {id("CodiceSTP", "STP2101010000123"), refused("CodiceSTP")},
		"ENI":                   {id("CodiceENI", "ENI0900010000123"), nil},
		"ENI unknown region":    {id("CodiceENI", "ENI0001010000123"), refused("CodiceENI")},
		"provisional":           {id("CodiceFiscaleProvvisorio", "80012345676"), nil},
		"provisional wrong":     {id("CodiceFiscaleProvvisorio", "80012345677"), refused("CodiceFiscaleProvvisorio")},
		"not identified":        {id("NonIdentificato", "ALIAS"), nil},
		"previous STP wrong":    {previous("CodiceSTP", "STP9991010000123"), refusedBefore("CodiceSTP")},
		"previous ENI wrong":    {previous("CodiceENI", "ENI9991010000123"), refusedBefore("CodiceENI")},
		"previous number wrong": {previous("CodiceFiscaleProvvisorio", "80012345677"), refusedBefore("CodiceFiscaleProvvisorio")},
		"previous unknown":      {previous("NonIdentificato", "ANONIMO"), nil},
	})
}

func TestBR20CodeFieldsHoldNoCodiceFiscale(t *testing.T) {
	t.Parallel()
	// Every leaf of a free code or text that is not there to say who the child is.
	var fields []string
	for _, leaf := range load(t).Table() {
		free := leaf.Type == "CodiceLocaleType" || strings.HasPrefix(leaf.Type, "Testo")
		if free && !strings.HasPrefix(leaf.Path, "/Soggetto/Anagrafica/") {
			fields = append(fields, leaf.Path)
		}
	}
	if len(fields) < 30 {
		t.Fatal("fields", len(fields))
	}
	tested := map[string]bool{}
	for body, element := range bodyNames(t) {
		for _, field := range fields {
			if !belongs(field, element, body) {
				continue
			}
			for _, text := range []string{"RSSMRA85T10A562S", "rssmra85t10a562s", "RSSMRAURTMLARSNL"} {
				present := false
				doc, _ := maximal(t, body, 0, func(path, typ string) string {
					if path == field {
						present = true
						return text
					}
					return plain(path, typ)
				}).generate("InviaEventoRichiesta")
				if !present {
					continue
				}
				tested[field] = true
				found := 0
				for _, line := range verdict(t, doc, received) {
					if strings.HasPrefix(line, "SINBA_320 GRAVE BR-20 ") {
						found++
						if got := withoutPositions(strings.Fields(line)[3]); got != field {
							t.Errorf("%s found at %s", field, got)
						}
					}
				}
				if found == 0 {
					t.Errorf("%s may hold %s", field, text)
				}
			}
		}
	}
	for _, field := range fields {
		if !tested[field] {
			t.Error("not tested:", field)
		}
	}
	doc := sample(t, "intervento")
	refused := func(path string) []string { return []string{"SINBA_320 GRAVE BR-20 " + path} }
	judgeAll(t, map[string]ruleCase{
		"glued":             {set(t, doc, "IdCartella", "C-2024RSSMRA85T10A562S-1"), refused("/Cartella/IdCartella")},
		"broken up":         {set(t, doc, "IdIntervento", "RSS.MRA.85T10.A562S"), refused("/Dettaglio/Intervento/IdIntervento")},
		"mistyped":          {set(t, doc, "IdIntervento", "RSSMRA85T10A562A"), refused("/Dettaglio/Intervento/IdIntervento")},
		"in a text":         {set(t, doc, "Denominazione", "Ufficio di RSSMRA85T10A562S"), refused("/Mittente/Ente/Denominazione")},
		"a UUID":            {set(t, doc, "IdCartella", "abcdef96-2217-4ead-9bc4-96cb8e81973e"), nil},
		"a GUID, no dashes": {set(t, doc, "IdCartella", "abcdef9622174ead9bc496cb8e81973e"), nil},
		"15 characters":     {set(t, doc, "IdCartella", "RSSMRA85T10A562"), nil},
		"11 digits":         {set(t, doc, "IdCartella", "80012345676"), nil},
		"in the surname":    {set(t, doc, "Cognome", "RSSMRA85T10A562S"), nil},
		"all at once, in order": {
			set(t, set(t, set(t, doc, "IdCartella", "RSSMRA85T10A562S"), "CodiceEnte", "RSSMRA85T10A562S"), "IdAssistitoLocale", "RSSMRA85T10A562S"),
			[]string{
				"SINBA_320 GRAVE BR-20 /Mittente/Ente/CodiceEnte",
				"SINBA_320 GRAVE BR-20 /Soggetto/IdAssistitoLocale",
				"SINBA_320 GRAVE BR-20 /Cartella/IdCartella",
			},
		},
	})
}

func TestBR26NeededData(t *testing.T) {
	t.Parallel()
	taken, loaded, placed := sample(t, "presa-in-carico"), sample(t, "caricamento-iniziale"), sample(t, "inserimento-struttura")
	unknown := func(doc string) string {
		return change(t, doc, "<CodiceFiscale>NCLRRA10D63D612R</CodiceFiscale>", "<NonIdentificato>ANONIMO</NonIdentificato>")
	}
	const (
		none    = "SINBA_326 GRAVE BR-26 /Soggetto/Anagrafica"
		surname = "SINBA_326 GRAVE BR-26 /Soggetto/Anagrafica/Cognome"
	)
	structure := func(doc, code, region string) string {
		for _, name := range []string{"CodiceStrutturaASSO", "CodiceRegioneStruttura"} {
			if strings.Contains(doc, "<"+name+">") {
				doc = set(t, doc, name, "")
			}
		}
		text := ""
		if code != "" {
			text += "<CodiceStrutturaASSO>" + code + "</CodiceStrutturaASSO>"
		}
		if region != "" {
			text += "<CodiceRegioneStruttura>" + region + "</CodiceRegioneStruttura>"
		}
		return change(t, doc, "<DataIngresso>", text+"<DataIngresso>")
	}
	wrong := []string{"SINBA_326 GRAVE BR-26 /Dettaglio/InserimentoStruttura"}
	judgeAll(t, map[string]ruleCase{
		"taken, no Anagrafica":          {without(t, taken, "Anagrafica"), []string{none}},
		"loaded, no Anagrafica":         {without(t, loaded, "Anagrafica"), []string{none}},
		"taken, no surname":             {set(t, taken, "Cognome", ""), []string{surname}},
		"loaded, no surname":            {set(t, loaded, "Cognome", ""), []string{surname}},
		"taken, no name":                {set(t, taken, "Nome", ""), nil},
		"unknown, no Anagrafica":        {unknown(without(t, taken, "Anagrafica")), nil},
		"unknown, no surname":           {unknown(set(t, taken, "Cognome", "")), nil},
		"correction, no Anagrafica":     {operated(t, without(t, taken, "Anagrafica"), "R"), []string{none}},
		"annulment, no Anagrafica":      {set(t, without(t, sample(t, "annullamento"), "Anagrafica"), "TipoEvento", "PRESA_IN_CARICO"), nil},
		"another type, no Anagrafica":   {without(t, sample(t, "valutazione"), "Anagrafica"), nil},
		"structure":                     {structure(placed, "S1", ""), nil},
		"region":                        {structure(placed, "", "09"), nil},
		"neither":                       {structure(placed, "", ""), wrong},
		"both":                          {structure(placed, "S1", "09"), wrong},
		"in a photograph, not required": {structure(loaded, "", ""), nil},
	})
}

func TestRulesGiveEveryViolationInDocumentOrder(t *testing.T) {
	t.Parallel()
	doc := sample(t, "presa-in-carico")
	doc = set(t, doc, "IdEvento", "00000000-0000-0000-0000-000000000000")
	doc = set(t, doc, "DataOraInvio", "2025-03-01T12:05:01Z")
	doc = set(t, doc, "TipoEvento", "SEGNALAZIONE")
	doc = set(t, doc, "Denominazione", "RSSMRA85T10A562S")
	doc = set(t, doc, "CodiceFiscale", "NCLRRA10D63D612S")
	doc = set(t, doc, "DataPresaInCarico", "2024-04-07")
	want := []string{
		"SINBA_103 GRAVE  /Testata/IdEvento",
		"SINBA_306 GRAVE BR-06 /Testata/DataOraInvio",
		"SINBA_320 GRAVE BR-20 /Mittente/Ente/Denominazione",
		"SINBA_303 GRAVE BR-03 /Soggetto/Identificativo/CodiceFiscale",
		"SINBA_301 GRAVE BR-01 /Dettaglio/PresaInCarico",
		"SINBA_306 GRAVE BR-06 /Dettaglio/PresaInCarico/DataPresaInCarico",
	}
	for range 3 {
		if diff := cmp.Diff(want, verdict(t, doc, received)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestRulesNameTheRootOfTheMessage(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"InviaEventoRichiesta", "VerificaEventoRichiesta", "Evento"} {
		doc := set(t, sample(t, "presa-in-carico"), "Cognome", "")
		doc = strings.ReplaceAll(doc, "InviaEventoRichiesta", root)
		got := load(t).Judge(read(t, doc), sinba.RuleContext{Now: received})
		if len(got) != 1 || got[0].Path != "/"+root+"/Soggetto/Anagrafica/Cognome" {
			t.Error(root, got)
		}
	}
}

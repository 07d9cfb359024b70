package sinba_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBR06OrderOfDates(t *testing.T) {
	t.Parallel()
	const (
		opened  = "SINBA_306 GRAVE BR-06 /Cartella/DataApertura"
		taken   = "SINBA_306 GRAVE BR-06 /Dettaglio/PresaInCarico/DataPresaInCarico"
		closed  = "SINBA_306 GRAVE BR-06 /Dettaglio/ChiusuraCartella/DataChiusura"
		reopens = "SINBA_306 GRAVE BR-06 /Dettaglio/RiaperturaCartella/DataPresaInCarico"
		picture = "SINBA_306 GRAVE BR-06 /Dettaglio/Fotografia/PresaInCarico/DataPresaInCarico"
		birth   = "SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/DataNascita"
	)
	// Opened on 2024-04-08 everywhere; born on 2010-04-23.
	take, closing := sample(t, "presa-in-carico"), sample(t, "chiusura-cartella")
	reopening := set(t, sample(t, "riapertura-cartella"), "DataRiapertura", "2024-12-01")
	if strings.Contains(reopening, "<DataPresaInCarico>") {
		reopening = set(t, reopening, "DataPresaInCarico", "")
	}
	again := func(day string) string {
		return change(t, reopening, "</DataRiapertura>", "</DataRiapertura><DataPresaInCarico>"+day+"</DataPresaInCarico>")
	}
	known := func(born string) string {
		return set(t, set(t, take, "DataNascita", born), "DataNascitaPresunta", "2")
	}
	presumed := func(born string) string {
		return set(t, set(t, take, "DataNascita", born), "DataNascitaPresunta", "1")
	}
	judgeAll(t, map[string]ruleCase{
		"taken on the day of opening": {set(t, take, "DataPresaInCarico", "2024-04-08"), nil},
		"taken the day before":        {set(t, take, "DataPresaInCarico", "2024-04-07"), []string{taken}},
		"zones are ignored":           {set(t, take, "DataPresaInCarico", "2024-04-08+14:00"), nil},
		"zones are ignored, opening":  {set(t, set(t, take, "DataPresaInCarico", "2024-04-08"), "DataApertura", "2024-04-08-14:00"), nil},
		"born on the day of opening":  {known("2024-04-08"), []string{birth}},
		"born the day after":          {known("2024-04-09"), []string{birth, opened}},
		"presumed in the same year":   {presumed("2024-12-31"), []string{birth}},
		"presumed in the next year":   {presumed("2025-01-01"), []string{birth, opened}},
		"no limit into the past":      {set(t, set(t, set(t, take, "DataApertura", "1988-01-01"), "DataPresaInCarico", "1988-01-02"), "DataNascita", "1971-04-23"), []string{birth}},
		"closed on the day":           {set(t, closing, "DataChiusura", "2024-04-08"), nil},
		"closed the day before":       {set(t, closing, "DataChiusura", "2024-04-07"), []string{closed}},
		"taken again":                 {again("2024-12-02"), nil},
		"taken again before opening":  {again("2024-04-07"), []string{reopens}},
		"photograph":                  {set(t, sample(t, "caricamento-iniziale"), "DataPresaInCarico", "2024-04-07"), []string{picture}},
		"no Anagrafica":               {without(t, sample(t, "chiusura-cartella"), "Anagrafica"), nil},
	})
}

func TestBR06NoDateInTheFuture(t *testing.T) {
	t.Parallel()
	c := load(t)
	// received is 13:00 of 1 March 2025 in Italy.
	const today, tomorrow = "2025-03-01", "2025-03-02"
	var dates []string
	for _, leaf := range c.Table() {
		if leaf.Kind == "date" {
			dates = append(dates, leaf.Path)
		}
	}
	if len(dates) < 25 {
		t.Fatal("dates", len(dates))
	}
	tested := map[string]bool{}
	for body, element := range bodyNames(t) {
		for _, field := range dates {
			if !belongs(field, element, body) {
				continue
			}
			present := false
			document := func(day string) string {
				doc, _ := maximal(t, body, 4, func(path, typ string) string {
					if path == field {
						present = true
						return day
					}
					if path == "/Cartella/DataApertura" || path == "/Soggetto/Anagrafica/DataNascita" {
						return "2010-01-01"
					}
					return plain(path, typ)
				}).generate("InviaEventoRichiesta")
				return doc
			}
			now, later := document(today), document(tomorrow)
			if !present {
				continue
			}
			tested[field] = true
			planned := strings.HasSuffix(field, "/DataFinePrevista")
			if got := future(t, later, field); got == planned {
				t.Errorf("%s tomorrow: refused %v", field, got)
			}
			// Today's birth and opening break the order of the others, not the calendar.
			if got := future(t, now, field); got && field != "/Cartella/DataApertura" && field != "/Soggetto/Anagrafica/DataNascita" {
				t.Errorf("%s today is refused", field)
			}
		}
	}
	for _, field := range dates {
		if !tested[field] {
			t.Error("not tested:", field)
		}
	}
}

// future tells whether BR-06 refuses the first leaf at a path.
func future(tb testing.TB, doc, path string) bool {
	tb.Helper()
	return slices.ContainsFunc(verdict(tb, doc, received), func(line string) bool {
		return strings.HasPrefix(line, "SINBA_306 GRAVE BR-06 ") && withoutPositions(strings.Fields(line)[3]) == path
	})
}

func TestBR06JudgesDaysInItaly(t *testing.T) {
	t.Parallel()
	doc := set(t, sample(t, "chiusura-cartella"), "DataChiusura", "2025-07-02")
	const refused = "SINBA_306 GRAVE BR-06 /Dettaglio/ChiusuraCartella/DataChiusura"
	cases := map[string]struct {
		now  time.Time
		want bool
	}{
		"before midnight in summer": {time.Date(2025, 7, 1, 21, 59, 59, 0, time.UTC), true},
		"midnight in summer":        {time.Date(2025, 7, 1, 22, 0, 0, 0, time.UTC), false},
		"another zone":              {time.Date(2025, 7, 2, 6, 59, 0, 0, time.FixedZone("", 9*3600)), true},
	}
	for name, c := range cases {
		got := slices.Contains(verdict(t, doc, c.now), refused)
		if got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	winter := set(t, sample(t, "chiusura-cartella"), "DataChiusura", "2025-01-02")
	if !slices.Contains(verdict(t, winter, time.Date(2025, 1, 1, 22, 59, 59, 0, time.UTC)), refused) ||
		slices.Contains(verdict(t, winter, time.Date(2025, 1, 1, 23, 0, 0, 0, time.UTC)), refused) {
		t.Error("winter time")
	}
}

func TestBR06InstantsFiveMinutesAhead(t *testing.T) {
	t.Parallel()
	doc := sample(t, "segnalazione")
	for _, field := range []string{"DataOraEvento", "DataOraInvio"} {
		refused := []string{"SINBA_306 GRAVE BR-06 /Testata/" + field}
		judgeAll(t, map[string]ruleCase{
			field + " five minutes":    {set(t, doc, field, "2025-03-01T12:05:00Z"), nil},
			field + " and a bit":       {set(t, doc, field, "2025-03-01T12:05:00.000000001Z"), refused},
			field + " by its zone":     {set(t, doc, field, "2025-03-01T15:05:00+03:00"), nil},
			field + " west":            {set(t, doc, field, "2025-03-01T10:06:00-02:00"), refused},
			field + " long ago":        {set(t, doc, field, "1999-01-01T00:00:00Z"), nil},
			field + " far in a future": {set(t, doc, field, "2099-01-01T00:00:00Z"), refused},
		})
	}
}

func TestBR06PresumedBirthOfThisYear(t *testing.T) {
	t.Parallel()
	doc := without(t, sample(t, "apertura-cartella"), "Identificativo")
	doc = change(t, doc, "</IdAssistitoLocale>", "</IdAssistitoLocale><Identificativo><NonIdentificato>ALIAS</NonIdentificato></Identificativo>")
	doc = set(t, doc, "DataApertura", "2025-02-28")
	const path = "/Soggetto/Anagrafica/DataNascita"
	for _, c := range []struct {
		born, presumed string
		want           bool
	}{
		{"2025-03-02", "2", true},
		{"2025-03-02", "1", false},
		{"2026-01-01", "1", true},
		{"2025-02-28", "2", false},
	} {
		if got := future(t, set(t, set(t, doc, "DataNascita", c.born), "DataNascitaPresunta", c.presumed), path); got != c.want {
			t.Error(c, got)
		}
	}
}

package sinba_test

import "testing"

func TestBR05AgeWhenTakenInCharge(t *testing.T) {
	t.Parallel()
	// Not identified, so that no code speaks against the birth date; opened long ago.
	doc := set(t, sample(t, "msna"), "MinoreStranieroNoAcc", "2")
	doc = set(t, set(t, set(t, doc, "DataApertura", "2000-01-01"), "DataNascitaPresunta", "2"), "DataNascita", "2000-05-10")
	taken := func(day string) string { return set(t, doc, "DataPresaInCarico", day) }
	presumed := func(born, day string) string {
		return set(t, set(t, set(t, doc, "DataNascitaPresunta", "1"), "DataNascita", born), "DataPresaInCarico", day)
	}
	leap := set(t, set(t, doc, "DataNascita", "2000-02-29"), "DataApertura", "2000-03-01")
	const path = " BR-05 /Dettaglio/PresaInCarico/DataPresaInCarico"
	const opened = "SINBA_306 GRAVE BR-06 /Cartella/DataApertura"
	adult, old := []string{opened, "SINBA_305 LIEVE" + path}, []string{opened, "SINBA_305 GRAVE" + path}
	young := []string{opened}
	judgeAll(t, map[string]ruleCase{
		"the day before 18":             {taken("2018-05-09"), young},
		"the day of 18":                 {taken("2018-05-10"), adult},
		"with a zone":                   {taken("2018-05-09+14:00"), young},
		"the day before 21":             {taken("2021-05-09"), adult},
		"the day of 21":                 {taken("2021-05-10"), old},
		"born on 29 February":           {set(t, leap, "DataPresaInCarico", "2018-02-28"), nil},
		"and the day after":             {set(t, leap, "DataPresaInCarico", "2018-03-01"), adult[1:]},
		"presumed, may be 17":           {presumed("2000-01-01", "2018-12-30"), nil},
		"presumed, is 18":               {presumed("2000-01-01", "2018-12-31"), adult[1:]},
		"presumed, may be 20":           {presumed("2000-01-01", "2021-12-30"), adult[1:]},
		"presumed, is 21":               {presumed("2000-01-01", "2021-12-31"), old[1:]},
		"presumed day does not count":   {presumed("2000-01-02", "2018-06-01"), nil},
		"born later than taken":         {set(t, taken("2002-01-01"), "DataNascita", "2005-01-01"), young},
		"no Anagrafica":                 {without(t, taken("2021-05-10"), "Anagrafica"), nil},
		"another body, whatever day":    {set(t, set(t, sample(t, "chiusura-cartella"), "DataNascita", "1990-01-01"), "DataNascitaPresunta", ""), []string{"SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/DataNascita"}},
		"in a photograph":               {set(t, set(t, sample(t, "caricamento-iniziale"), "DataNascita", "2003-01-01"), "DataNascitaPresunta", ""), []string{"SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/DataNascita", "SINBA_305 GRAVE BR-05 /Dettaglio/Fotografia/PresaInCarico/DataPresaInCarico"}},
		"reopened with a new beginning": {set(t, again(t, "2024-12-02"), "DataNascita", "2006-01-01"), []string{"SINBA_303 LIEVE BR-03 /Soggetto/Anagrafica/DataNascita", "SINBA_305 LIEVE BR-05 /Dettaglio/RiaperturaCartella/DataPresaInCarico"}},
		"of a day that is wrong itself": {again(t, "2094-04-23"), []string{"SINBA_306 GRAVE BR-06 /Dettaglio/RiaperturaCartella/DataPresaInCarico"}},
	})
}

// again reopens a case and takes its child, born on 2010-04-23, in charge on a day.
func again(tb testing.TB, day string) string {
	tb.Helper()
	doc := set(tb, sample(tb, "riapertura-cartella"), "DataNascitaPresunta", "2")
	return set(tb, doc, "DataPresaInCarico", day)
}

func TestBR18ReasonOfClosing(t *testing.T) {
	t.Parallel()
	// Born on 2010-04-23 for sure, or in 2010.
	doc := set(t, sample(t, "chiusura-cartella"), "DataNascitaPresunta", "2")
	closed := func(doc, why, where, day string) string {
		return set(t, set(t, set(t, doc, "MotivazioneChiusuraCarico", why), "SituazioneChiusuraCarico", where), "DataChiusura", day)
	}
	presumed := set(t, doc, "DataNascitaPresunta", "1")
	const (
		future = "SINBA_306 GRAVE BR-06 /Dettaglio/ChiusuraCartella/DataChiusura"
		minor  = "SINBA_318 LIEVE BR-18 /Dettaglio/ChiusuraCartella/MotivazioneChiusuraCarico"
		dead   = "SINBA_318 LIEVE BR-18 /Dettaglio/ChiusuraCartella/SituazioneChiusuraCarico"
	)
	judgeAll(t, map[string]ruleCase{
		"another reason":      {closed(doc, "4", "1", "2024-09-17"), nil},
		"of age, is a child":  {closed(doc, "3", "2", "2024-09-17"), []string{minor}},
		"the day before 18":   {closed(doc, "3", "2", "2028-04-22"), []string{future, minor}},
		"the day of 18":       {closed(doc, "3", "2", "2028-04-23"), []string{future}},
		"presumed, may be 18": {closed(presumed, "3", "2", "2028-01-01"), []string{future}},
		"presumed, is 17":     {closed(presumed, "3", "2", "2027-12-31"), []string{future, minor}},
		"no Anagrafica":       {without(t, closed(doc, "3", "2", "2024-09-17"), "Anagrafica"), nil},
		"death":               {closed(doc, "8", "", "2024-09-17"), nil},
		"death and an abode":  {closed(doc, "8", "1", "2024-09-17"), []string{dead}},
		"no abode":            {closed(doc, "4", "", "2024-09-17"), nil},
	})
}

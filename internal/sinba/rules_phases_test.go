package sinba_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// phasedBodies are the five bodies with a Fase as the samples have them, all but the order closed.
func phasedBodies() []struct{ sample, body, from, until, outcome string } {
	return []struct{ sample, body, from, until, outcome string }{
		{"progetto", "Progetto", "DataInizio", "DataFine", ""},
		{"intervento", "Intervento", "DataInizioPrestazione", "DataFinePrestazione", ""},
		{"affidamento", "Affidamento", "DataInizio", "DataFine", "EsitoAffido"},
		{"inserimento-struttura", "InserimentoStruttura", "DataIngresso", "DataDimissione", "EsitoInserimentoStruttura"},
		{"provvedimento-giudiziario", "ProvvedimentoGiudiziario", "DataProvvedimentoGiudiziario", "DataCessazione", ""},
	}
}

func TestBR12AndBR06WhatIsClosedHasItsEnd(t *testing.T) {
	t.Parallel()
	for _, b := range phasedBodies() {
		path := "/Dettaglio/" + b.body + "/"
		doc := set(t, set(t, set(t, sample(t, b.sample), "Fase", "CHIUSURA"), b.from, "2024-08-12"), b.until, "2024-08-12")
		open := set(t, doc, b.until, "")
		needsEnd := "SINBA_312 GRAVE BR-12 " + path + b.until
		notClosed := []string{"SINBA_306 LIEVE BR-06 " + path + b.until}
		if b.body == "ProvvedimentoGiudiziario" {
			notClosed = nil // an order may say from the first when it ceases
		}
		judgeAll(t, map[string]ruleCase{
			b.body + " closed on the day":       {doc, nil},
			b.body + " closed without an end":   {open, []string{needsEnd}},
			b.body + " opened":                  {set(t, open, "Fase", "APERTURA"), nil},
			b.body + " changed":                 {set(t, open, "Fase", "MODIFICA"), nil},
			b.body + " opened with an end":      {set(t, doc, "Fase", "APERTURA"), notClosed},
			b.body + " changed with an end":     {set(t, doc, "Fase", "MODIFICA"), notClosed},
			b.body + " ends before":             {set(t, doc, b.until, "2024-08-11"), []string{"SINBA_306 GRAVE BR-06 " + path + b.until}},
			b.body + " begins in the future":    {set(t, doc, b.from, "2025-03-02"), []string{"SINBA_306 GRAVE BR-06 " + path + b.from}},
			b.body + " ends before, by a zone":  {set(t, doc, b.until, "2024-08-12+14:00"), nil},
			b.body + " ends before, not closed": {set(t, set(t, doc, b.until, "2024-08-11"), "Fase", "APERTURA"), append([]string{"SINBA_306 GRAVE BR-06 " + path + b.until}, notClosed...)},
		})
		if b.outcome == "" {
			continue
		}
		outcome := "SINBA_312 GRAVE BR-12 " + path + b.outcome
		judgeAll(t, map[string]ruleCase{
			b.body + " without an outcome": {set(t, doc, b.outcome, ""), []string{outcome}},
			b.body + " without either":     {set(t, open, b.outcome, ""), []string{needsEnd, outcome}},
			b.body + " opened, no outcome": {set(t, set(t, open, b.outcome, ""), "Fase", "APERTURA"), nil},
		})
	}
}

func TestBR21BacklogHasMovedSinceTheCutOff(t *testing.T) {
	t.Parallel()
	// The sample has two services, here of other days; opened and taken in charge before them.
	doc := set(t, sample(t, "caricamento-iniziale"), "DataApertura", "2011-01-01")
	const day = "<DataInizioPrestazione>2024-09-28</DataInizioPrestazione><DataFinePrestazione>2024-09-28</DataFinePrestazione>"
	if strings.Count(doc, day) != 2 {
		t.Fatal("the sample has other services")
	}
	span := func(from, until string) string {
		text := "<DataInizioPrestazione>" + from + "</DataInizioPrestazione>"
		if until != "" {
			text += "<DataFinePrestazione>" + until + "</DataFinePrestazione>"
		}
		return text
	}
	both := func(first, second string) string {
		return strings.Replace(strings.Replace(doc, day, first, 1), day, second, 1)
	}
	old := span("2011-03-01", "2011-12-31")
	refused := []string{"SINBA_321 GRAVE BR-21 /Dettaglio/Fotografia/Intervento"}
	open := func(doc string) string { // the phase of a service that goes on
		return strings.ReplaceAll(doc, "<Fase>CHIUSURA</Fase><CodicePrestazione>", "<Fase>APERTURA</Fase><CodicePrestazione>")
	}
	judgeAll(t, map[string]ruleCase{
		"both old":            {both(old, old), refused},
		"the first ended":     {both(span("2011-03-01", "2012-01-01"), old), nil},
		"the second ended":    {both(old, span("2011-03-01", "2012-01-01")), nil},
		"one began":           {open(both(span("2012-01-01", ""), span("2011-03-01", ""))), nil},
		"began and goes on":   {open(both(span("2011-12-31", ""), span("2011-03-01", ""))), refused},
		"zones are ignored":   {both(old, span("2011-03-01", "2011-12-31-14:00")), refused},
		"another body is not": {set(t, set(t, sample(t, "intervento"), "DataInizioPrestazione", "2010-01-01"), "DataFinePrestazione", "2010-02-01"), nil},
	})
	for _, c := range []struct {
		cutOff string
		want   int
	}{{"", 1}, {"2012-01-01", 1}, {"2011-12-31", 0}, {"2012-12-31", 1}} {
		severities, err := sinba.NewSeverities(c.cutOff, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := load(t).Judge(read(t, both(old, old)), severities.Context(received, "aster"))
		if len(got) != c.want {
			t.Errorf("cut-off %s: %v", c.cutOff, got)
		}
	}
}

func TestBR02ReferenceBelongsToCorrectionsAndAnnulments(t *testing.T) {
	t.Parallel()
	doc := sample(t, "intervento")
	reference := func(operation, id string) string {
		changed := operated(t, doc, operation)
		if operation == "I" {
			return change(t, changed, "</TipoOperazione>", "</TipoOperazione><IdEventoRiferito>"+id+"</IdEventoRiferito>")
		}
		return set(t, changed, "IdEventoRiferito", id)
	}
	const other = "77AD0D17-ab8e-44f2-9cc8-19bbb9d4f8d4"
	own := strings.ToUpper(read(t, doc).EventID().String())
	refused := []string{"SINBA_302 GRAVE BR-02 /Testata/IdEventoRiferito"}
	annulment := sample(t, "annullamento")
	judgeAll(t, map[string]ruleCase{
		"insertion without":      {doc, nil},
		"insertion with":         {reference("I", other), refused},
		"correction with":        {reference("R", other), nil},
		"correction without":     {reference("R", ""), refused},
		"correction of itself":   {reference("R", own), refused},
		"annulment with":         {annulment, nil},
		"annulment without":      {set(t, annulment, "IdEventoRiferito", ""), refused},
		"insertion, its own one": {reference("I", own), refused},
	})
}

func TestReplayJudgesByTheRecordedVersion(t *testing.T) {
	t.Parallel()
	ev := read(t, set(t, sample(t, "segnalazione"), "DataSegnalazioneAutorita", ""))
	judge := func(version int) int {
		return len(load(t).Judge(ev, sinba.RuleContext{Now: received, Version: version}))
	}
	if diff := cmp.Diff([]int{1, 0, 1}, []int{judge(0), judge(1), judge(2)}); diff != "" {
		t.Error(diff)
	}
}

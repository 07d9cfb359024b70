package sinba_test

import (
	"strings"
	"testing"
)

func TestBR09UnaccompaniedForeignMinor(t *testing.T) {
	t.Parallel()
	// An Afghan girl whose sample names both parents as her family.
	doc := sample(t, "msna")
	alone := change(t, doc, "<ComposizioneFamiglia>1</ComposizioneFamiglia><ComposizioneFamiglia>2</ComposizioneFamiglia>", "<ComposizioneFamiglia>3</ComposizioneFamiglia>")
	second := func(code string) string {
		return change(t, alone, "<CodiceCittadinanza>004</CodiceCittadinanza>",
			"<CodiceCittadinanza>004</CodiceCittadinanza><CodiceSecondaCittadinanza>"+code+"</CodiceSecondaCittadinanza>")
	}
	first := func(code string) string {
		return change(t, alone, "<CodiceCittadinanza>004</CodiceCittadinanza>", "<CodiceCittadinanza>"+code+"</CodiceCittadinanza>")
	}
	family := func(members string) string {
		return change(t, alone, "<ComposizioneFamiglia>3</ComposizioneFamiglia>", members)
	}
	grave := []string{"SINBA_309 GRAVE BR-09 /Dettaglio/PresaInCarico/DatiMinore/MinoreStranieroNoAcc"}
	const parent = "SINBA_309 LIEVE BR-09 /Dettaglio/PresaInCarico/NucleoFamiliare/ComposizioneFamiglia"
	judgeAll(t, map[string]ruleCase{
		"alone":                {alone, nil},
		"Italian":              {first("380"), grave},
		"Rumanian":             {first("642"), grave},
		"Swiss":                {first("756"), nil},
		"stateless":            {first("999"), nil},
		"not in the list":      {first("000"), []string{"SINBA_361 LIEVE  /Soggetto/Anagrafica/CodiceCittadinanza"}},
		"second Italian":       {second("380"), grave},
		"second of the EU":     {second("276"), grave},
		"second of elsewhere":  {second("586"), nil},
		"accompanied":          {set(t, first("380"), "MinoreStranieroNoAcc", "2"), nil},
		"no Anagrafica":        {without(t, alone, "Anagrafica"), nil},
		"with the mother":      {family("<ComposizioneFamiglia>1</ComposizioneFamiglia>"), []string{parent}},
		"father comes second":  {family("<ComposizioneFamiglia>6</ComposizioneFamiglia><ComposizioneFamiglia>2</ComposizioneFamiglia>"), []string{parent + "[2]"}},
		"with grandparents":    {family("<ComposizioneFamiglia>4</ComposizioneFamiglia><ComposizioneFamiglia>5</ComposizioneFamiglia>"), nil},
		"accompanied by both":  {set(t, doc, "MinoreStranieroNoAcc", "2"), nil},
		"no family":            {without(t, alone, "NucleoFamiliare"), nil},
		"another kind of body": {sample(t, "nucleo-familiare"), nil},
	})
}

func TestBR10OrphansHaveNoDeadParents(t *testing.T) {
	t.Parallel()
	const (
		at     = "SINBA_310 GRAVE BR-10 /Dettaglio/PresaInCarico/NucleoFamiliare/"
		mother = at + "ComposizioneFamiglia"
		father = at + "ComposizioneFamiglia[2]"
		hers   = at + "Madre"
		his    = at + "Padre"
	)
	doc := sample(t, "presa-in-carico")
	is := func(code string) string { return set(t, doc, "CondizioneMinore", code) }
	members := func(doc, with string) string {
		return change(t, doc, "<ComposizioneFamiglia>1</ComposizioneFamiglia><ComposizioneFamiglia>2</ComposizioneFamiglia>", with)
	}
	const others = "<ComposizioneFamiglia>3</ComposizioneFamiglia>"
	judgeAll(t, map[string]ruleCase{
		"none":                    {is("1"), nil},
		"of both":                 {is("2"), []string{mother, father, his, hers}},
		"of the father":           {is("3"), []string{father, his}},
		"of the mother":           {is("4"), []string{mother, hers}},
		"of unknown parents":      {is("5"), nil},
		"both, with others":       {without(t, without(t, members(is("2"), others), "Padre"), "Madre"), nil},
		"both, with data":         {members(is("2"), others), []string{his, hers}},
		"father, with the mother": {without(t, members(is("3"), "<ComposizioneFamiglia>1</ComposizioneFamiglia>"), "Padre"), nil},
		"mother, an empty block":  {members(change(t, without(t, is("4"), "Madre"), "</Padre>", "</Padre><Madre></Madre>"), others), []string{hers}},
		"no family":               {without(t, is("2"), "NucleoFamiliare"), nil},
		"no child":                {sample(t, "nucleo-familiare"), nil},
	})
}

func TestBR11MembersAreDistinct(t *testing.T) {
	t.Parallel()
	doc := sample(t, "nucleo-familiare")
	of := func(codes ...string) string {
		const open, end = "<ComposizioneFamiglia>", "</ComposizioneFamiglia>"
		return change(t, doc, open+"1"+end+open+"2"+end, open+strings.Join(codes, end+open)+end)
	}
	const at = "SINBA_311 GRAVE BR-11 /Dettaglio/NucleoFamiliare/ComposizioneFamiglia"
	judgeAll(t, map[string]ruleCase{
		"one":         {of("6"), nil},
		"all six":     {of("6", "5", "4", "3", "2", "1"), nil},
		"two alike":   {of("3", "3"), []string{at + "[2]"}},
		"far apart":   {of("3", "1", "2", "3"), []string{at + "[4]"}},
		"three alike": {of("3", "3", "3"), []string{at + "[2]", at + "[3]"}},
		"two pairs":   {of("1", "2", "1", "2"), []string{at + "[3]", at + "[4]"}},
	})
	// Two families of one photograph may name the same members.
	judgeAll(t, map[string]ruleCase{"two families": {sample(t, "caricamento-iniziale"), nil}})
}

func TestBR08CourtReportHasItsDate(t *testing.T) {
	t.Parallel()
	doc, photograph := sample(t, "segnalazione"), sample(t, "caricamento-iniziale")
	judgeAll(t, map[string]ruleCase{
		"with it":         {doc, nil},
		"without":         {set(t, doc, "DataSegnalazioneAutorita", ""), []string{"SINBA_308 GRAVE BR-08 /Dettaglio/Segnalazione/DataSegnalazioneAutorita"}},
		"not reported":    {set(t, set(t, doc, "DataSegnalazioneAutorita", ""), "SegnalazioneAutoritaGiudiziaria", "2"), nil},
		"in a photograph": {set(t, photograph, "DataSegnalazioneAutorita", ""), []string{"SINBA_308 GRAVE BR-08 /Dettaglio/Fotografia/Segnalazione/DataSegnalazioneAutorita"}},
	})
}

package sinba_test

import (
	"strings"
	"testing"
)

func TestBR07DisabilityHasItsDetails(t *testing.T) {
	t.Parallel()
	doc := sample(t, "presa-in-carico")
	details := func(disabled, kind, proof string) string {
		return set(t, set(t, set(t, doc, "Disabilita", disabled), "TipoDisabilita", kind), "InvCivCertificazioni", proof)
	}
	const (
		at    = " BR-07 /Dettaglio/PresaInCarico/DatiMinore/"
		kind  = "SINBA_307 GRAVE" + at + "TipoDisabilita"
		proof = "SINBA_307 GRAVE" + at + "InvCivCertificazioni"
	)
	photograph := sample(t, "caricamento-iniziale")
	// The last DatiMinore, that of the placement, is 2 without details.
	last := strings.LastIndex(photograph, "<Disabilita>2</Disabilita>")
	photograph = photograph[:last] + strings.Replace(photograph[last:], "2", "1", 1)
	const placed = "SINBA_307 GRAVE BR-07 /Dettaglio/Fotografia/InserimentoStruttura/DatiMinore/"
	judgeAll(t, map[string]ruleCase{
		"with both":          {details("1", "4", "5"), nil},
		"none":               {details("2", "", ""), nil},
		"without either":     {details("1", "", ""), []string{kind, proof}},
		"without its kind":   {details("1", "", "4"), []string{kind}},
		"without a proof":    {details("1", "2", ""), []string{proof}},
		"none, with a kind":  {details("2", "1", ""), []string{"SINBA_307 LIEVE" + at + "TipoDisabilita"}},
		"none, with a proof": {details("2", "", "1"), []string{"SINBA_307 LIEVE" + at + "InvCivCertificazioni"}},
		"in a photograph":    {photograph, []string{placed + "TipoDisabilita", placed + "InvCivCertificazioni"}},
	})
}

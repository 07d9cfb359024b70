//go:build e2e

package hubtest_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2EFirstMinuteOfVendors runs the program that the README gives to vendors against a fresh hub.
// What differs from run to run is left out: ids, days and how far the delivery is.
func TestE2EFirstMinuteOfVendors(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	program := filepath.Join(hubtest.Root(), "deploy", "docs", "first_minute.py")
	out := runTool(t, t.TempDir(), "/usr/bin/python3", program, filepath.Join(h.Var, "run.json"))
	var told []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		line = regexp.MustCompile(`^(MEMORIZZATO|IN_INOLTRO|CONFERMATO)$`).ReplaceAllString(line, "STATO")
		line = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllString(line, "ID")
		line = regexp.MustCompile(`^\d{4}-\d\d-\d\d`).ReplaceAllString(line, "GIORNO")
		if f := strings.Fields(line); strings.HasPrefix(line, "SINBA_") {
			line = strings.Join(f[:3], " ")
		}
		told = append(told, line)
	}
	if diff := cmp.Diff([]string{
		"== would it be accepted?", "ACCETTATO",
		"== send it", "ACCETTATO ID",
		"== send it again", "DUPLICATO ID",
		"== where is it?", "STATO",
		"== a wrong one: the rules",
		"SINBA_320 BR-20 /InviaEventoRichiesta/Soggetto/IdAssistitoLocale",
		"SINBA_306 BR-06 /InviaEventoRichiesta/Cartella/DataApertura",
		"== a wrong one: the schema comes first",
		"SINBA_203 cvc-pattern-valid /InviaEventoRichiesta/Testata/IdMessaggio",
		"SINBA_203 cvc-pattern-valid /InviaEventoRichiesta/Mittente/Ente/CodiceZona",
		"== two at once, one of them wrong", "1 ACCETTATO", "2 ['SINBA_306']",
		"== what does the hub have of us?", "GIORNO APERTURA_CARTELLA 2",
	}, told); diff != "" {
		t.Error(diff)
	}
}

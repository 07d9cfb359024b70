//go:build e2e

package hubtest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// TestE2ESoftenedRuleAnnouncesWhenItRefuses: an event that breaks a rule which only warns its sender
// for now is accepted, its warning tells the day, a repetition after the leniency ended tells the
// same, and what is new is then refused.
func TestE2ESoftenedRuleAnnouncesWhenItRefuses(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, "SINBAHUB_RULES_WARNING_ONLY=[{rule: BR-08, participant: gesocial-pisa, until: 2199-12-31}]")
	const child = hubtest.Child(7)
	sender := h.Sender(hubtest.ChildEnte)
	if a := mustSend(t, sender, soap.V12, child.Event(uuid.New(), 1)); a.Receipt == nil {
		t.Fatalf("%s", a.Body)
	}
	reported := func(id uuid.UUID, sequence int) []byte {
		return []byte(strings.Replace(string(child.Event(id, sequence)), "Giudiziaria>2</", "Giudiziaria>1</", 1))
	}
	event := uuid.New()
	first := mustSend(t, sender, soap.V12, reported(event, 2))
	if first.Receipt == nil || first.Receipt.Esito != "ACCETTATO_CON_AVVISI" || len(first.Receipt.Avvisi) != 1 {
		t.Fatalf("%s", first.Body)
	}
	if said := first.Receipt.Avvisi[0]; said.Codice != "SINBA_308" || !strings.Contains(string(first.Body), "Dal 2200-01-01 l&apos;evento sarà rifiutato.") &&
		!strings.Contains(string(first.Body), "Dal 2200-01-01 l'evento sarà rifiutato.") {
		t.Errorf("%+v\n%s", said, first.Body)
	}
	softened := 0
	for _, e := range hubtest.JournalEntries(t, h.Superuser()) {
		if e.Kind == journal.EventAccepted && e.Severities != [32]byte{} {
			softened++
		}
	}
	if softened != 2 {
		t.Errorf("%d entries name the severities, want both", softened)
	}
	h.Terminate()
	h.Up()
	again := mustSend(t, sender, soap.V12, reported(event, 2))
	if again.Receipt == nil || again.Receipt.Esito != hub.Duplicate.String() {
		t.Fatalf("%s", again.Body)
	}
	if diff := cmp.Diff(warningsOf(first), warningsOf(again)); diff != "" {
		t.Error(diff)
	}
	if refused := mustSend(t, sender, soap.V12, reported(uuid.New(), 3)); refused.Receipt != nil {
		t.Errorf("accepted without a leniency: %s", refused.Body)
	}
}

// warningsOf is everything that an answer says in Avviso, but the address of the page of codes.
func warningsOf(a *hubtest.Answer) string {
	text := string(a.Body)
	from, to := strings.Index(text, "<Avviso>"), strings.LastIndex(text, "<Riferimento>")
	if from < 0 || to < from {
		return ""
	}
	return text[from:to]
}

package sinba_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

func TestEventTellsWhatOthersNeed(t *testing.T) {
	t.Parallel()
	ev := read(t, sample(t, "annullamento"))
	equal := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	equal("root", ev.Root(), "InviaEventoRichiesta")
	equal("version", ev.Version(), "1.0")
	equal("message", ev.MessageID().String(), "dbf4a8b2-b0c4-412d-a020-3626f3fe39c0")
	equal("event", ev.EventID().String(), "90fbbd11-9c1c-4af7-9e87-66ed88daf401")
	refers, ok := ev.RefersTo()
	equal("refers", refers.String(), "254b0c4e-010c-4759-882c-9cbc43435cc5")
	equal("refers ok", ok, true)
	equal("type", ev.Type(), sinba.Intervento)
	equal("operation", ev.Operation(), sinba.Annullamento)
	equal("sequence", ev.Sequence(), int32(16))
	equal("occurred", ev.OccurredAt(), time.Date(2024, 10, 12, 8, 20, 0, 0, time.UTC))
	equal("sent", ev.SentAt(), time.Date(2024, 10, 12, 9, 20, 0, 0, time.UTC))
	_, ok = ev.Environment()
	equal("environment", ok, false)
	equal("ente", ev.EnteCode(), "SDS-PI")
	equal("product", ev.Product(), sinba.Product{Vendor: "Alias2k", Name: "Gesocial", Version: "5.1"})
	equal("local subject", ev.LocalSubject().Reveal(), "A-00001-3031")
	equal("local case", ev.LocalCase().Reveal(), "2024/00001-bb3b")
	equal("opened", ev.OpenedOn(), time.Date(2024, 4, 8, 0, 0, 0, 0, time.UTC))
	equal("subject", ev.Subject().Kind, sinba.CodiceFiscale)
	equal("subject", ev.Subject().Value.Reveal(), "NCLRRA10D63D612R")
	_, ok = ev.Previous()
	equal("previous", ok, false)
	name, ok := ev.Value("/Soggetto/Anagrafica/Nome")
	equal("value", name, "Niccolò Gian-Marìa")
	equal("value ok", ok, true)
	_, ok = ev.Value("/Soggetto/Anagrafica")
	equal("no leaf", ok, false)

	ev = read(t, sample(t, "variazione-anagrafica"))
	previous, ok := ev.Previous()
	equal("previous", previous.Kind, sinba.CodiceSTP)
	equal("previous", previous.Value.Reveal(), "STP0901010000123")
	equal("previous ok", ok, true)
	_, ok = ev.RefersTo()
	equal("refers", ok, false)
}

func TestEventVersionAndEnvironment(t *testing.T) {
	t.Parallel()
	doc := sample(t, "segnalazione")
	if got := read(t, change(t, doc, ` versione="1.0"`, "")).Version(); got != "1.0" {
		t.Error("absent:", got)
	}
	if got := read(t, change(t, doc, ` versione="1.0"`, ` versione="1.7"`)).Version(); got != "1.7" {
		t.Error("other:", got)
	}
	for word, want := range map[string]hub.Environment{"PROD": hub.Prod, "TEST": hub.Test} {
		with := change(t, doc, "</DataOraInvio>", "</DataOraInvio><Ambiente>"+word+"</Ambiente>")
		if got, ok := read(t, with).Environment(); got != want || !ok {
			t.Error(word, got, ok)
		}
	}
}

func TestEventKnowsEveryKindOfIdentity(t *testing.T) {
	t.Parallel()
	want := []sinba.IdentifierKind{
		sinba.CodiceFiscale, sinba.CodiceFiscaleProvvisorio, sinba.CodiceSTP, sinba.CodiceENI, sinba.NonIdentificato,
	}
	for i, kind := range want {
		doc, _ := maximal(t, 10, i, plain).generate("Evento")
		ev := read(t, doc)
		previous, ok := ev.Previous()
		if ev.Subject().Kind != kind || previous.Kind != kind || !ok {
			t.Error(kind, ev.Subject().Kind, previous.Kind)
		}
		if ev.Subject().Value.IsZero() {
			t.Error(kind, "without a value")
		}
	}
}

func TestReadTakesAParentWithoutData(t *testing.T) {
	t.Parallel()
	doc := sample(t, "nucleo-familiare")
	from, to := strings.Index(doc, "<Padre>"), strings.Index(doc, "</Padre>")
	ev := read(t, doc[:from]+"<Padre>"+doc[to:])
	if strings.Contains(string(ev.Content()), "/Padre") {
		t.Error("an empty container is in the content")
	}
	regional := string(load(t).Regional(ev, regionalCodes()))
	if strings.Contains(regional, "Padre") || !strings.Contains(regional, "<Madre>") {
		t.Error("an empty container is in the regional event")
	}
}

func TestEventPrintsAsAPlaceholder(t *testing.T) {
	t.Parallel()
	doc, leaves := maximal(t, 14, 0, plain).generate("InviaEventoRichiesta")
	ev := read(t, doc)
	type outer struct {
		private sinba.Event
		pointer *sinba.Event
		Public  sinba.Event
		Handle  *sinba.Event
		Who     sinba.Identity
	}
	o := outer{*ev, ev, *ev, ev, ev.Subject()}
	var printed []string
	for _, v := range []any{ev, *ev, o, &o, []sinba.Event{*ev}, map[string]*sinba.Event{"k": ev}, o.private, o.pointer} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		printed = append(printed, string(encoded))
	}
	type envelope struct {
		Ev *sinba.Event `xml:"ev"`
	}
	encoded, err := xml.Marshal(envelope{ev})
	if err != nil {
		t.Fatal(err)
	}
	printed = append(printed, string(encoded), ev.String())
	for _, text := range printed {
		for _, leaf := range leaves {
			if len(leaf.Value) >= 5 && (strings.Contains(text, leaf.Value) || strings.Contains(text, fmt.Sprintf("%x", leaf.Value))) {
				t.Fatalf("%s was printed", leaf.Path)
			}
		}
	}
	if got := fmt.Sprintf("%v", ev); got != "[redacted]" {
		t.Error(got)
	}
	if got, err := json.Marshal(ev); string(got) != `"[redacted]"` || err != nil {
		t.Error(string(got), err)
	}
}

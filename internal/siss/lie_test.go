package siss_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/siss"
)

// What is known already is not invented, what is forgotten takes nothing else along, and an order with a
// fault does nothing.
func TestLiesAreToldUntilTheNextStart(t *testing.T) {
	t.Parallel()
	e := start(t, siss.Config{})
	id, kept, invented, refused := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	e.mustPost(t, 200, transmit(id, national("SEGNALAZIONE", 1)))
	e.mustPost(t, 200, transmit(kept, national("SEGNALAZIONE", 2)))
	order := func(body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.LiesURL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := e.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != want {
			t.Errorf("status %d %v, want %d", response.StatusCode, err, want)
		}
	}
	at := `"ricevuto_at":"2026-03-01T10:00:00Z"`
	order(`{"forget":["`+id.String()+`"],"invent":[{"id_trasmissione":"`+invented.String()+`","tipo_evento":"PROGETTO",`+at+`},
		{"id_trasmissione":"`+refused.String()+`","tipo_evento":"PROGETTO",`+at+`,"refused":true},
		{"id_trasmissione":"`+kept.String()+`","tipo_evento":"PROGETTO",`+at+`,"refused":true}]}`, 200)
	order(`{"forget":["nobody"]}`, 400)
	order(`{"else":1}`, 400)
	order(`{"forget":["`+kept.String()+`"],"else":1}`, 400)
	for asked, want := range map[uuid.UUID]string{id: "SCONOSCIUTO", kept: "ACCETTATO", invented: "ACCETTATO", refused: "RIFIUTATO"} {
		if got := e.mustPost(t, 200, askState(asked)); field(got, "Esito") != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	totals := func(day string) string {
		body := e.mustPost(t, 200, `<RiepilogoRichiesta xmlns="urn:sinba:siss:v1"><Giorno>`+day+`</Giorno></RiepilogoRichiesta>`)
		conforms(t, body)
		return body
	}
	if got := totals("2026-03-01"); field(got, "TipoEvento") != "PROGETTO" || field(got, "Numero") != "1" {
		t.Error(got)
	}
	// SISS counts by the civil day in Italy, which is not the machine's for an hour or two of each night.
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().In(rome).Format(time.DateOnly)
	if got := totals(today); strings.Count(got, "<Totale>") != 1 || field(got, "TipoEvento") != "SEGNALAZIONE" || field(got, "Numero") != "1" {
		t.Error(got)
	}
	order(`{"forget":["`+kept.String()+`"]}`, 200)
	if got := totals(today); strings.Contains(got, "Totale>") {
		t.Error(got)
	}
	e.stop()
	e = start(t, siss.Config{Received: e.received})
	if got := e.mustPost(t, 200, askState(id)); field(got, "Esito") != "ACCETTATO" {
		t.Errorf("after a restart: %s", got)
	}
	if got := e.mustPost(t, 200, askState(invented)); field(got, "Esito") != "SCONOSCIUTO" {
		t.Errorf("after a restart: %s", got)
	}
}

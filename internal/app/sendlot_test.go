package app_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// lotEvent is an event as far as a client reads it.
func lotEvent(id string) string {
	return `<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"><Testata><IdEvento>` + id + `</IdEvento></Testata></InviaEventoRichiesta>`
}

func TestSendLotPrintsTheOutcomeOfEachFile(t *testing.T) {
	t.Parallel()
	const id, other = "4c393986-0b93-4759-8d91-8539d9ba9b90", "4c393986-0b93-4759-8d91-8539d9ba9b91"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		lot := regexp.MustCompile(`IdLotto>([0-9a-f-]{36})<`).FindSubmatch(text)
		if lot == nil || strings.Count(string(text), "<Evento ") != 2 {
			t.Errorf("sent %s", text)
			return
		}
		_, _ = w.Write(soap.AppendEnvelope(nil, soap.V12, []byte(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>`+string(lot[1])+`</IdLotto>`+
			`<EsitoEvento><Posizione>1</Posizione><Ricevuta><IdRicevuta>`+id+`</IdRicevuta><IdMessaggio>`+id+`</IdMessaggio><IdEvento>`+id+`</IdEvento><Esito>DUPLICATO</Esito>`+
			`<DataOraRicezione>2024-04-12T08:50:04Z</DataOraRicezione><ImprontaMessaggio>`+strings.Repeat("0", 64)+`</ImprontaMessaggio></Ricevuta></EsitoEvento>`+
			`<EsitoEvento><Posizione>2</Posizione><Errore><IdTransazione>`+id+`</IdTransazione><Anomalia><Codice>SINBA_110</Codice><Rilevanza>GRAVE</Rilevanza>`+
			`<Posizione>/Evento</Posizione><Descrizione>d</Descrizione></Anomalia></Errore></EsitoEvento></InviaLottoRisposta>`)))
	}))
	t.Cleanup(server.Close)
	files := []string{write(t, "first.xml", lotEvent(id)), write(t, "second.xml", lotEvent(other))}
	var out bytes.Buffer
	if err := app.Send(t.Context(), &out, app.SendOptions{URL: server.URL, User: "u", Lot: true}, files); !errors.Is(err, app.ErrRefused) {
		t.Errorf("got %v", err)
	}
	want := "first.xml 200 DUPLICATO " + id + " second.xml 200 RIFIUTATO SINBA_110 GRAVE /Evento: d"
	if got := strings.Join(strings.Fields(out.String()), " "); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestSendLotSaysWhatIsWrongBehindWhatItSent(t *testing.T) {
	t.Parallel()
	event := write(t, "event.xml", lotEvent("4c393986-0b93-4759-8d91-8539d9ba9b90"))
	dry := write(t, "dry.xml", `<VerificaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`)
	url, request := answering(t, 401, soap.AppendFault(nil, soap.V12, soap.Fault{Code: soap.Sender, Detail: []byte(
		`<ErroreSinba xmlns="urn:sinba:eventi:v1"><Anomalia><Codice>SINBA_101</Codice><Rilevanza>GRAVE</Rilevanza><Posizione>/</Posizione></Anomalia></ErroreSinba>`)}))
	for name, files := range map[string][]string{"another operation": {event, dry}, "no such file": {event, dry + ".none"}} {
		request.Reset()
		var out bytes.Buffer
		err := app.Send(t.Context(), &out, app.SendOptions{URL: url, User: "u", Lot: true}, files)
		if err == nil || errors.Is(err, app.ErrRefused) || errors.Is(err, app.ErrUnreachable) || !strings.Contains(out.String(), "401  RIFIUTATO") || request.Len() == 0 {
			t.Errorf("%s: %v, printed %q", name, err, &out)
		}
	}
	if err := app.Send(t.Context(), io.Discard, app.SendOptions{URL: url, User: "u", Lot: true, Verify: true}, []string{event}); err == nil {
		t.Error("a lot that only asks was sent")
	}
	if err := app.Send(t.Context(), io.Discard, app.SendOptions{URL: url, User: "u", Lot: true}, nil); err != nil {
		t.Errorf("nothing to send: %v", err)
	}
}

package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// A hundred and one files are two lots, and every file has its line in their order; a receipt with a
// warning is told with it.
func TestSendLotSendsMoreFilesThanALotHolds(t *testing.T) {
	t.Parallel()
	var lots []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		lot := regexp.MustCompile(`IdLotto>([0-9a-f-]{36})<`).FindSubmatch(text)
		ids := regexp.MustCompile(`<IdEvento>([^<]+)<`).FindAllSubmatch(text, -1)
		lots = append(lots, len(ids))
		var answer bytes.Buffer
		answer.WriteString(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><IdLotto>` + string(lot[1]) + `</IdLotto>`)
		for i, id := range ids {
			_, _ = fmt.Fprintf(&answer, `<EsitoEvento><Posizione>%d</Posizione><Ricevuta><IdRicevuta>%[2]s</IdRicevuta><IdMessaggio>%[2]s</IdMessaggio><IdEvento>%[2]s</IdEvento>`+
				`<Esito>ACCETTATO_CON_AVVISI</Esito><DataOraRicezione>2024-04-12T08:50:04Z</DataOraRicezione><ImprontaMessaggio>%064d</ImprontaMessaggio>`+
				`<Avviso><Codice>SINBA_301</Codice><Rilevanza>LIEVE</Rilevanza><Posizione>/a</Posizione><Descrizione>d</Descrizione></Avviso></Ricevuta></EsitoEvento>`, i+1, id[1], 0)
		}
		_, _ = w.Write(soap.AppendEnvelope(nil, soap.V12, append(answer.Bytes(), `</InviaLottoRisposta>`...)))
	}))
	t.Cleanup(server.Close)
	files := make([]string, 101)
	for i := range files {
		files[i] = write(t, fmt.Sprintf("%03d.xml", i), lotEvent(fmt.Sprintf("4c393986-0b93-4759-8d91-8539d9ba9%03d", i)))
	}
	var out bytes.Buffer
	if err := app.Send(t.Context(), &out, app.SendOptions{URL: server.URL, User: "u", Lot: true, JSON: true}, files); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lots, []int{100, 1}) {
		t.Errorf("lots of %v events", lots)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(files) {
		t.Fatalf("%d lines of %d files", len(lines), len(files))
	}
	for i, line := range lines {
		if !strings.Contains(line, files[i]) || !strings.Contains(line, "SINBA_301") {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

// A lot has one sender: files of two enti that take turns are as many lots, each under the account of its
// ente, and every file has its line.
func TestSendLotSplitsLotsBySender(t *testing.T) {
	t.Parallel()
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		user, _, _ := r.BasicAuth()
		for _, ente := range regexp.MustCompile(`<CodiceEnte>([^<]+)<`).FindAllSubmatch(text, -1) {
			sent = append(sent, user+" "+string(ente[1]))
		}
		sent = append(sent, "")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(soap.AppendFault(nil, soap.V12, soap.Fault{Code: soap.Sender, Detail: []byte(
			`<ErroreSinba xmlns="urn:sinba:eventi:v1"><Anomalia><Codice>SINBA_101</Codice><Rilevanza>GRAVE</Rilevanza><Posizione>/</Posizione></Anomalia></ErroreSinba>`)}))
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	run := `{"participants": [{"ente": "SDS-PI", "api_user": "pisa"}, {"ente": "SDS-GR", "api_user": "grosseto"}]}`
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(run), 0o600); err != nil {
		t.Fatal(err)
	}
	var files []string
	for i, ente := range []string{"SDS-PI", "SDS-PI", "SDS-GR", "SDS-PI"} {
		event := strings.Replace(lotEvent(fmt.Sprintf("4c393986-0b93-4759-8d91-8539d9ba9%03d", i)), "</IdEvento>", "</IdEvento><CodiceEnte>"+ente+"</CodiceEnte>", 1)
		files = append(files, write(t, fmt.Sprintf("%d.xml", i), event))
	}
	var out bytes.Buffer
	if err := app.Send(t.Context(), &out, app.SendOptions{URL: server.URL, Var: dir, Lot: true}, files); !errors.Is(err, app.ErrRefused) {
		t.Errorf("got %v", err)
	}
	want := []string{"pisa SDS-PI", "pisa SDS-PI", "", "grosseto SDS-GR", "", "pisa SDS-PI", ""}
	if !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
	if n := strings.Count(out.String(), "RIFIUTATO"); n != len(files) {
		t.Errorf("%d lines of %d files: %s", n, len(files), &out)
	}
}

// What has no outcome is told as the error of the first such file, and what the others came to is printed.
func TestSendLotPrintsWhatHasAnOutcomeBesideWhatHasNone(t *testing.T) {
	t.Parallel()
	const id = "4c393986-0b93-4759-8d91-8539d9ba9b90"
	good := write(t, "good.xml", lotEvent(id))
	const dry = `<VerificaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`
	first, second := write(t, "first.xml", dry), write(t, "second.xml", dry)
	url, _ := answering(t, 401, soap.AppendFault(nil, soap.V12, soap.Fault{Code: soap.Sender, Detail: []byte(
		`<ErroreSinba xmlns="urn:sinba:eventi:v1"><Anomalia><Codice>SINBA_101</Codice><Rilevanza>GRAVE</Rilevanza><Posizione>/</Posizione></Anomalia></ErroreSinba>`)}))
	var out bytes.Buffer
	err := app.Send(t.Context(), &out, app.SendOptions{URL: url, User: "u", Lot: true}, []string{first, good, second})
	if err == nil || !strings.Contains(err.Error(), "first.xml") || !strings.Contains(out.String(), "good.xml") {
		t.Errorf("%v, printed %q", err, &out)
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

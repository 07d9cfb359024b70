package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// answering is a hub that always gives one answer and remembers the request.
func answering(t *testing.T, status int, body []byte) (url string, request *bytes.Buffer) {
	t.Helper()
	request = &bytes.Buffer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = request.ReadFrom(r.Body)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return server.URL, request
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSendReadsEveryKindOfAnswer(t *testing.T) {
	t.Parallel()
	const id = "4c393986-0b93-4759-8d91-8539d9ba9b90"
	const anomalia = `<Anomalia><Codice>SINBA_301</Codice><Rilevanza>GRAVE</Rilevanza><Posizione>/a</Posizione><Riga>3</Riga><Descrizione>d</Descrizione></Anomalia>`
	detail := []byte(`<ErroreSinba xmlns="urn:sinba:eventi:v1">` + anomalia + anomalia + `</ErroreSinba>`)
	receipt := `<InviaEventoRisposta xmlns="urn:sinba:eventi:v1"><IdRicevuta>` + id + `</IdRicevuta><IdMessaggio>` + id + `</IdMessaggio><IdEvento>` + id +
		`</IdEvento><Esito>ACCETTATO_CON_AVVISI</Esito><DataOraRicezione>2024-04-12T08:50:04Z</DataOraRicezione><ImprontaMessaggio>` + strings.Repeat("0", 64) + `</ImprontaMessaggio>` +
		strings.ReplaceAll(anomalia, "Anomalia", "Avviso") + `</InviaEventoRisposta>`
	cases := []struct {
		name    string
		status  int
		body    []byte
		esito   string
		found   int
		refused bool
	}{
		{"receipt", 200, soap.AppendEnvelope(nil, soap.V12, []byte(receipt)), "ACCETTATO_CON_AVVISI", 1, false},
		{"fault 1.2", 500, soap.AppendFault(nil, soap.V12, soap.Fault{Code: soap.Sender, Detail: detail}), "RIFIUTATO", 2, true},
		{"fault 1.1", 401, soap.AppendFault(nil, soap.V11, soap.Fault{Code: soap.Sender, Detail: detail}), "RIFIUTATO", 2, true},
		{
			"a receipt that proves nothing", 200,
			soap.AppendEnvelope(nil, soap.V12, []byte(strings.Replace(receipt, "<Avviso>", "<SaleImpronta>"+strings.Repeat("0", 32)+"</SaleImpronta><Avviso>", 1))),
			"RICEVUTA_ERRATA", 1, true,
		},
		{"a proxy's page", 502, []byte("<html>bad gateway"), "RISPOSTA_ILLEGGIBILE", 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, request := answering(t, c.status, c.body)
			event := write(t, "event.xml", "<?xml version=\"1.0\"?>\n<a>è</a>")
			var out bytes.Buffer
			err := app.Send(t.Context(), &out, app.SendOptions{URL: url, User: "u", PasswordFile: write(t, "p", "secret\n"), JSON: true}, []string{event})
			if errors.Is(err, app.ErrRefused) != c.refused || err != nil && !c.refused {
				t.Errorf("error %v, refused %v", err, c.refused)
			}
			var sent app.Sent
			if err := json.Unmarshal(out.Bytes(), &sent); err != nil {
				t.Fatal(err)
			}
			if sent.Esito != c.esito || len(sent.Anomalie) != c.found || sent.Status != c.status {
				t.Errorf("got %+v", sent)
			}
			if c.found > 0 && (sent.Anomalie[0].Codice != "SINBA_301" || sent.Anomalie[0].Posizione != "/a") {
				t.Errorf("violation %+v", sent.Anomalie[0])
			}
			if !strings.Contains(request.String(), "<soap:Body><a>è</a></soap:Body>") {
				t.Errorf("sent %s", request)
			}
		})
	}
}

func TestSendVerifyAsksOnly(t *testing.T) {
	t.Parallel()
	url, request := answering(t, 200, soap.AppendEnvelope(nil, soap.V12, []byte(`<VerificaEventoRisposta xmlns="urn:sinba:eventi:v1">`+
		`<Conforme>true</Conforme><EsitoPrevisto>DUPLICATO</EsitoPrevisto><VersioneSchema>1.0</VersioneSchema></VerificaEventoRisposta>`)))
	event := write(t, "event.xml", `<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`)
	var out bytes.Buffer
	if err := app.Send(t.Context(), &out, app.SendOptions{URL: url, User: "u", Verify: true}, []string{event}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "200  DUPLICATO") || !strings.Contains(request.String(), `<VerificaEventoRichiesta xmlns="urn:sinba:eventi:v1"/>`) {
		t.Errorf("printed %s, sent %s", &out, request)
	}
}

func TestSendNeverShowsTheCredentialToAnotherMachineUnencrypted(t *testing.T) {
	t.Parallel()
	err := app.Send(t.Context(), &bytes.Buffer{}, app.SendOptions{URL: "http://hub.example/", User: "u"}, []string{write(t, "event.xml", "<a/>")})
	if err == nil || errors.Is(err, app.ErrUnreachable) || errors.Is(err, app.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestSendSaysWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	event := write(t, "event.xml", "<a/>")
	err := app.Send(t.Context(), &bytes.Buffer{}, app.SendOptions{URL: "http://127.0.0.1:1/", User: "u"}, []string{event})
	if !errors.Is(err, app.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	err = app.Send(t.Context(), &bytes.Buffer{}, app.SendOptions{Var: t.TempDir()}, []string{event})
	if !errors.Is(err, app.ErrUnreachable) {
		t.Errorf("without run.json: %v", err)
	}
}

func TestUnreadableRunFileCountsAsNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"pids": 3}`} {
		path := write(t, "run.json", text)
		run, ok, err := app.ReadRunFile(filepath.Dir(path))
		if ok || err != nil || run.SoapURL != "" {
			t.Errorf("%q: %+v %v %v", text, run, ok, err)
		}
	}
}

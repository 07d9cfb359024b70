package client_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/pkg/client"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// event is an InviaEventoRichiesta as far as the client reads it; canary stands where a name would.
const (
	canary  = "CanarinoRossi"
	idEvent = "4c393986-0b93-4759-8d91-8539d9ba9b90"
	event   = `<?xml version="1.0"?>
<InviaEventoRichiesta xmlns="urn:sinba:eventi:v1">
  <Testata><IdMessaggio>19ebdd45-c6f2-4177-b2da-e235250ec987</IdMessaggio><IdEvento>` + idEvent + `</IdEvento></Testata>
  <Soggetto><Anagrafica><Cognome>` + canary + `</Cognome></Anagrafica></Soggetto>
</InviaEventoRichiesta>`
	salt = "000102030405060708090a0b0c0d0e0f"
)

// receiptOf is the hub's receipt for the event.
func receiptOf(esito string) string {
	bits, _ := hex.DecodeString(salt)
	sum := sha256.Sum256(append(bits, client.ContentOf([]byte(event))...))
	return `<InviaEventoRisposta xmlns="urn:sinba:eventi:v1"><IdRicevuta>01900000-0000-7000-8000-000000000001</IdRicevuta>` +
		`<IdMessaggio>19ebdd45-c6f2-4177-b2da-e235250ec987</IdMessaggio><IdEvento>` + idEvent + `</IdEvento><Esito>` + esito + `</Esito>` +
		`<DataOraRicezione>2024-04-12T08:50:04.162Z</DataOraRicezione><ImprontaMessaggio>` + hex.EncodeToString(sum[:]) + `</ImprontaMessaggio>` +
		`<SaleImpronta>` + salt + `</SaleImpronta><IdRegistrazione>01900000-0000-7000-8000-000000000002</IdRegistrazione></InviaEventoRisposta>`
}

// envelope puts a body into a message.
func envelope(body string) string { return string(soap.AppendEnvelope(nil, soap.V12, []byte(body))) }

// faultOf is a fault of the contract.
func faultOf(codes ...string) string {
	var detail strings.Builder
	detail.WriteString(`<ErroreSinba xmlns="urn:sinba:eventi:v1"><IdTransazione>01900000-0000-7000-8000-000000000003</IdTransazione>` +
		`<DataOra>2024-04-12T08:50:04.162Z</DataOra><AnomalieTotali>` + strconv.Itoa(len(codes)) + `</AnomalieTotali>`)
	for _, code := range codes {
		detail.WriteString(`<Anomalia><Codice>` + code + `</Codice><Rilevanza>GRAVE</Rilevanza><Posizione>/InviaEventoRichiesta</Posizione>` +
			`<Riga>7</Riga><Descrizione>perché ` + canary + `</Descrizione><DescrizioneEN>because</DescrizioneEN><Regola>BR-01</Regola>` +
			`<Riferimento>https://hub.example/docs/codici#` + code + `</Riferimento></Anomalia>`)
	}
	return string(soap.AppendFault(nil, soap.V12, soap.Fault{Code: soap.Sender, ReasonIT: canary, Detail: []byte(detail.String() + `</ErroreSinba>`)}))
}

// request is what arrived.
type request struct {
	header http.Header
	body   string
}

// hub answers requests with a script, its last line for ever.
type hub struct {
	*httptest.Server

	mu       sync.Mutex
	requests []request
}

// answer is one line of a script.
type answer func(http.ResponseWriter, *http.Request)

// says answers with a status, a body and headers given as name, value.
func says(status int, body string, headers ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// raw answers with bytes below HTTP, then closes the connection.
func raw(text string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func play(t *testing.T, script ...answer) *hub {
	t.Helper()
	h := &hub{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.requests = append(h.requests, request{r.Header.Clone(), string(body)})
		line := script[min(len(h.requests), len(script))-1]
		h.mu.Unlock()
		line(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// arrived are the requests so far.
func (h *hub) arrived() []request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]request(nil), h.requests...)
}

// clock is a client's time: it stands still but for the pauses.
type clock struct {
	mu     sync.Mutex
	at     time.Time
	pauses []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) wait(ctx context.Context, pause time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.pauses = c.at.Add(pause), append(c.pauses, pause)
	return ctx.Err()
}

// connect makes a client of the hub whose pauses take no time and are as long as they may be.
func (h *hub) connect(t *testing.T, change ...func(*client.Config)) (*client.Client, *clock) {
	t.Helper()
	cfg := client.Config{URL: h.URL + "/soap", User: "aster", Password: "segreto-" + canary}
	for _, c := range change {
		c(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	at := &clock{at: time.Now()}
	c.SetClock(at.now, at.wait)
	c.SetJitter(func(below time.Duration) time.Duration { return below })
	return c, at
}

// once makes a client that never repeats.
func once(cfg *client.Config) { cfg.Attempts = 1 }

// mustNotTell fails if an error says anything of a message.
func mustNotTell(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "<")) {
		t.Errorf("the error tells of the message: %v", err)
	}
}

// exampleHub answers three operations, for the examples.
func exampleHub() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := receiptOf(client.Accettato)
		switch {
		case strings.Contains(r.Header.Get("Content-Type"), "statoEvento"):
			body = `<StatoEventoRisposta xmlns="urn:sinba:eventi:v1"><IdEvento>` + idEvent + `</IdEvento><IdRicevuta>01900000-0000-7000-8000-000000000001</IdRicevuta>` +
				`<Stato>CONFERMATO</Stato><DataOraStato>2024-04-12T08:50:04Z</DataOraStato><Tentativi>1</Tentativi><ProtocolloNazionale>SISS-1</ProtocolloNazionale></StatoEventoRisposta>`
		case strings.Contains(r.Header.Get("Content-Type"), "verificaEvento"):
			body = `<VerificaEventoRisposta xmlns="urn:sinba:eventi:v1"><Conforme>false</Conforme><EsitoPrevisto>RIFIUTATO</EsitoPrevisto><VersioneSchema>1.0</VersioneSchema>` +
				`<Anomalia><Codice>SINBA_201</Codice><Posizione>/VerificaEventoRichiesta</Posizione></Anomalia></VerificaEventoRisposta>`
		}
		_, _ = io.WriteString(w, envelope(body))
	}))
}

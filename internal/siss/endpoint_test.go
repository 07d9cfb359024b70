package siss_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// endpoint is a running simulator and the file it keeps.
type endpoint struct {
	*siss.Simulator

	received string
	stop     func()
	client   *http.Client
}

// start runs a simulator on free ports until the test ends or stop is called.
func start(t *testing.T, cfg siss.Config) *endpoint {
	t.Helper()
	if cfg.Received == "" {
		cfg.Received = filepath.Join(t.TempDir(), "received.jsonl")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Logger = zap.NewNop()
	s, err := siss.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var stopped atomic.Bool
	transport := &http.Transport{}
	e := &endpoint{Simulator: s, received: cfg.Received, client: &http.Client{Transport: transport}}
	e.stop = func() {
		if stopped.Swap(true) {
			return
		}
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(e.stop)
	return e
}

// post sends an element in a SOAP 1.2 envelope.
func (e *endpoint) post(t *testing.T, element string) (status int, body string, err error) {
	t.Helper()
	return e.postRaw(t, soap.V12.ContentType(), string(soap.AppendEnvelope(nil, soap.V12, []byte(element))))
}

func (e *endpoint) postRaw(t *testing.T, contentType, message string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL(), strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	response, err := e.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

// mustPost is post for answers that must come with that status.
func (e *endpoint) mustPost(t *testing.T, want int, element string) string {
	t.Helper()
	status, body, err := e.post(t, element)
	if err != nil {
		t.Fatal(err)
	}
	if status != want {
		t.Fatalf("status %d, want %d: %s", status, want, body)
	}
	return body
}

// lines reads the file of received transmissions.
func (e *endpoint) lines(t *testing.T) []map[string]string {
	t.Helper()
	b, err := os.ReadFile(e.received)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for line := range bytes.Lines(b) {
		var one map[string]string
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("line %.80q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// national is a national event of a type, told from others by its sequence number.
func national(tipo string, sequence int) string {
	detail := map[string]string{
		"APERTURA_CARTELLA": `<AperturaCartella><CanaleAccesso>SPORTELLO</CanaleAccesso></AperturaCartella>`,
		"SEGNALAZIONE": `<Segnalazione><IdSegnalazione>CCCCCCCCCCCCCCCCCCCC</IdSegnalazione><MeseSegnalazione>2026-03</MeseSegnalazione>` +
			`<PrimaSegnalazione>1</PrimaSegnalazione><FonteSegnalazione>1</FonteSegnalazione><SegnalazioneAutoritaGiudiziaria>2</SegnalazioneAutoritaGiudiziaria></Segnalazione>`,
	}[tipo]
	return `<EventoNazionale xmlns="urn:sinba:siss:v1"><Testata><IdEvento>AAAAAAAAAAAAAAAAAAAA</IdEvento><TipoEvento>` + tipo +
		`</TipoEvento><TipoOperazione>I</TipoOperazione><ProgressivoCartella>` + strconv.Itoa(sequence) + `</ProgressivoCartella><MeseEvento>2026-03</MeseEvento></Testata>` +
		`<Soggetto><Identificativo><IDBeneficiario>BBBBBBBBBBBBBBBBBBBB</IDBeneficiario></Identificativo></Soggetto>` +
		`<Cartella><IdCartella>DDDDDDDDDDDDDDDDDDDD</IdCartella><MeseApertura>2026-01</MeseApertura></Cartella>` +
		`<Dettaglio>` + detail + `</Dettaglio></EventoNazionale>`
}

func transmit(id uuid.UUID, event string) string {
	return `<TrasmettiEventoRichiesta xmlns="urn:sinba:siss:v1"><IdTrasmissione>` + id.String() +
		`</IdTrasmissione><CodiceEnte>ZD-VALDERA</CodiceEnte><CodiceRegione>17</CodiceRegione>` + event + `</TrasmettiEventoRichiesta>`
}

func askState(id uuid.UUID) string {
	return `<StatoTrasmissioneRichiesta xmlns="urn:sinba:siss:v1"><IdTrasmissione>` + id.String() + `</IdTrasmissione></StatoTrasmissioneRichiesta>`
}

// field gives the content of the first element with that name.
func field(body, name string) string {
	_, rest, _ := strings.Cut(body, "<"+name+">")
	value, _, _ := strings.Cut(rest, "</"+name+">")
	return value
}

// conforms checks an answer against the schemas of the contract.
func conforms(t *testing.T, body string) {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{xsd.SissRicezione, xsd.EventoNazionale, xsd.SoapFault} {
		b, err := xsd.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	main := xsd.SissRicezione
	if strings.Contains(body, ":Fault>") {
		main = xsd.SoapFault
	}
	schema, err := xmlschema.Compile(main, files)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = schema.Close() }()
	verdict, err := schema.Check([]byte(body), xmlschema.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if verdict.Status != xmlschema.Valid || verdict.SOAP != 2 {
		t.Errorf("answer does not conform (%+v): %s", verdict, body)
	}
}

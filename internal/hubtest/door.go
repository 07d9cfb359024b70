package hubtest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Sender posts to the SOAP door as one participant.
type Sender struct {
	URL, User, Password string
	Client              *http.Client
}

// Sender speaks for an ente of the demo.
func (h *Hub) Sender(ente string) Sender {
	h.tb.Helper()
	p := h.Participant(ente)
	return Sender{
		URL: h.Run.SoapURL, User: p.APIUser, Password: h.Password(p),
		Client: &http.Client{
			Timeout:   time.Minute,
			Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: time.Minute},
		},
	}
}

// Request is a POST of a whole body with the headers of the SOAP version; tests change it before
// they hand it to Do.
func (s Sender) Request(ctx context.Context, v soap.Version, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", v.ContentType())
	if v == soap.V11 {
		r.Header.Set("SOAPAction", `""`)
	}
	r.SetBasicAuth(s.User, s.Password)
	return r, nil
}

// Send puts a document into an envelope of its own and posts it.
func (s Sender) Send(ctx context.Context, v soap.Version, document []byte) (*Answer, error) {
	r, err := s.Request(ctx, v, soap.AppendEnvelope(nil, v, soap.TrimDeclaration(document)))
	if err != nil {
		return nil, err
	}
	return s.Do(r)
}

// Do sends a request and reads the answer.
func (s Sender) Do(r *http.Request) (*Answer, error) {
	response, err := s.Client.Do(r) //nolint:gosec // a hub of the test's own
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return readAnswer(response.StatusCode, response.Header, body), nil
}

// Answer is what came back, and what was readable of it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Version of the envelope, 0 if the body is none.
	Version soap.Version
	// One of these is set for an answer of the contract.
	Receipt *Receipt
	Lot     *Lot
	Report  *Report
	State   *State
	Fault   *Fault
}

// Receipt is RicevutaEventoType.
type Receipt struct {
	IDRicevuta      string    `xml:"IdRicevuta"`
	IDMessaggio     string    `xml:"IdMessaggio"`
	IDEvento        string    `xml:"IdEvento"`
	Esito           string    `xml:"Esito"`
	Received        string    `xml:"DataOraRicezione"`
	Impronta        string    `xml:"ImprontaMessaggio"`
	Sale            string    `xml:"SaleImpronta"`
	IDRegistrazione string    `xml:"IdRegistrazione"`
	Avvisi          []Finding `xml:"Avviso"`
}

// Lot is EsitoLottoType.
type Lot struct {
	IDLotto string    `xml:"IdLotto"`
	Esiti   []Outcome `xml:"EsitoEvento"`
}

// Outcome is EsitoEventoType: exactly one of Receipt and Refusal is set.
type Outcome struct {
	Position int      `xml:"Posizione"`
	IDEvento string   `xml:"IdEvento"`
	Receipt  *Receipt `xml:"Ricevuta"`
	Refusal  *Refusal `xml:"Errore"`
}

// Refusal is ErroreSinbaType.
type Refusal struct {
	Transaction string    `xml:"IdTransazione"`
	Total       int       `xml:"AnomalieTotali"`
	Findings    []Finding `xml:"Anomalia"`
}

// Report is RapportoVerificaType.
type Report struct {
	Conforme bool      `xml:"Conforme"`
	Expected string    `xml:"EsitoPrevisto"`
	Findings []Finding `xml:"Anomalia"`
}

// State is StatoEventoType.
type State struct {
	IDEvento   string `xml:"IdEvento"`
	IDRicevuta string `xml:"IdRicevuta"`
	Stato      string `xml:"Stato"`
	Attempts   int    `xml:"Tentativi"`
	Protocol   string `xml:"ProtocolloNazionale"`
}

// Fault is a SOAP fault of either version with its detail ErroreSinba.
type Fault struct {
	// Code is the fault code without its prefix: Client, Sender, MustUnderstand.
	Code        string
	Transaction string
	Total       int
	Findings    []Finding
}

// Finding is AnomaliaType.
type Finding struct {
	Codice    string `xml:"Codice"`
	Rilevanza string `xml:"Rilevanza"`
	Posizione string `xml:"Posizione"`
	Riga      int    `xml:"Riga"`
}

// Receipts are those of an answer by their positions in a lot; a single event has 0.
func (a *Answer) Receipts() map[int]*Receipt {
	all := map[int]*Receipt{}
	if a.Receipt != nil {
		all[0] = a.Receipt
	}
	if a.Lot != nil {
		for _, o := range a.Lot.Esiti {
			if o.Receipt != nil {
				all[o.Position] = o.Receipt
			}
		}
	}
	return all
}

// Codes lists the codes of findings in their order.
func Codes(findings []Finding) []string {
	codes := make([]string, len(findings))
	for i, f := range findings {
		codes[i] = f.Codice
	}
	return codes
}

// readAnswer reads the hub's own XML; what is none is left out.
func readAnswer(status int, header http.Header, body []byte) *Answer {
	a := &Answer{Status: status, Header: header, Body: body}
	var envelope struct {
		XMLName xml.Name `xml:"Envelope"`
		Body    struct {
			Receipt *Receipt `xml:"urn:sinba:eventi:v1 InviaEventoRisposta"`
			Lot     *Lot     `xml:"urn:sinba:eventi:v1 InviaLottoRisposta"`
			Report  *Report  `xml:"urn:sinba:eventi:v1 VerificaEventoRisposta"`
			State   *State   `xml:"urn:sinba:eventi:v1 StatoEventoRisposta"`
			Fault   *struct {
				Code11   string  `xml:"faultcode"`
				Code12   string  `xml:"Code>Value"`
				Detail11 Refusal `xml:"detail>ErroreSinba"`
				Detail12 Refusal `xml:"Detail>ErroreSinba"`
			} `xml:"Fault"`
		} `xml:"Body"`
	}
	if xml.Unmarshal(body, &envelope) != nil {
		return a
	}
	for _, v := range []soap.Version{soap.V11, soap.V12} {
		if envelope.XMLName.Space == v.Namespace() {
			a.Version = v
		}
	}
	a.Receipt, a.Lot, a.Report, a.State = envelope.Body.Receipt, envelope.Body.Lot, envelope.Body.Report, envelope.Body.State
	if f := envelope.Body.Fault; f != nil {
		code, detail := f.Code11, f.Detail11
		if a.Version == soap.V12 {
			code, detail = f.Code12, f.Detail12
		}
		a.Fault = &Fault{Code: code[strings.LastIndexByte(code, ':')+1:], Transaction: detail.Transaction, Total: detail.Total, Findings: detail.Findings}
	}
	return a
}

// Command gowsdl calls a hub with the client that gowsdl generates from the served WSDL, and tells
// what that client cannot do. It does not compile here: internal/hubtest/gowsdl_test.go copies the
// module, generates the package sinba into the copy, and builds it there.
//
// Usage: gowsdl SOAP_URL USER PASSWORD_FILE ID_EVENTO
package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/hooklift/gowsdl/soap"

	"github.com/sinbahub/sinbahub/internal/hubtest/clients/gowsdl/sinba"
)

// report is what the test reads.
type report struct {
	Messaggio   string `json:"messaggio"`
	Disponibile bool   `json:"disponibile"`
	IDEvento    string `json:"id_evento"`
	Stato       string `json:"stato"`
	Tentativi   int    `json:"tentativi"`

	// What is wrong with the client, each as it was seen.
	InstantRead  bool   `json:"instant_read"`   // an instant of an answer has a value
	Fault        string `json:"fault"`          // the type of error a fault gives
	FaultIsXML   bool   `json:"fault_is_xml"`   // its text is the whole answer
	Fault200     string `json:"fault_200"`      // the same with HTTP 200
	Fault200Text string `json:"fault_200_text"` // all that is left of its detail
	DryRun       string `json:"dry_run"`        // a verificaEvento as it is written, with a day and an instant
	DryRunCode   string `json:"dry_run_code"`   // what the hub says to it
	Bounded      string `json:"bounded"`        // the kind of a list of at most three
	LotWritten   string `json:"lot_written"`    // the error of writing a lot
	LotRead      string `json:"lot_read"`       // the error of reading a lot's answer
	Closes       bool   `json:"closes"`         // the connection is closed after each call
	Empty        bool   `json:"empty"`          // an empty Body counts as an answer
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: gowsdl SOAP_URL USER PASSWORD_FILE ID_EVENTO")
		os.Exit(2)
	}
	out, err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url, user, passwordFile, event string) (*report, error) {
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return nil, err
	}
	service := sinba.NewSinbaEventiPortType(soap.NewClient(url, soap.WithBasicAuth(user, strings.TrimSpace(string(password)))))
	out := &report{}

	message := sinba.Testo100Type("però <1 & più>")
	echo, err := service.Echo(&sinba.EchoType{Messaggio: &message})
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	out.Messaggio, out.Disponibile = string(*echo.Messaggio), echo.Disponibile
	out.InstantRead = *echo.DataOra != sinba.DataOraTzType{}

	id := sinba.UuidType(event)
	state, err := service.StatoEvento(&sinba.RichiestaStatoType{IdEvento: &id})
	if err != nil {
		return nil, fmt.Errorf("statoEvento: %w", err)
	}
	out.IDEvento, out.Stato, out.Tentativi = string(*state.IdEvento), string(*state.Stato), int(*state.Tentativi)

	unknown := sinba.UuidType("00000000-0000-4000-8000-000000000000")
	_, err = service.StatoEvento(&sinba.RichiestaStatoType{IdEvento: &unknown})
	out.Fault, out.FaultIsXML = fmt.Sprintf("%T", err), err != nil && strings.Contains(err.Error(), "<ErroreSinba")

	out.writes()
	var refused *soap.HTTPError
	if _, err = service.VerificaEvento(&sinba.MessaggioEventoType{}); errors.As(err, &refused) {
		if _, rest, found := strings.Cut(string(refused.ResponseBody), "<Codice>"); found {
			out.DryRunCode = rest[:len("SINBA_000")]
		}
	}
	out.reads()
	return out, nil
}

// writes looks at requests without sending them.
func (out *report) writes() {
	day := sinba.GiornoType(soap.CreateXsdDate(time.Unix(0, 0), false))
	instant := sinba.DataOraTzType(soap.CreateXsdDateTime(time.Unix(0, 0), true))
	written, err := xml.Marshal(&sinba.MessaggioEventoType{
		Testata:  &sinba.TestataType{DataOraEvento: &instant},
		Cartella: &sinba.RiferimentoCartellaType{DataApertura: &day},
	})
	out.DryRun = string(written)
	if err != nil {
		out.DryRun = err.Error()
	}
	field, _ := reflect.TypeFor[sinba.ValutazioneType]().FieldByName("ValutazioneMinore")
	out.Bounded = field.Type.Kind().String()
	if _, err := xml.Marshal(&sinba.LottoType{Evento: &sinba.MessaggioEventoType{}}); err != nil {
		out.LotWritten = err.Error()
	}
	var lot sinba.EsitoLottoType
	if err := xml.Unmarshal([]byte(`<InviaLottoRisposta xmlns="urn:sinba:eventi:v1"><EsitoEvento><Ricevuta/></EsitoEvento></InviaLottoRisposta>`), &lot); err != nil {
		out.LotRead = err.Error()
	}
}

// reads looks at what becomes of answers of an endpoint of its own.
func (out *report) reads() {
	body := `<soap:Fault><faultcode>soap:Client</faultcode><faultstring>text</faultstring><detail><ErroreSinba xmlns="urn:sinba:eventi:v1"><IdTransazione>` +
		`x</IdTransazione></ErroreSinba></detail></soap:Fault>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out.Closes = r.Close
		_, _ = fmt.Fprintf(w, `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>%s</soap:Body></soap:Envelope>`, body)
	}))
	defer server.Close()
	service := sinba.NewSinbaEventiPortType(soap.NewClient(server.URL))
	_, err := service.Echo(&sinba.EchoType{})
	out.Fault200 = fmt.Sprintf("%T", err)
	if err != nil {
		out.Fault200Text = err.Error()
	}
	var fault *soap.SOAPFault
	if errors.As(err, &fault) && fault.Detail != nil {
		out.Fault200Text += fmt.Sprintf(" %+v", fault.Detail)
	}
	body = ""
	answer, err := service.Echo(&sinba.EchoType{})
	out.Empty = err == nil && answer != nil && answer.VersioneServizio == nil
}

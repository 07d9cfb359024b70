package app

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// SendOptions say where to send event documents and as whom.
type SendOptions struct {
	URL          string
	User         string
	PasswordFile string
	JSON         bool
	Verify       bool // verificaEvento instead of inviaEvento
	// Var has the run.json whose addresses and participants are the defaults.
	Var string
}

// Sent is what came of one document.
type Sent struct {
	File       string      `json:"file"`
	Status     int         `json:"http_status"`
	Esito      string      `json:"esito"`
	IDEvento   string      `json:"id_evento,omitempty"`
	IDRicevuta string      `json:"id_ricevuta,omitempty"`
	Anomalie   []SentFault `json:"anomalie,omitempty"`
}

// SentFault is one violation or warning of an answer.
type SentFault struct {
	Codice      string `json:"codice" xml:"Codice"`
	Rilevanza   string `json:"rilevanza" xml:"Rilevanza"`
	Posizione   string `json:"posizione" xml:"Posizione"`
	Riga        int    `json:"riga,omitempty" xml:"Riga"`
	Regola      string `json:"regola,omitempty" xml:"Regola"`
	Descrizione string `json:"descrizione" xml:"Descrizione"`
}

// ErrRefused says that at least one document was refused; ErrUnreachable that the hub did not
// answer at all.
var (
	ErrRefused     = errors.New("at least one document was refused")
	ErrUnreachable = errors.New("the hub could not be reached")
)

// Send sends each file in an envelope of its own and prints a table, or JSON lines. The error is
// ErrRefused or ErrUnreachable, or says what is wrong with a file.
func Send(ctx context.Context, out io.Writer, o SendOptions, files []string) error {
	s, err := newSender(o)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	refused := false
	for _, file := range files {
		sent, err := s.send(ctx, file)
		if err != nil {
			_ = table.Flush()
			return err
		}
		refused = refused || !strings.HasPrefix(sent.Esito, "ACCETTATO") && sent.Esito != "DUPLICATO"
		if err := printSent(out, table, o.JSON, sent); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if refused {
		return ErrRefused
	}
	return nil
}

// sender knows where to send and as whom.
type sender struct {
	options SendOptions
	client  *http.Client
	run     RunFile
}

// newSender fills what was left open from var/run.json.
func newSender(o SendOptions) (*sender, error) {
	s := &sender{options: o, client: &http.Client{Timeout: 30 * time.Second}}
	if o.URL != "" && o.User != "" {
		return s, nil
	}
	run, ok, err := ReadRunFile(o.Var)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: no run.json; start the demo or name --url, --user and --password-file", ErrUnreachable)
	}
	s.run = run
	if s.options.URL == "" {
		s.options.URL = run.SoapURL
	}
	return s, nil
}

// credential is the one asked for, or the demo's participant of the document's ente (the first
// participant for a document without a known one).
func (s *sender) credential(document []byte) (user, password string, err error) {
	if s.options.User != "" {
		password, err = readPassword(s.options.PasswordFile)
		return s.options.User, password, err
	}
	if len(s.run.Participants) == 0 {
		return "", "", errors.New("run.json names no participants")
	}
	chosen := s.run.Participants[0]
	for _, p := range s.run.Participants {
		if enteOf(document) == p.Ente {
			chosen = p
			break
		}
	}
	password, err = readPassword(chosen.APIPasswordFile)
	return chosen.APIUser, password, err
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func printSent(out, table io.Writer, asJSON bool, sent Sent) error {
	if asJSON {
		line, err := json.Marshal(sent)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		_, err = fmt.Fprintf(out, "%s\n", line)
		return err
	}
	if _, err := fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", filepath.Base(sent.File), sent.Status, sent.Esito, sent.IDRicevuta); err != nil {
		return err
	}
	for _, a := range sent.Anomalie {
		if _, err := fmt.Fprintf(table, "    %s %s  %s: %s\n", a.Codice, a.Rilevanza, a.Posizione, a.Descrizione); err != nil {
			return err
		}
	}
	return nil
}

// send posts one document in a SOAP 1.2 envelope.
func (s *sender) send(ctx context.Context, file string) (Sent, error) {
	document, err := readDocument(file)
	if err != nil {
		return Sent{}, err
	}
	if s.options.Verify {
		document = bytes.ReplaceAll(document, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta"))
	}
	user, password, err := s.credential(document)
	if err != nil {
		return Sent{}, err
	}
	status, answer, err := s.call(ctx, user, password, document)
	if err != nil {
		return Sent{}, err
	}
	sent := readSent(answer)
	sent.File, sent.Status = file, status
	return sent, nil
}

// readDocument reads an event document, fit to stand in an envelope.
func readDocument(file string) ([]byte, error) {
	document, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return soap.TrimDeclaration(document), nil
}

// call posts a body's content and reads the answer.
func (s *sender) call(ctx context.Context, user, password string, content []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.options.URL, bytes.NewReader(soap.AppendEnvelope(nil, soap.V12, content)))
	if err != nil {
		return 0, nil, fmt.Errorf("address: %w", err)
	}
	request.Header.Set("Content-Type", soap.V12.ContentType())
	request.SetBasicAuth(user, password)
	response, err := s.client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer response.Body.Close() //nolint:errcheck // nothing can be done about it
	answer, err = io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return response.StatusCode, answer, nil
}

// readSent reads the hub's own answer: a receipt, a report or a fault.
func readSent(answer []byte) Sent {
	var envelope struct {
		XMLName xml.Name `xml:"Envelope"`
		Body    struct {
			Receipt *struct {
				IDRicevuta string      `xml:"IdRicevuta"`
				IDEvento   string      `xml:"IdEvento"`
				Esito      string      `xml:"Esito"`
				Avvisi     []SentFault `xml:"Avviso"`
			} `xml:"InviaEventoRisposta"`
			Report *struct {
				Esito    string      `xml:"EsitoPrevisto"`
				Anomalie []SentFault `xml:"Anomalia"`
			} `xml:"VerificaEventoRisposta"`
			Fault *struct {
				// A fault before the envelope was read may come in SOAP 1.1.
				Anomalie   []SentFault `xml:"Detail>ErroreSinba>Anomalia"`
				Anomalie11 []SentFault `xml:"detail>ErroreSinba>Anomalia"`
			} `xml:"Fault"`
		} `xml:"Body"`
	}
	if err := xml.Unmarshal(answer, &envelope); err != nil {
		return Sent{Esito: "RISPOSTA_ILLEGGIBILE"}
	}
	switch b := envelope.Body; {
	case b.Receipt != nil:
		return Sent{Esito: b.Receipt.Esito, IDEvento: b.Receipt.IDEvento, IDRicevuta: b.Receipt.IDRicevuta, Anomalie: b.Receipt.Avvisi}
	case b.Report != nil:
		return Sent{Esito: b.Report.Esito, Anomalie: b.Report.Anomalie}
	case b.Fault != nil:
		return Sent{Esito: "RIFIUTATO", Anomalie: append(b.Fault.Anomalie, b.Fault.Anomalie11...)}
	}
	return Sent{Esito: "RIFIUTATO"}
}

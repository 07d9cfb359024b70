package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/sinbahub/sinbahub/pkg/client"
)

// SendOptions say where to send event documents and as whom.
type SendOptions struct {
	URL          string
	User         string
	PasswordFile string
	JSON         bool
	Verify       bool // verificaEvento instead of inviaEvento
	Lot          bool // inviaLotto, as many events in each as the contract allows
	// Var has the run.json whose addresses and participants are the defaults.
	Var string
}

// Sent is what came of one document.
type Sent struct {
	File       string `json:"file"`
	Status     int    `json:"http_status"`
	Esito      string `json:"esito"`
	IDEvento   string `json:"id_evento,omitempty"`
	IDRicevuta string `json:"id_ricevuta,omitempty"`
	// RetryAfter is after how many seconds to send the same again, if the hub said so: it judged
	// nothing then, and stored nothing that is known.
	RetryAfter int         `json:"retry_after_s,omitempty"`
	Anomalie   []SentFault `json:"anomalie,omitempty"`
}

// SentFault is one violation or warning of an answer.
type SentFault struct {
	Codice      string `json:"codice"`
	Rilevanza   string `json:"rilevanza"`
	Posizione   string `json:"posizione"`
	Riga        int    `json:"riga,omitempty"`
	Regola      string `json:"regola,omitempty"`
	Descrizione string `json:"descrizione"`
}

// ErrRefused says that at least one document was refused; ErrUnreachable that the hub did not
// answer at all.
var (
	ErrRefused     = errors.New("at least one document was refused")
	ErrUnreachable = errors.New("the hub could not be reached")
)

// Send sends each file in an envelope of its own, or all of them in lots, and prints a table, or JSON
// lines. The error is ErrRefused or ErrUnreachable, or says what is wrong with a file.
func Send(ctx context.Context, out io.Writer, o SendOptions, files []string) error {
	if o.Lot && o.Verify {
		return errLotVerify
	}
	s, err := newSender(o)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	send := s.sendEach
	if o.Lot {
		send = s.sendLots
	}
	refused, err := send(ctx, out, table, files)
	if flushed := table.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("print: %w", flushed)
	}
	if err == nil && refused {
		err = ErrRefused
	}
	return err
}

// sendEach sends the files one by one and prints what came of each.
func (s *sender) sendEach(ctx context.Context, out io.Writer, table *tabwriter.Writer, files []string) (refused bool, err error) {
	for _, file := range files {
		sent, err := s.send(ctx, file)
		if err != nil {
			return refused, err
		}
		refused = refused || !sent.accepted()
		if err := printSent(out, table, s.options.JSON, sent); err != nil {
			return refused, err
		}
	}
	return refused, nil
}

// accepted tells whether the hub has the event, or would take it.
func (s Sent) accepted() bool {
	return strings.HasPrefix(s.Esito, "ACCETTATO") || s.Esito == "DUPLICATO"
}

// sender knows where to send and as whom.
type sender struct {
	options SendOptions
	run     RunFile
	// clients are those made so far, by user.
	clients map[string]*client.Client
}

// newSender fills what was left open from var/run.json.
func newSender(o SendOptions) (*sender, error) {
	s := &sender{options: o, clients: map[string]*client.Client{}}
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

// client speaks for the sender of a document. It never repeats an event sent alone: whoever sends by
// hand sees what happened and decides.
func (s *sender) client(document []byte) (*client.Client, error) {
	user, password, err := s.credential(document)
	if err != nil {
		return nil, err
	}
	if known, ok := s.clients[user]; ok {
		return known, nil
	}
	attempts := 1
	if s.options.Lot {
		attempts = lotAttempts
	}
	made, err := client.New(client.Config{URL: s.options.URL, User: user, Password: password, Attempts: attempts})
	if err != nil {
		return nil, err
	}
	s.clients[user] = made
	return made, nil
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
	if sent.RetryAfter > 0 {
		if _, err := fmt.Fprintf(table, "    no verdict: send the same again in %d s\n", sent.RetryAfter); err != nil {
			return err
		}
	}
	return nil
}

// send sends one document in a SOAP 1.2 envelope.
func (s *sender) send(ctx context.Context, file string) (Sent, error) {
	document, err := readDocument(file)
	if err != nil {
		return Sent{}, err
	}
	c, err := s.client(document)
	if err != nil {
		return Sent{}, err
	}
	var sent Sent
	if s.options.Verify {
		sent, err = verify(ctx, c, bytes.ReplaceAll(document, []byte("InviaEventoRichiesta"), []byte("VerificaEventoRichiesta")))
	} else {
		sent, err = submit(ctx, c, document)
	}
	if err == nil {
		sent.Status = http.StatusOK
	} else if sent, err = sentOf(sent, err); err != nil {
		return Sent{}, fmt.Errorf("send %s: %w", filepath.Base(file), err)
	}
	sent.File = file
	return sent, nil
}

// submit is inviaEvento.
func submit(ctx context.Context, c *client.Client, document []byte) (Sent, error) {
	receipt, err := c.InviaEvento(ctx, document)
	if receipt == nil {
		return Sent{}, err
	}
	return Sent{Esito: receipt.Esito, IDEvento: receipt.IDEvento, IDRicevuta: receipt.IDRicevuta, Anomalie: faultsOf(receipt.Avvisi)}, err
}

// verify is verificaEvento.
func verify(ctx context.Context, c *client.Client, document []byte) (Sent, error) {
	report, err := c.VerificaEvento(ctx, document)
	if err != nil {
		return Sent{}, err
	}
	return Sent{Esito: report.EsitoPrevisto, Anomalie: faultsOf(report.Anomalie)}, nil
}

// sentOf makes a line of an error that is an answer: a refusal, something unreadable, or a receipt
// that does not prove its document. Any other error stays one; ErrUnreachable if nobody answered.
func sentOf(sent Sent, err error) (Sent, error) {
	if fault, ok := errors.AsType[*client.FaultError](err); ok {
		return Sent{
			Status: fault.Status, Esito: "RIFIUTATO", Anomalie: faultsOf(fault.Anomalie),
			RetryAfter: int(math.Ceil(fault.RetryAfter.Seconds())),
		}, nil
	}
	if errors.Is(err, client.ErrReceipt) {
		sent.Status, sent.Esito = http.StatusOK, "RICEVUTA_ERRATA"
		return sent, nil
	}
	if unusable, ok := errors.AsType[*client.AnswerError](err); ok {
		if unusable.Reason == client.NoAnswer || unusable.Reason == client.Cut {
			return Sent{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return Sent{Status: unusable.Status, Esito: "RISPOSTA_ILLEGGIBILE"}, nil
	}
	return Sent{}, err
}

// faultsOf lists the findings of an answer.
func faultsOf(violations []client.Violation) []SentFault {
	var faults []SentFault
	for _, v := range violations {
		faults = append(faults, SentFault{
			Codice: v.Codice, Rilevanza: v.Rilevanza, Posizione: v.Posizione, Riga: v.Riga, Regola: v.Regola, Descrizione: v.Descrizione,
		})
	}
	return faults
}

// readDocument reads an event document.
func readDocument(file string) ([]byte, error) {
	document, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return document, nil
}

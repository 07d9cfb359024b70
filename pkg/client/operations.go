package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// namespace is the contract's only one.
const namespace = "urn:sinba:eventi:v1"

// operation is one of the contract, by the name its elements begin with.
type operation string

// The operations.
const (
	inviaEvento     operation = "InviaEvento"
	inviaLotto      operation = "InviaLotto"
	verificaEvento  operation = "VerificaEvento"
	statoEvento     operation = "StatoEvento"
	riepilogoEventi operation = "RiepilogoEventi"
	echo            operation = "Echo"
)

// action is the WSDL's soapAction. The hub refuses a body of another operation than the action
// says, so that it is always sent.
func (o operation) action() string {
	return namespace + "/" + strings.ToLower(string(o[:1])) + string(o[1:])
}

func (o operation) request() string { return string(o) + "Richiesta" }

func (o operation) response() string { return string(o) + "Risposta" }

// checkDocument refuses a document that is another operation's request. What it is otherwise, the
// hub tells better; nil stands for a document that cannot be read here.
func (o operation) checkDocument(document []byte) (*element, error) {
	root := parse(document)
	if root == nil {
		return nil, nil
	}
	for _, other := range []operation{inviaEvento, inviaLotto, verificaEvento, statoEvento, riepilogoEventi, echo} {
		if other != o && root.name == other.request() {
			return nil, ErrOperation
		}
	}
	return root, nil
}

// InviaEvento sends an InviaEventoRichiesta and gives its receipt: the event is durable then. A
// repetition, this call's own or a later one, gives the first receipt with Esito Duplicato.
//
// With ErrReceipt, and only then, a receipt comes together with an error.
func (c *Client) InviaEvento(ctx context.Context, document []byte) (*Receipt, error) {
	event, err := inviaEvento.checkDocument(document)
	if err != nil {
		return nil, err
	}
	receipt, err := call(ctx, c, inviaEvento, document, func(r *Receipt) bool { return r.whole(event) })
	if err != nil {
		return nil, err
	}
	return receipt, receipt.verify(event)
}

// InviaLotto sends an InviaLottoRichiesta of up to 100 events and gives the outcome of each. An
// Errore of a position is not repeated here: send those events again, alone or in another lot.
//
// With ErrReceipt, and only then, the outcomes come together with an error: a receipt among them
// does not prove its event (Verify tells which).
func (c *Client) InviaLotto(ctx context.Context, document []byte) (*Lot, error) {
	lot, err := inviaLotto.checkDocument(document)
	if err != nil {
		return nil, err
	}
	outcomes, err := call(ctx, c, inviaLotto, document, func(l *Lot) bool { return l.whole(lot) })
	if err != nil {
		return nil, err
	}
	for i, event := range lot.all("Evento") {
		if receipt := outcomes.Esiti[i].Ricevuta; receipt != nil && receipt.verify(event) != nil {
			return outcomes, ErrReceipt
		}
	}
	return outcomes, nil
}

// VerificaEvento sends a VerificaEventoRichiesta, which has the same content as an
// InviaEventoRichiesta, and tells what would become of it. Nothing is stored or forwarded.
func (c *Client) VerificaEvento(ctx context.Context, document []byte) (*Report, error) {
	if _, err := verificaEvento.checkDocument(document); err != nil {
		return nil, err
	}
	return call(ctx, c, verificaEvento, document, (*Report).whole)
}

// StateQuery asks for one event by one of its ids. CodiceEnte is needed only by a participant that
// speaks for more than one ente.
type StateQuery struct {
	CodiceEnte string
	// Exactly one of these is set.
	IDEvento, IDRicevuta string
}

// StatoEvento tells where an event stands.
func (c *Client) StatoEvento(ctx context.Context, q StateQuery) (*State, error) {
	if (q.IDEvento == "") == (q.IDRicevuta == "") {
		return nil, errors.New("client: an event is asked for by exactly one of IdEvento and IdRicevuta")
	}
	question := statoEvento.question(leaf{"CodiceEnte", q.CodiceEnte}, leaf{"IdEvento", q.IDEvento}, leaf{"IdRicevuta", q.IDRicevuta})
	return call(ctx, c, statoEvento, question, func(s *State) bool {
		return isUUID(s.IDEvento) && isUUID(s.IDRicevuta) && isOf(s.IDEvento, q.IDEvento) && isOf(s.IDRicevuta, q.IDRicevuta) &&
			slices.Contains([]string{"MEMORIZZATO", "IN_INOLTRO", "CONFERMATO", "RIFIUTATO", "DA_VERIFICARE", "ANNULLATO"}, s.Stato)
	})
}

// Echo asks whether the service is there and takes messages. The message, if any, comes back.
func (c *Client) Echo(ctx context.Context, message string) (*Service, error) {
	return call(ctx, c, echo, echo.question(leaf{"Messaggio", message}), func(s *Service) bool {
		return s.VersioneServizio != "" && !s.DataOra.IsZero() && (s.Messaggio == message || !s.Disponibile)
	})
}

// SummaryQuery asks what the hub has of an ente from one day to another (of the two instants only
// the dates in their own zone count). With IDCartella the missing ProgressivoCartella of that case
// are told too. Cursore is that of the page before.
type SummaryQuery struct {
	CodiceEnte          string
	Dal, Al             time.Time
	IDCartella, Cursore string
}

// RiepilogoEventi gives one page of a vendor's own reconciliation.
func (c *Client) RiepilogoEventi(ctx context.Context, q SummaryQuery) (*Summary, error) {
	question := riepilogoEventi.question(leaf{"CodiceEnte", q.CodiceEnte}, leaf{"Dal", q.Dal.Format(time.DateOnly)},
		leaf{"Al", q.Al.Format(time.DateOnly)}, leaf{"IdCartella", q.IDCartella}, leaf{"Cursore", q.Cursore})
	return call(ctx, c, riepilogoEventi, question, func(s *Summary) bool {
		return !slices.ContainsFunc(s.Totali, func(t DayTotal) bool { return t.Numero < 0 || !isHex(t.Impronta, 64) }) &&
			!slices.ContainsFunc(s.Voci, func(e EventEntry) bool { return !isUUID(e.IDEvento) || !isUUID(e.IDRicevuta) })
	})
}

// leaf is an element of a question.
type leaf struct{ name, text string }

// question writes a request that is no document of the vendor's. Empty leaves are left out.
func (o operation) question(leaves ...leaf) []byte {
	b := []byte(`<` + o.request() + ` xmlns="` + namespace + `">`)
	for _, l := range leaves {
		if l.text != "" {
			b = soap.AppendElement(b, l.name, l.text)
		}
	}
	return append(b, `</`+o.request()+`>`...)
}

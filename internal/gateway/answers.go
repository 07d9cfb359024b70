package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// told is a receipt with what is derived for one answer.
type told struct {
	hub.Receipt
	outcome hub.Outcome
	salt    []byte // nil once the subject was erased
}

// answer opens and closes a response element of the contract around its content.
func (x *exchange) answer(content []byte) []byte {
	const open, end = ` xmlns="` + contract.Namespace + `">`, "</"
	name := x.operation.Response
	body := make([]byte, 0, len("<")+len(name)+len(open)+len(content)+len(end)+len(name)+len(">"))
	body = append(append(body, '<'), name...)
	body = append(append(body, open...), content...)
	body = append(append(body, end...), name...)
	return append(body, '>')
}

// report is what a dry run would have come to.
type report struct {
	expected   string
	violations []hub.Violation
}

// answerEvents tells what became of the request's only event, or of each of its lot.
func (g *Gateway) answerEvents(x *exchange) ([]byte, error) {
	if x.operation.Name == contract.InviaLotto {
		return g.answerLot(x)
	}
	switch e := x.events[0]; {
	case e.receipt != nil:
		return soap.AppendEnvelope(nil, x.version, x.answer(g.appendReceipt(make([]byte, 0, usualReceipt), x, e))), nil
	case e.report != nil:
		return g.reportMessage(x, e.report), nil
	default:
		return g.answerInvalid(x, e)
	}
}

// usualReceipt is room for a receipt without warnings, in bytes.
const usualReceipt = 640

// appendReceipt writes the content of RicevutaEventoType.
func (g *Gateway) appendReceipt(b []byte, x *exchange, e *sent) []byte {
	r := e.receipt
	b = soap.AppendElement(b, "IdRicevuta", r.ID.String())
	b = soap.AppendElement(b, "IdMessaggio", e.event.MessageID().String())
	b = soap.AppendElement(b, "IdEvento", e.id.String())
	b = soap.AppendElement(b, "Esito", r.outcome.String())
	b = soap.AppendElement(b, "DataOraRicezione", instant(r.ReceivedAt))
	b = soap.AppendElement(b, "ImprontaMessaggio", hex.EncodeToString(r.Commitment[:]))
	if r.salt != nil {
		b = soap.AppendElement(b, "SaleImpronta", hex.EncodeToString(r.salt))
	}
	b = soap.AppendElement(b, "IdRegistrazione", r.Registration.String())
	for _, warning := range r.Warnings {
		b = g.appendAnomalia(b, avviso, x.base, warning)
	}
	return b
}

// reportMessage writes RapportoVerificaType.
func (g *Gateway) reportMessage(x *exchange, r *report) []byte {
	b := soap.AppendElement(nil, "Conforme", strconv.FormatBool(r.expected != refusedOutcome))
	b = soap.AppendElement(b, "EsitoPrevisto", r.expected)
	b = soap.AppendElement(b, "VersioneSchema", x.schema)
	for _, v := range r.violations[:min(len(r.violations), maxTold)] {
		b = g.appendAnomalia(b, anomalia, x.base, v)
	}
	return soap.AppendEnvelope(nil, x.version, x.answer(b))
}

// refusedOutcome is codEsitoPrevisto for what would be refused.
const refusedOutcome = "RIFIUTATO"

// answerInvalid refuses, or reports the refusal if it was a dry run: verificaEvento answers with
// its report whenever the sender is authorised and the envelope readable.
func (g *Gateway) answerInvalid(x *exchange, e *sent) ([]byte, error) {
	refusal := e.refusal
	if x.operation.Name == contract.VerificaEvento && (refusal.Kind == hub.Invalid || refusal.Kind == hub.Conflict) {
		e.refusal, e.report = nil, &report{refusedOutcome, refusal.Public}
		return g.reportMessage(x, e.report), nil
	}
	return nil, refusal
}

// mostTold is how many violations the answer to a lot lists in all. One event of a lot of up to
// twenty is told as many as alone, one of a larger lot its part: an answer of a hundred times a
// hundred would be four times as large as any request.
const mostTold = 2_000

// answerLot writes EsitoLottoType: an outcome for each position, whatever became of them.
func (g *Gateway) answerLot(x *exchange) ([]byte, error) {
	frame, err := sinba.Leaves(x.verdict.Payload)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	lot, _ := frame.Value("/IdLotto")
	b := soap.AppendElement(nil, "IdLotto", lot)
	told := min(maxTold, mostTold/len(x.events))
	now := g.Now()
	for i, e := range x.events {
		b = append(b, "<EsitoEvento>"...)
		b = soap.AppendElement(b, "Posizione", strconv.Itoa(i+1))
		if e.event != nil {
			b = soap.AppendElement(b, "IdEvento", e.id.String())
		} else if id, err := uuid.Parse(e.verdict.ID); err == nil {
			b = soap.AppendElement(b, "IdEvento", id.String())
		}
		if e.receipt != nil {
			b = append(b, "<Ricevuta>"...)
			b = append(g.appendReceipt(b, x, e), "</Ricevuta>"...)
		} else {
			b = append(b, "<Errore>"...)
			b = append(g.appendErrore(b, x.base, x.id, now, e.refusal, told), "</Errore>"...)
		}
		b = append(b, "</EsitoEvento>"...)
	}
	return soap.AppendEnvelope(nil, x.version, x.answer(b)), nil
}

// outcomeOf is the outcome of an acceptance with these warnings.
func outcomeOf(warnings []hub.Violation) hub.Outcome {
	if len(warnings) > 0 {
		return hub.AcceptedWithWarnings
	}
	return hub.Accepted
}

// errQuestion says that a schema-valid question could not be read, our own defect.
var errQuestion = errors.New("question unreadable")

// answerStato tells where an event of this sender stands.
func (g *Gateway) answerStato(ctx context.Context, x *exchange) ([]byte, error) {
	question, err := g.readStato(x)
	if err != nil {
		return nil, err
	}
	state, err := g.Store.State(ctx, question)
	if err != nil {
		return nil, err
	}
	b := soap.AppendElement(nil, "IdEvento", state.Event.String())
	b = soap.AppendElement(b, "IdRicevuta", state.Receipt.String())
	b = soap.AppendElement(b, "Stato", state.Stato())
	b = soap.AppendElement(b, "DataOraStato", instant(state.At))
	b = soap.AppendElement(b, "Tentativi", strconv.Itoa(int(state.Attempts)))
	if state.Protocol != "" {
		b = soap.AppendElement(b, "ProtocolloNazionale", state.Protocol)
	}
	for _, violation := range findings(state) {
		b = g.appendAnomalia(b, anomalia, x.base, violation)
	}
	b = g.appendProva(ctx, b, state.Registration)
	return soap.AppendEnvelope(nil, x.version, x.answer(b)), nil
}

// findings are the warnings of the receipt and, of an event that SISS refused, its codes and
// never its text.
func findings(state postgres.EventState) []hub.Violation {
	all := slices.Clone(state.Warnings)
	if state.State == hub.Refused {
		for _, code := range state.Codes {
			all = append(all, hub.Violation{
				Code: hub.CodeRefusedBySISS, Severity: hub.Grave, Rule: code[:min(len(code), maxRule)], Path: "/",
			})
		}
	}
	return all[:min(len(all), maxTold)]
}

// maxRule is the longest Regola (CodiceLocaleType).
const maxRule = 36

// readStato reads RichiestaStatoType: the event by one of its ids, of one ente of this sender.
func (g *Gateway) readStato(x *exchange) (postgres.StateQuery, error) {
	question, err := sinba.Leaves(x.verdict.Payload)
	if err != nil {
		return postgres.StateQuery{}, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	q := postgres.StateQuery{Environment: g.cfg.Environment}
	for _, leaf := range question.Leaves {
		switch leaf.Path {
		case "/CodiceEnte":
			ente, ok := x.participant.Ente(leaf.Value)
			if !ok {
				return q, refuse(hub.Forbidden, hub.CodeRule23, "/"+x.operation.Request+"/CodiceEnte")
			}
			x.ente = ente
			q.Enti = []int32{ente.ID}
		case "/IdEvento":
			q.Event, err = parseID(leaf.Value)
		case "/IdRicevuta":
			q.Receipt, err = parseID(leaf.Value)
		}
		if err != nil {
			return q, err
		}
	}
	if q.Enti == nil {
		if len(x.participant.Enti) != 1 {
			return q, refuse(hub.Invalid, hub.CodeEnteNeeded, "/"+x.operation.Request)
		}
		q.Enti = []int32{x.participant.Enti[0].ID}
	}
	return q, nil
}

// parseID reads a UUID the schema already checked.
func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, hub.NewError(hub.Internal, hub.CodeInternal, errQuestion)
	}
	return id, nil
}

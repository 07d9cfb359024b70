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
	body := append([]byte("<"), x.operation.Response...)
	body = append(body, ` xmlns="`...)
	body = append(body, contract.Namespace...)
	body = append(body, `">`...)
	body = append(body, content...)
	body = append(body, "</"...)
	body = append(body, x.operation.Response...)
	return append(body, '>')
}

// receiptBody writes RicevutaEventoType.
func (g *Gateway) receiptBody(x *exchange, r told) []byte {
	b := soap.AppendElement(nil, "IdRicevuta", r.ID.String())
	b = soap.AppendElement(b, "IdMessaggio", x.event.MessageID().String())
	b = soap.AppendElement(b, "IdEvento", x.event.EventID().String())
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
	return x.answer(b)
}

// report writes RapportoVerificaType.
func (g *Gateway) report(x *exchange, expected string, violations []hub.Violation) []byte {
	b := soap.AppendElement(nil, "Conforme", strconv.FormatBool(expected != refusedOutcome))
	b = soap.AppendElement(b, "EsitoPrevisto", expected)
	b = soap.AppendElement(b, "VersioneSchema", contract.SchemaVersion)
	for _, v := range violations[:min(len(violations), maxTold)] {
		b = g.appendAnomalia(b, anomalia, x.base, v)
	}
	x.outcome = expected
	return soap.AppendEnvelope(nil, x.version, x.answer(b))
}

// refusedOutcome is codEsitoPrevisto for what would be refused.
const refusedOutcome = "RIFIUTATO"

// answerJudged answers a dry run, or refuses, with all that the event's rules and its case find.
func (g *Gateway) answerJudged(ctx context.Context, x *exchange, k *known, found []hub.Violation) ([]byte, error) {
	found, err := g.judgeInCase(ctx, x, k, found)
	switch {
	case err != nil:
		return nil, err
	case refuses(found):
		return g.answerInvalid(x, invalid(found))
	case len(found) > 0:
		return g.report(x, hub.AcceptedWithWarnings.String(), found), nil
	}
	return g.report(x, hub.Accepted.String(), nil), nil
}

// answerInvalid refuses, or reports the refusal if it was a dry run: verificaEvento answers with
// its report whenever the sender is authorised and the envelope readable.
func (g *Gateway) answerInvalid(x *exchange, err error) ([]byte, error) {
	refusal := asRefusal(err)
	if x.operation.Name == contract.VerificaEvento && (refusal.Kind == hub.Invalid || refusal.Kind == hub.Conflict) {
		return g.report(x, refusedOutcome, refusal.Public), nil
	}
	return nil, refusal
}

// answerEcho tells that the service is there and takes messages (AGID RAC_SOAP_004).
func (g *Gateway) answerEcho(x *exchange) ([]byte, error) {
	question, err := sinba.Leaves(x.verdict.Payload)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	var b []byte
	if message, ok := question.Value("/Messaggio"); ok {
		b = soap.AppendElement(b, "Messaggio", message)
	}
	b = soap.AppendElement(b, "VersioneServizio", g.cfg.Version)
	b = soap.AppendElement(b, "VersioneSchema", contract.SchemaVersion)
	b = soap.AppendElement(b, "DataOra", instant(g.Now()))
	b = soap.AppendElement(b, "Disponibile", strconv.FormatBool(!g.stopping.Load()))
	return soap.AppendEnvelope(nil, x.version, x.answer(b)), nil
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

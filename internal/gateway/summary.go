package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// mostDays is the longest period of one riepilogoEventi: a year, with its 29 February.
const mostDays = 366

// answerRiepilogo is a vendor's own reconciliation: totals and missing numbers on the first page,
// events on every one (RiepilogoEventiType).
func (g *Gateway) answerRiepilogo(ctx context.Context, x *exchange) ([]byte, error) {
	defer g.metrics.step("summarise")()
	question, err := g.readRiepilogo(x)
	if err != nil {
		return nil, err
	}
	page, err := g.Store.Summary(ctx, question)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, total := range page.Totals {
		b = append(b, "<Totale>"...)
		b = soap.AppendElement(b, "Giorno", total.Day)
		b = soap.AppendElement(b, "TipoEvento", total.Type)
		b = soap.AppendElement(b, "Numero", strconv.Itoa(int(total.Events)))
		b = soap.AppendElement(b, "Impronta", total.Digest)
		b = append(b, "</Totale>"...)
	}
	for _, event := range page.Events {
		b = append(b, "<VoceEvento>"...)
		b = soap.AppendElement(b, "IdEvento", event.Event.String())
		b = soap.AppendElement(b, "IdRicevuta", event.Place.Receipt.String())
		b = soap.AppendElement(b, "TipoEvento", event.Type)
		b = soap.AppendElement(b, "Stato", event.Stato())
		b = soap.AppendElement(b, "DataOraStato", instant(event.At))
		b = append(b, "</VoceEvento>"...)
	}
	for _, number := range page.Missing {
		b = soap.AppendElement(b, "ProgressivoMancante", strconv.Itoa(int(number)))
	}
	if page.Next != (postgres.Place{}) {
		b = soap.AppendElement(b, "Cursore", g.cursor(question, page.Next))
	}
	return soap.AppendEnvelope(nil, x.version, x.answer(b)), nil
}

// readRiepilogo reads RichiestaRiepilogoType: one ente of this sender, a period, a place in it.
// IdCartella is an identifier and leaves this method only as its keyed index.
func (g *Gateway) readRiepilogo(x *exchange) (postgres.SummaryQuery, error) {
	question, err := sinba.Leaves(x.verdict.Payload)
	if err != nil {
		return postgres.SummaryQuery{}, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	root := "/" + x.operation.Request
	code, _ := question.Value("/CodiceEnte")
	ente, ok := x.participant.Ente(code)
	if !ok {
		return postgres.SummaryQuery{}, refuse(hub.Forbidden, hub.CodeRule23, root+"/CodiceEnte")
	}
	x.ente = ente
	q := postgres.SummaryQuery{Environment: g.cfg.Environment, Ente: ente.ID}
	from, _ := question.Value("/Dal")
	to, _ := question.Value("/Al")
	if q.From, q.To, ok = period(from, to); !ok {
		return q, refuse(hub.Invalid, hub.CodePeriod, root+"/Al")
	}
	if cursor, given := question.Value("/Cursore"); given {
		if q.After, ok = g.placeOf(q, cursor); !ok {
			return q, refuse(hub.Invalid, hub.CodeCursor, root+"/Cursore")
		}
	}
	if local, given := question.Value("/IdCartella"); given {
		q.CaseIndex = g.Keys.CaseIndex(ente.Code, hub.NewIdentifier(local))
	}
	return q, nil
}

// period reads two days whose zone, if any, does not count. ok is false if the second is before
// the first or more than a year later.
func period(from, to string) (first, last string, ok bool) {
	a, errFrom := time.Parse(time.DateOnly, from[:min(len(from), len(time.DateOnly))])
	b, errTo := time.Parse(time.DateOnly, to[:min(len(to), len(time.DateOnly))])
	if errFrom != nil || errTo != nil || b.Before(a) || !b.Before(a.AddDate(0, 0, mostDays)) {
		return "", "", false
	}
	return a.Format(time.DateOnly), b.Format(time.DateOnly), true
}

// The bytes of a cursor: an instant in microseconds, a receipt, and half an HMAC over both and
// over the question they answer. None of it says anything about a child.
const (
	placeBytes  = 8 + 16
	cursorBytes = placeBytes + 16
)

// cursor is the text that asks for the page behind a place.
func (g *Gateway) cursor(q postgres.SummaryQuery, at postgres.Place) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorBytes), uint64(at.ReceivedAt.UnixMicro()))
	b = append(b, at.Receipt[:]...)
	proof := g.cursorProof(q, b)
	return base64.RawURLEncoding.EncodeToString(append(b, proof[:cursorBytes-placeBytes]...))
}

// placeOf reads a cursor. ok is false for one that this hub did not give to this question.
func (g *Gateway) placeOf(q postgres.SummaryQuery, cursor string) (at postgres.Place, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) != cursorBytes {
		return at, false
	}
	proof := g.cursorProof(q, b[:placeBytes])
	if subtle.ConstantTimeCompare(proof[:cursorBytes-placeBytes], b[placeBytes:]) != 1 {
		return at, false
	}
	at.ReceivedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // as it was written
	copy(at.Receipt[:], b[8:placeBytes])
	return at, true
}

// cursorProof binds a place to the question: a cursor of another ente, environment or period is
// foreign.
func (g *Gateway) cursorProof(q postgres.SummaryQuery, place []byte) [32]byte {
	return g.Keys.CursorMAC(q.Environment.String(), strconv.Itoa(int(q.Ente)), q.From, q.To, string(place))
}

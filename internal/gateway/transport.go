package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// exchange is one request on its way; each step fills in what it found out.
type exchange struct {
	id         uuid.UUID // IdTransazione of a fault
	receivedAt time.Time
	version    soap.Version // of the answer: the content type's until the envelope is known
	action     string
	base       string
	size       int
	reference  *Reference
	closure    *Closure

	room        *scratch // of body and content; nil before
	body        []byte
	held        int64  // bytes of the admission this request has
	arrived     bool   // the whole body
	turn        *turn  // to inspect it; nil before
	schema      string // the contract's version that it was judged by
	conforms    bool   // to the schema, with all its events
	quota       quota  // of the participant, if it has one
	quiet       bool   // not for the log: one of too many
	participant *hub.Participant
	ente        hub.Ente // of a question, or of a request's only event
	verdict     validator.Result
	operation   contract.Operation
	events      []*sent
	failed      map[[32]byte]*hub.Error // cases of which an event of this lot could not be stored
	claims      map[postgres.Key]func() // what no other request may accept meanwhile
}

// begin reads what the headers alone say, so that even an early refusal is answered in the
// sender's SOAP version.
func (g *Gateway) begin(r *http.Request) *exchange {
	x := &exchange{id: uuid.Must(uuid.NewV7()), receivedAt: g.Now(), version: soap.V11, base: g.base(r), reference: g.reference.Load(), closure: g.closure.Load()}
	if strings.Contains(r.Header.Get("Content-Type"), "application/soap+xml") {
		x.version = soap.V12
	}
	return x
}

// run reads the request, takes one of the bounded places and hands it to Exchange. A panic is
// our own defect: it refuses this one message and is logged by type, never by value.
func (g *Gateway) run(ctx context.Context, x *exchange, w http.ResponseWriter, r *http.Request) (answer []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			g.log.Error("exchange panicked", zap.String("exchange_id", x.id.String()), zap.Stack("stack"))
			answer, err = nil, hub.NewError(hub.Internal, hub.CodeInternal, errors.New("panic"))
		}
	}()
	if g.stopping.Load() {
		g.metrics.rejected.WithLabelValues(rejectStopping).Inc()
		return nil, hub.NewError(hub.Overloaded, hub.CodeStopping, nil)
	}
	if x.participant, err = g.Registry.Basic(r); err != nil {
		return nil, g.refuseStranger(x, r, asRefusal(err))
	}
	if full, ok := door.Identify(r, x.participant.ID); !ok {
		reason := rejectOverload
		if full == door.OverParticipant {
			reason = rejectShare
		}
		return nil, g.reject(x, reason)
	}
	var reason string
	if x.quota, reason = g.admission.enter(x.participant.ID, x.receivedAt); reason != "" {
		return nil, g.reject(x, reason)
	}
	defer func() { g.admission.leave(x.participant.ID, x.held) }()
	defer func() { x.turn.end(x.conforms) }()
	answer, err = g.admitted(ctx, x, w, r)
	if refusals := x.refusals(err); len(refusals) > 0 {
		// The bytes are of no use any more, and the journal may be slow.
		x.forget()
		g.recordRefusals(context.WithoutCancel(ctx), x, refusals)
	}
	return answer, err
}

// refuseStranger counts a refusal of an unknown sender. Beyond the strangers' rate all of them
// get the same 503, and the log is spared.
func (g *Gateway) refuseStranger(x *exchange, r *http.Request, refusal *hub.Error) *hub.Error {
	if !g.admission.stranger(x.receivedAt) {
		x.quiet = true
		return g.reject(x, rejectStrangers)
	}
	g.strangers.count(r.RemoteAddr, refusal)
	return refusal
}

// reject refuses what has no room now: 429 if it is the participant's own share or rate that is
// used up, else 503.
func (g *Gateway) reject(x *exchange, reason string) *hub.Error {
	g.metrics.rejected.WithLabelValues(reason).Inc()
	kind, code, wait := hub.Overloaded, hub.CodeOverloaded, jittered(retryAfter)
	switch reason {
	case rejectShare:
		kind, code = hub.RateLimited, hub.CodeRateLimited
		x.quota = quota{limit: g.admission.mostRequests(), reset: wait}
	case rejectRate:
		kind, code = hub.RateLimited, hub.CodeRateLimited
		wait = max(x.quota.reset, time.Second)
	}
	return &hub.Error{Kind: kind, RetryAfter: wait, Public: []hub.Violation{{Code: code, Severity: hub.Grave, Path: "/"}}}
}

// admitted is what a participant with a place gets.
func (g *Gateway) admitted(ctx context.Context, x *exchange, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := g.transport(x, w, r); err != nil {
		return nil, err
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return nil, g.reject(x, rejectOverload)
	}
	return g.Exchange(ctx, x)
}

// transport is step 1 once the peer is known: media type and a bounded body. How long the body
// may take, the connection's watch decides.
func (g *Gateway) transport(x *exchange, w http.ResponseWriter, r *http.Request) error {
	for _, name := range []string{"Content-Type", "Soapaction", "Authorization"} {
		if len(r.Header[name]) > 1 {
			return badFraming(flawTwice)
		}
	}
	for _, encoding := range r.Header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return hub.NewError(hub.UnsupportedMedia, hub.CodeContentEncoding, nil)
		}
	}
	media, ok := soap.ParseMedia(r.Header.Get("Content-Type"))
	if !ok {
		return hub.NewError(hub.UnsupportedMedia, hub.CodeMediaType, nil)
	}
	x.action = soap.Action(r.Header.Get("SOAPAction"), media)
	if r.ContentLength > int64(g.limits.Bytes) {
		return hub.NewError(hub.TooLarge, hub.CodeBodyTooLarge, nil)
	}
	if err := g.spare(x, r.ContentLength); err != nil {
		return err
	}
	x.room = g.borrow()
	body, err := readBody(http.MaxBytesReader(w, r.Body, int64(g.limits.Bytes)), r.ContentLength, &x.room.body, func(n int64) *hub.Error {
		if reason := g.admission.grow(x.participant.ID, n); reason != "" {
			return g.reject(x, reason)
		}
		x.held += n
		return nil
	})
	if why := door.BodyFlaw(r); why != door.FlawNone {
		return badFraming(why)
	}
	if err != nil {
		return err
	}
	x.body, x.size, x.arrived = body, len(body), true
	return nil
}

// setRefusalHeaders tells what clients must understand without reading the fault.
func (g *Gateway) setRefusalHeaders(h http.Header, x *exchange, refusal *hub.Error) {
	h.Set("X-Sinba-Codice", string(refusal.Public[0].Code))
	wait := refusal.RetryAfter
	if wait == 0 && (refusal.Kind == hub.Overloaded || refusal.Kind == hub.Unavailable) {
		wait = jittered(retryAfter)
	}
	if refusal.Kind == hub.Unauthenticated {
		h.Set("WWW-Authenticate", `Basic realm="SinbaEventi", charset="UTF-8"`)
	}
	if wait > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	// What was refused before its body was read must not be read on: net/http would wait for it
	// before it sends the answer.
	if !x.arrived || refusal.Kind == hub.Unavailable {
		h.Set("Connection", "close")
	}
}

// write sends the answer with its length, so that nothing is chunked.
func (g *Gateway) write(w http.ResponseWriter, x *exchange, status int, answer []byte) {
	h := w.Header()
	h.Set("Content-Type", x.version.ContentType())
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	h.Set("X-Content-Type-Options", "nosniff")
	if g.leaving.Load() {
		h.Set("Connection", "close")
	}
	if x.quota.limit > 0 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(x.quota.limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(x.quota.remaining))
		h.Set("X-RateLimit-Reset", strconv.Itoa(seconds(x.quota.reset)))
	}
	w.WriteHeader(status)
	if _, err := w.Write(answer); err != nil { //nolint:gosec // XML of ours; every text in it is escaped
		g.log.Info("answer not delivered", zap.String("exchange_id", x.id.String()))
	}
}

// logExchange writes the one log event of an exchange: ids of ours and words from closed
// lists, nothing of the message.
func (g *Gateway) logExchange(x *exchange, status int, label string, err error) {
	if x.quiet {
		return
	}
	fields := []zap.Field{
		zap.String("exchange_id", x.id.String()),
		zap.String("operation", string(x.operation.Name)),
		zap.Int("http_status", status),
		zap.String("outcome", label),
		zap.String("soap_version", x.version.String()),
		zap.Int("request_bytes", x.size),
		zap.Float64("duration_s", g.Now().Sub(x.receivedAt).Seconds()),
	}
	if x.participant != nil {
		fields = append(fields, zap.String("participant", x.participant.Name))
	}
	fields = append(fields, x.outcomes()...)
	level := zap.InfoLevel
	if err != nil {
		refusal := asRefusal(err)
		level = g.treatments[refusal.Kind].level
		fields = append(fields, g.describeRefusal(level, refusal)...)
	} else if worst := g.worst(x); worst != nil {
		level = g.treatments[worst.Kind].level
		fields = append(fields, g.describeRefusal(level, worst)...)
	}
	g.log.Log(level, "exchange", fields...)
}

// describeRefusal says why, without content.
func (g *Gateway) describeRefusal(level zapcore.Level, refusal *hub.Error) []zap.Field {
	codes := make([]string, 0, len(refusal.Public))
	for _, v := range refusal.Public[:min(len(refusal.Public), 10)] {
		codes = append(codes, string(v.Code))
	}
	fields := []zap.Field{zap.Strings("codes", codes)}
	if refusal.Err != nil && level >= zap.WarnLevel {
		fields = append(fields, zap.String("cause", refusal.Err.Error()))
	}
	return fields
}

// outcomes are what became of the events: for a single one its outcome and IdRicevuta, which joins
// the exchange with its attempts; for a lot how many.
func (x *exchange) outcomes() []zap.Field {
	if x.operation.Name == contract.InviaLotto {
		refused := 0
		for _, e := range x.events {
			if e.refusal != nil {
				refused++
			}
		}
		return []zap.Field{zap.Int("events", len(x.events)), zap.Int("refused", refused)}
	}
	var fields []zap.Field
	for _, e := range x.events {
		switch {
		case e.report != nil:
			fields = append(fields, zap.String("esito", e.report.expected))
		case e.receipt != nil:
			fields = append(fields, zap.String("esito", e.receipt.outcome.String()), zap.Stringer("message_id", e.receipt.ID))
		}
	}
	return fields
}

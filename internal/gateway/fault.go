package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// The names of AnomaliaType's elements.
const (
	anomalia = "Anomalia"
	avviso   = "Avviso"
)

// maxTold is how many violations one answer lists (contract, "up to 100, and how many there
// were").
const maxTold = 100

// treatment is what a kind of refusal means on the wire, in metrics and in the log.
type treatment struct {
	fault  soap.FaultCode
	status int
	label  string
	level  zapcore.Level
}

// treatments is the one table from kind to answer. Contract: any refusal of a message is HTTP
// 500 (AGID BLOCK_SOAP); what clients must understand without reading the fault has a status
// of its own.
func treatments() map[hub.Kind]treatment {
	return map[hub.Kind]treatment{
		hub.Internal:         {soap.Receiver, http.StatusInternalServerError, "internal", zapcore.ErrorLevel},
		hub.BadRequest:       {soap.Sender, http.StatusBadRequest, "bad_request", zapcore.WarnLevel},
		hub.Unauthenticated:  {soap.Sender, http.StatusUnauthorized, "unauthenticated", zapcore.WarnLevel},
		hub.TooLarge:         {soap.Sender, http.StatusRequestEntityTooLarge, "too_large", zapcore.WarnLevel},
		hub.RateLimited:      {soap.Receiver, http.StatusTooManyRequests, "rate_limited", zapcore.WarnLevel},
		hub.Overloaded:       {soap.Receiver, http.StatusServiceUnavailable, "overloaded", zapcore.WarnLevel},
		hub.UnsupportedMedia: {soap.Sender, http.StatusUnsupportedMediaType, "unsupported_media", zapcore.InfoLevel},
		hub.Malformed:        {soap.Sender, http.StatusInternalServerError, "malformed", zapcore.InfoLevel},
		hub.NotUnderstood:    {soap.MustUnderstand, http.StatusInternalServerError, "not_understood", zapcore.InfoLevel},
		hub.VersionMismatch:  {soap.VersionMismatch, http.StatusInternalServerError, "version_mismatch", zapcore.InfoLevel},
		hub.UnknownOperation: {soap.Sender, http.StatusInternalServerError, "unknown_operation", zapcore.InfoLevel},
		hub.Forbidden:        {soap.Sender, http.StatusInternalServerError, "forbidden", zapcore.WarnLevel},
		hub.Invalid:          {soap.Sender, http.StatusInternalServerError, "invalid", zapcore.InfoLevel},
		hub.Conflict:         {soap.Sender, http.StatusInternalServerError, "conflict", zapcore.WarnLevel},
		hub.NotFound:         {soap.Sender, http.StatusInternalServerError, "not_found", zapcore.InfoLevel},
		hub.Unavailable:      {soap.Receiver, http.StatusServiceUnavailable, "unavailable", zapcore.ErrorLevel},
	}
}

// asRefusal makes any error one the sender can be told of: what is no *hub.Error is our own
// defect and says nothing but that. Its text, which nobody vouches for, does not reach the log
// either: only its type does.
func asRefusal(err error) *hub.Error {
	var refusal *hub.Error
	if errors.As(err, &refusal) && len(refusal.Public) > 0 {
		return refusal
	}
	return hub.NewError(hub.Internal, hub.CodeInternal, fmt.Errorf("unexpected error of type %T", err))
}

// faultMessage writes the whole fault answer: the typed detail ErroreSinba with all violations.
func (g *Gateway) faultMessage(v soap.Version, base string, transaction uuid.UUID, at time.Time, refusal *hub.Error) []byte {
	detail := append([]byte(`<ErroreSinba xmlns="`), contract.Namespace...)
	detail = append(detail, `">`...)
	detail = g.appendErrore(detail, base, transaction, at, refusal, maxTold)
	detail = append(detail, `</ErroreSinba>`...)

	reason := string(refusal.Public[0].Code) + " - " + g.speaker.Say(refusal.Public[0]).IT
	if refusal.Note != "" {
		reason += " " + refusal.Note
	}
	return soap.AppendFault(nil, v, soap.Fault{
		Code:     g.treatments[refusal.Kind].fault,
		ReasonIT: reason,
		Detail:   detail,
	})
}

// appendErrore writes the content of ErroreSinbaType with at most so many violations.
func (g *Gateway) appendErrore(b []byte, base string, transaction uuid.UUID, at time.Time, refusal *hub.Error, most int) []byte {
	b = soap.AppendElement(b, "IdTransazione", transaction.String())
	b = soap.AppendElement(b, "DataOra", instant(at))
	b = soap.AppendElement(b, "AnomalieTotali", strconv.Itoa(max(refusal.Total, len(refusal.Public))))
	for _, violation := range refusal.Public[:min(len(refusal.Public), most)] {
		b = g.appendAnomalia(b, anomalia, base, violation)
	}
	return b
}

// appendAnomalia writes one AnomaliaType under its name in the contract, Anomalia or, in a
// receipt, Avviso: xsd/sinba-eventi-v1.xsd.
func (g *Gateway) appendAnomalia(dst []byte, name, base string, v hub.Violation) []byte {
	text := g.speaker.Say(v)
	dst = append(dst, "<"+name+">"...)
	dst = soap.AppendElement(dst, "Codice", string(v.Code))
	dst = soap.AppendElement(dst, "Rilevanza", v.Severity.String())
	dst = soap.AppendElement(dst, "Posizione", v.Path)
	if v.Line > 0 {
		dst = soap.AppendElement(dst, "Riga", strconv.Itoa(v.Line))
	}
	dst = soap.AppendElement(dst, "Descrizione", text.IT)
	dst = soap.AppendElement(dst, "DescrizioneEN", text.EN)
	if v.Rule != "" {
		dst = soap.AppendElement(dst, "Regola", v.Rule)
	}
	dst = soap.AppendElement(dst, "Riferimento", base+codesPath+"#"+string(v.Code))
	return append(dst, "</"+name+">"...)
}

// instant writes a time as the contract's DataOraTzType: RFC 3339 in UTC.
func instant(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

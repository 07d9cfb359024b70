package gateway

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// takes tells whether a new event that comes next would be taken.
func (g *Gateway) takes(x *exchange) bool {
	return x.closure.Reason == "" && !g.leaving.Load() && !g.stopping.Load()
}

// answerEcho tells that the service is there and whether it takes messages (AGID RAC_SOAP_004).
// Messaggio repeats the request's; in maintenance it is the operator's text, and before a door that
// is closed for another reason that reason, if the request has none.
func (g *Gateway) answerEcho(x *exchange) ([]byte, error) {
	question, err := sinba.Leaves(x.verdict.Payload)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	message, _ := question.Value("/Messaggio")
	if x.closure.Reason == ClosedMaintenance {
		message = x.closure.Text
	}
	var b []byte
	if message = cmp.Or(message, x.closure.sentence()); message != "" {
		b = soap.AppendElement(b, "Messaggio", message)
	}
	b = soap.AppendElement(b, "VersioneServizio", g.cfg.Version)
	b = soap.AppendElement(b, "VersioneSchema", x.schema)
	b = soap.AppendElement(b, "DataOra", instant(g.Now()))
	b = soap.AppendElement(b, "Disponibile", strconv.FormatBool(g.takes(x)))
	return soap.AppendEnvelope(nil, x.version, x.answer(b)), nil
}

// setEchoHeader says for programs why echo says that nothing is taken: the code that an event would
// be refused with.
func (g *Gateway) setEchoHeader(h http.Header, x *exchange) {
	if x.operation.Name != contract.Echo || g.takes(x) {
		return
	}
	code := hub.CodeStopping
	if x.closure.Reason != "" {
		code = x.closure.refusal().Public[0].Code
	}
	h.Set("X-Sinba-Codice", string(code))
}

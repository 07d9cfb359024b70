package gateway

import (
	"bytes"
	"io"
	"net"
	"net/http"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// answerUnread answers what net/http refused before any handler saw it: a head too long or not of
// RFC 9112, another version of HTTP, an unknown expectation or transfer coding. It is counted, logged
// and journalled as every other flaw of framing. Nothing of the request is known: the fault is in
// SOAP 1.1 and, without a public address, its link relative.
func (g *Gateway) answerUnread(peer net.Addr, status int, why door.Flaw) []byte {
	x := &exchange{
		id: uuid.Must(uuid.NewV7()), receivedAt: g.Now(), version: soap.V11, base: g.cfg.PublicURL, reference: g.reference.Load(),
	}
	refusal := badFraming(why)
	g.strangers.count(peer.String(), refusal)
	x.quiet = !g.admission.stranger(x.receivedAt)
	label := g.treatments[refusal.Kind].label
	g.metrics.count(x, label, g.treatments)
	if !x.quiet {
		g.metrics.countViolations(refusal)
	}
	g.logExchange(x, status, label, refusal)

	fault := g.faultMessage(x.version, x.base, x.id, g.Now(), refusal)
	answer := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true, ContentLength: int64(len(fault)),
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(fault)),
	}
	g.setRefusalHeaders(answer.Header, x, refusal)
	answer.Header.Set("Date", x.receivedAt.UTC().Format(http.TimeFormat))
	answer.Header.Set("Content-Type", x.version.ContentType())
	answer.Header.Set("X-Content-Type-Options", "nosniff")
	var b bytes.Buffer
	if err := answer.Write(&b); err != nil {
		return nil
	}
	return b.Bytes()
}

package gateway

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// flawTwice is the one flaw that only who knows what headers mean can see: Content-Type,
// SOAPAction or Authorization told twice.
const flawTwice door.Flaw = "header-twice"

// Server makes the HTTP server of the SOAP listener: it serves HTTP/1.1 and 1.0 on what Guard
// accepts while Watch runs. Upgrades are ignored.
func (g *Gateway) Server() *http.Server {
	return g.connections.Server(http.HandlerFunc(g.route), g.answerUnread)
}

// Guard bounds and watches the connections of a listener, for Server.
func (g *Gateway) Guard(listener net.Listener) net.Listener { return g.connections.Guard(listener) }

// Watch cuts off the connections of too slow clients until ctx ends. Connections outlive the
// order to stop: end ctx after the server's shutdown.
func (g *Gateway) Watch(ctx context.Context) { g.connections.Watch(ctx) }

// route is the handler of the SOAP listener: the service, its description, the table of codes, and the
// journal's checkpoint. Paths are compared as they are; nothing of a request's address comes back.
func (g *Gateway) route(w http.ResponseWriter, r *http.Request) {
	if why := door.Begin(r); why != door.FlawNone {
		g.refuseFraming(w, r, why)
		return
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if r.URL.Path == contract.Path && r.Method == http.MethodPost {
		g.serve(w, r)
		return
	}
	// The rest is for everybody and needs no body.
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	switch {
	case !g.admission.stranger(g.Now()):
		g.metrics.rejected.WithLabelValues(rejectStrangers).Inc()
		w.Header().Set("Retry-After", strconv.Itoa(seconds(jittered(retryAfter))))
		w.Header().Set("Connection", "close")
		http.Error(w, "too many requests without a credential", http.StatusServiceUnavailable)
	case r.URL.Path == contract.Path && read:
		g.describe(w, r)
	case r.URL.Path == codesPath && read:
		g.describeCodes(w, r)
	case (r.URL.Path == checkpointPath || r.URL.Path == keysPath) && read:
		g.describeJournal(w, r)
	case r.URL.Path == contract.Path:
		notAllowed(w, "GET, HEAD, POST", "POST a SOAP message; the WSDL is at ?wsdl")
	case r.URL.Path == codesPath || r.URL.Path == checkpointPath || r.URL.Path == keysPath || r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		notAllowed(w, "GET, HEAD", "this can only be read")
	default:
		http.Error(w, "the service is at "+contract.Path, http.StatusNotFound)
	}
}

// refuseFraming answers a request whose bytes another program might read as another request, and
// ends the connection.
func (g *Gateway) refuseFraming(w http.ResponseWriter, r *http.Request, why door.Flaw) {
	x := g.begin(r)
	refusal := badFraming(why)
	g.strangers.count(r.RemoteAddr, refusal)
	x.quiet = !g.admission.stranger(x.receivedAt)
	g.finish(w, x, nil, refusal)
}

// badFraming refuses a request for a flaw.
func badFraming(why door.Flaw) *hub.Error {
	return &hub.Error{Kind: hub.BadRequest, Public: []hub.Violation{{
		Code: hub.CodeBadRequest, Severity: hub.Grave, Rule: "http:" + string(why), Path: "/",
	}}}
}

// seconds rounds up, as Retry-After and X-RateLimit-Reset are told.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

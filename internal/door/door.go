// Package door lets connections in, shares them out among participants and strangers, cuts the
// slow ones, and refuses framing that two servers could read differently.
//
// It knows bytes, clocks and numbers of participants, but nothing of SOAP: what stands behind it
// reads requests from net/http as ever, asks Begin first, and tells with Identify whose connection
// it is.
package door

import (
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// maxHead bounds a request's line and headers, in bytes; net/http allows 4096 more.
const maxHead = 16 << 10

// Limits is what the door lets in. internal/config describes each with its unit and default.
type Limits struct {
	Connections               int
	ConnectionsPerAddress     int
	ConnectionsPerParticipant int

	HeaderTimeout time.Duration
	BodyTimeout   time.Duration
	IdleTimeout   time.Duration
	Grace         time.Duration
	LeastRate     int
}

// Server makes the HTTP server of the SOAP listener: it serves HTTP/1.1 and 1.0 on what Guard
// accepts while Watch runs. Upgrades are ignored. What net/http refuses before the handler, unread
// answers; nil leaves that to net/http.
func (d *Connections) Server(handler http.Handler, unread Unread) *http.Server {
	return &http.Server{
		Handler: handler, ConnContext: withConnection(unread), ConnState: connectionState,
		// The watch is at work long before these; they hold should it not be.
		ReadHeaderTimeout: 2 * d.limits.HeaderTimeout, IdleTimeout: 2 * d.limits.IdleTimeout,
		MaxHeaderBytes: maxHead,
		// Else net/http answers OPTIONS * itself, and the requests of a connection are miscounted.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     zap.NewStdLog(zap.NewNop()),
	}
}

// Guard bounds and watches the connections of a listener, for Server.
func (d *Connections) Guard(listener net.Listener) net.Listener { return guarded{listener, d} }

// Begin is to be called once for each request, before anything else. It tells what is wrong with
// the request's head, and starts the clock of its body.
func Begin(r *http.Request) Flaw { return connectionOf(r).begin() }

// BodyFlaw tells what is wrong with the framing of the body that was just read.
func BodyFlaw(r *http.Request) Flaw { return connectionOf(r).bodyFlaw() }

// Identify makes a request's connection a participant's. Which share had no room is told if it
// stays what it was.
func Identify(r *http.Request, participant int32) (full string, ok bool) {
	return connectionOf(r).identify(participant)
}

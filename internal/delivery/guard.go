package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// errLeaseOver says that a request was not written because the lease it runs under is over.
var errLeaseOver = errors.New("lease is over")

// permit is what one request may do to its connection. A process that was stopped (SIGSTOP, a sleeping
// machine) between looking at its lease and writing must not write when it wakes: another owner may
// have the delivery. So the connection looks again, immediately before each system call. What is left
// is a stop between those two instructions: then the request carries the same IdTrasmissione and the
// same bytes as the other owner's, which SISS takes once.
type permit struct {
	// held tells whether the lease still holds; nil if the request needs none.
	held func() bool
	// stood says that a connection stood, wrote that some of the request may have left, refused that
	// some of it was kept back.
	stood, wrote, refused atomic.Bool
}

// trace makes a request's connection obey the permit.
func (p *permit) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// After the TLS handshake: before this nothing of the request can have left.
		GotConn: func(info httptrace.GotConnInfo) {
			p.stood.Store(true)
			if g := guardOf(info.Conn); g != nil {
				g.permit.Store(p)
			} else {
				p.wrote.Store(true)
			}
		},
	})
}

// guarded is a connection that writes only what the permit of the moment allows.
type guarded struct {
	net.Conn

	permit atomic.Pointer[permit]
}

// guardOf finds the guarded connection below TLS.
func guardOf(conn net.Conn) *guarded {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	g, _ := conn.(*guarded)
	return g
}

// Write writes unless the permit says that the lease is over.
func (g *guarded) Write(b []byte) (int, error) {
	p := g.permit.Load()
	if p == nil {
		return g.Conn.Write(b) // the handshake
	}
	if p.held != nil && !p.held() {
		p.refused.Store(true)
		return 0, errLeaseOver
	}
	p.wrote.Store(true)
	return g.Conn.Write(b)
}

// guardConnections makes a transport's connections guarded.
func guardConnections(t *http.Transport) {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &guarded{Conn: conn}, nil
	}
}

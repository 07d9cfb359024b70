package door

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// cutReason is why the hub ended a connection that its client left open; its values are labels.
type cutReason string

const (
	notCut     cutReason = ""
	slowHead   cutReason = "slow_head"
	slowBody   cutReason = "slow_body"
	slowAnswer cutReason = "slow_answer"
	longIdle   cutReason = "idle"
	displaced  cutReason = "displaced"
)

// writePiece is how much is written at once, in bytes.
const writePiece = 16 << 10

// connection is one connection of the SOAP listener as the hub watches it: where in a request its
// client is and since when it has kept the hub waiting. net/http works on it as on any other.
//
// TLS goes below it: it must see the bytes of HTTP.
type connection struct {
	net.Conn
	door   *Connections
	source netip.Addr
	unread Unread // nil: net/http's own words

	// Of the list of connections, under its lock.
	place  *list.Element // among the strangers of its source, nil else
	number uint64        // in the order of coming
	closed bool
	// Written under that lock and only by the connection's own exchanges, which read it without.
	known       bool
	participant int32

	mu sync.Mutex
	framing
	served  int           // requests handed to the handler
	serving bool          // the handler, or net/http around it, is at one of them
	reading bool          // a Read is under way
	writing bool          // a Write is under way
	since   time.Duration // when the client began to keep us waiting, on the door's clock
	wrote   int64         // bytes of the answer that went out
	stalled time.Duration // how long writing them took
	begunAt time.Duration // of the Write under way
	cut     cutReason
}

// connectionKey finds a request's connection in its context.
type connectionKey struct{}

// withConnection makes the http.Server's ConnContext, which is called before anything is read.
func withConnection(unread Unread) func(ctx context.Context, c net.Conn) context.Context {
	return func(ctx context.Context, conn net.Conn) context.Context {
		if c, ok := conn.(*connection); ok {
			c.unread = unread
		}
		return context.WithValue(ctx, connectionKey{}, conn)
	}
}

// connectionOf gives a request's connection; nil if it did not come through the guarded listener.
func connectionOf(r *http.Request) *connection {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}

// connectionState is the http.Server's ConnState: it tells when an answer has gone out.
func connectionState(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*connection); ok && state == http.StateIdle {
		c.mu.Lock()
		c.serving, c.since = false, c.door.time()
		c.mu.Unlock()
	}
}

// begin is called once for each request the handler gets. It tells what is wrong with its head,
// and starts the clock of its body: what is waited for while an earlier exchange runs is not the
// client's fault.
func (c *connection) begin() Flaw {
	if c == nil {
		return FlawNone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served++
	c.serving, c.since, c.wrote, c.stalled = true, c.door.time(), 0, 0
	switch {
	case c.served <= c.heads:
		return FlawNone
	case c.flaw != FlawNone:
		return c.flaw
	}
	return flawUnseen
}

// Read reads for net/http and looks at what came.
func (c *connection) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.cut != notCut {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.reading = true
	c.mu.Unlock()

	n, err := c.Conn.Read(p)

	c.mu.Lock()
	waited := c.waiting()
	c.reading = false
	c.feed(p[:n])
	if waited && !c.waiting() && !c.serving {
		c.since = c.door.time()
	}
	c.mu.Unlock()
	return n, err
}

// Write writes for net/http, and is cut off by the watch if the client does not take the bytes.
// It writes in pieces, so that the watch sees how far it is. What net/http says by itself is said in
// the hub's words.
func (c *connection) Write(p []byte) (written int, err error) {
	if answer := c.replaced(p); answer != nil {
		if _, err := c.writeAll(answer); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.writeAll(p)
}

func (c *connection) writeAll(p []byte) (written int, err error) {
	for err == nil && written < len(p) {
		var n int
		n, err = c.writePiece(p[written:min(len(p), written+writePiece)])
		written += n
	}
	return written, err
}

func (c *connection) writePiece(p []byte) (int, error) {
	c.mu.Lock()
	if c.cut == slowAnswer || c.cut == displaced {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.writing, c.begunAt = true, c.door.time()
	c.mu.Unlock()

	n, err := c.Conn.Write(p)

	c.mu.Lock()
	c.stalled += c.door.time() - c.begunAt
	c.writing, c.wrote = false, c.wrote+int64(n)
	c.mu.Unlock()
	return n, err
}

// bodyFlaw tells what is wrong with the framing of the body that was just read.
func (c *connection) bodyFlaw() Flaw {
	if c == nil {
		return FlawNone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inBody && c.served == c.heads {
		return c.flaw
	}
	return FlawNone
}

// SetReadDeadline is net/http's; one that was cut stays cut.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut != notCut {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite lets net/http end its half first, so that a client that still sends reads the answer.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close ends the connection and gives its place back.
func (c *connection) Close() error {
	c.door.leave(c)
	return c.Conn.Close()
}

// arriving tells that the body of the request that is being served has not come whole. A body
// under way may also be the next request's, of which net/http reads a byte to see the client leave.
func (c *connection) arriving() bool { return c.inside() && c.served == c.heads }

// idle tells that nothing of a request has come since the last answer, and since when.
func (c *connection) idle() (since time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since, !c.serving && c.waiting()
}

// displace marks the connection for closing; ok is false if it should be idle and is not.
func (c *connection) displace(onlyIdle bool) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if onlyIdle && (c.serving || !c.waiting()) {
		return false
	}
	c.cut = displaced
	return true
}

// overdue tells whether the client has kept the hub waiting too long. How long the hub itself
// takes for an exchange does not count.
func (c *connection) overdue(now time.Duration, limits *Limits) cutReason {
	// A rate below the least one, after some time for free.
	slow := func(waited time.Duration, bytes int64) bool {
		return waited > limits.Grace+time.Duration(bytes)*time.Second/time.Duration(limits.LeastRate)
	}
	waited := now - c.since
	switch {
	case c.cut != notCut:
		return notCut
	case c.writing:
		if slow(c.stalled+now-c.begunAt, c.wrote) {
			return slowAnswer
		}
	case c.serving:
		if c.reading && c.arriving() && (slow(waited, c.got) || c.chunked && waited > limits.BodyTimeout) {
			return slowBody
		}
	case c.waiting() && c.served > 0:
		if waited > limits.IdleTimeout {
			return longIdle
		}
	case waited > limits.HeaderTimeout:
		return slowHead
	}
	return notCut
}

// check cuts the connection off if its client is too slow.
func (c *connection) check(now time.Duration, limits *Limits) cutReason {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := c.overdue(now, limits)
	if reason == notCut {
		return notCut
	}
	c.cut = reason
	// What waits returns with an error; net/http, or after a slow body our answer, does the rest.
	past := time.Unix(1, 0)
	_ = c.Conn.SetReadDeadline(past)
	if reason == slowAnswer {
		_ = c.SetWriteDeadline(past)
		// What it did not take is thrown away: the system would go on offering it.
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	return reason
}

// state is the connection's for the metrics.
func (c *connection) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.writing:
		return "answer"
	case c.serving && c.arriving():
		return "body"
	case c.serving:
		return "exchange"
	case c.waiting():
		return "idle"
	}
	return "head"
}

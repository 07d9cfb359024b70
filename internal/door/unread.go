package door

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
)

// flawHead, flawHeadSize and flawExpectation are why net/http refused a request by itself, where no
// other Flaw says so.
const (
	flawHead        Flaw = "head"        // RFC 9112: request line, header fields, Host
	flawHeadSize    Flaw = "head-size"   // over maxHead
	flawExpectation Flaw = "expectation" // another than 100-continue
)

// Unread makes the answer, with its head, to a request that net/http refused by itself: no handler
// has seen it, and the connection ends with the answer. The status is net/http's.
type Unread func(peer net.Addr, status int, why Flaw) []byte

// unreadFlaw is why net/http refused with a status: server.go, conn.serve.
func unreadFlaw(status int) Flaw {
	switch status {
	case http.StatusExpectationFailed:
		return flawExpectation
	case http.StatusRequestHeaderFieldsTooLarge:
		return flawHeadSize
	case http.StatusNotImplemented:
		return flawCoding
	case http.StatusHTTPVersionNotSupported:
		return flawVersion
	}
	return flawHead
}

// replaced is what goes out instead of an answer that is not the handler's; nil to let p go out.
// While no handler is at a request, net/http writes nothing but its own refusals, each by one Write.
func (c *connection) replaced(p []byte) []byte {
	c.mu.Lock()
	own := !c.serving && c.unread != nil
	if own {
		c.wrote, c.stalled = 0, 0
	}
	c.mu.Unlock()
	const begin, digits = "HTTP/1.1 ", 3
	if !own || !bytes.HasPrefix(p, []byte(begin)) || len(p) < len(begin)+digits {
		return nil
	}
	status, err := strconv.Atoi(string(p[len(begin) : len(begin)+digits]))
	if err != nil {
		return nil
	}
	return c.unread(c.RemoteAddr(), status, unreadFlaw(status))
}

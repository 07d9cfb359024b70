//go:build smoke

package hubtest_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// cutline stands between serve and PostgreSQL and counts calls: what the client sends up to a Sync or
// as a simple query, and the making of a connection. It can end the connection at the N-th call, before
// the server hears of it or after the server has done it and before the client hears of that
// (PostgreSQL frontend/backend protocol 3.0).
type cutline struct {
	t *testing.T

	mu sync.Mutex
	// left is how many calls until the cut, 0 for none to come.
	left  int
	after bool
	// fired tells what the last cut met, empty if it met nothing yet.
	fired string
	conns map[net.Conn]bool
}

func newCutline(t *testing.T) *cutline {
	t.Helper()
	return &cutline{t: t, conns: map[net.Conn]bool{}}
}

// arm lets the n-th call from now on meet a cut; 0 disarms it.
func (c *cutline) arm(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.after, c.fired = n, after, ""
}

// met is what the cut met since arm, empty if no such call was made.
func (c *cutline) met() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fired
}

// dropAll ends every connection that stands, so that the next call must make one.
func (c *cutline) dropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// through gives the address of a role that goes through the line.
func (c *cutline) through(dsn string) string {
	c.t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		c.t.Fatal(err)
	}
	query := address.Query()
	server := filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	dir, err := os.MkdirTemp("", "cut")
	if err != nil {
		c.t.Fatal(err)
	}
	query.Set("host", dir)
	address.RawQuery = query.Encode()
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+query.Get("port")))
	if err != nil {
		c.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { c.serve(client, server) })
		}
	})
	c.t.Cleanup(func() {
		_ = listener.Close()
		c.dropAll()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	return address.String()
}

// count takes one call and tells whether to cut before it, or after it.
func (c *cutline) count(what string) (before, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false, false
	}
	if c.left--; c.left > 0 {
		return false, false
	}
	c.fired = what
	return !c.after, c.after
}

// line is one connection.
type line struct {
	cut             *cutline
	client, backend net.Conn

	mu sync.Mutex
	// asked and answered count calls; cutAfter is the call after whose answer the line ends, 0 for none.
	asked, answered, cutAfter int
	// names are the prepared statements.
	names map[string]string
}

func (c *cutline) serve(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	backend, err := net.Dial("unix", server)
	if err != nil {
		return
	}
	defer func() { _ = backend.Close() }()
	c.mu.Lock()
	c.conns[client] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.conns, client)
		c.mu.Unlock()
	}()
	l := &line{cut: c, client: client, backend: backend, names: map[string]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.forward()
		_ = backend.Close()
	}()
	l.back()
	_ = client.Close()
	<-done
}

// forward passes on what the client says, one call at a time.
func (l *line) forward() {
	start := make([]byte, 8)
	if _, err := io.ReadFull(l.client, start); err != nil {
		return
	}
	body := make([]byte, binary.BigEndian.Uint32(start)-8)
	if _, err := io.ReadFull(l.client, body); err != nil {
		return
	}
	call := slices.Concat(start, body)
	const cancelRequest = 80877102
	if binary.BigEndian.Uint32(start[4:]) != cancelRequest && !l.call("connect") {
		return
	}
	if _, err := l.backend.Write(call); err != nil {
		return
	}
	call, what := nil, "other"
	for {
		head, body, err := message(l.client)
		if err != nil {
			return
		}
		call = append(append(call, head...), body...)
		what = l.note(head[0], body, what)
		switch head[0] {
		case 'S', 'Q':
			if !l.call(what) {
				return
			}
			what = "other"
		case 'H', 'p', 'X', 'd', 'c', 'f':
		default:
			continue
		}
		if _, err := l.backend.Write(call); err != nil {
			return
		}
		call = nil
	}
}

// note reads what a message is about.
func (l *line) note(kind byte, body []byte, what string) string {
	first, rest, _ := strings.Cut(string(body), "\x00")
	switch kind {
	case 'Q':
		return label(first)
	case 'P':
		sql, _, _ := strings.Cut(rest, "\x00")
		l.names[first] = label(sql)
		return "prepare " + l.names[first]
	case 'B':
		name, _, _ := strings.Cut(rest, "\x00")
		return l.names[name]
	}
	return what
}

// aboutTable finds what a statement changes, else what it reads.
var (
	aboutChange = regexp.MustCompile(`(?:INSERT INTO|UPDATE|DELETE FROM) (?:ONLY )?([a-z_]+\.[a-z_]+)`)
	aboutTable  = regexp.MustCompile(`(?:FROM|JOIN) ([a-z_]+\.[a-z_]+)`)
)

// label is a short name of a statement: what it changes, else what it reads, else its first word.
func label(sql string) string {
	var names []string
	for _, m := range aboutChange.FindAllStringSubmatch(sql, 3) {
		names = append(names, m[1])
	}
	if len(names) > 0 {
		return "write " + strings.Join(names, "+")
	}
	if m := aboutTable.FindStringSubmatch(sql); m != nil {
		return "read " + m[1]
	}
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	return strings.ToUpper(strings.TrimRight(word, ";"))
}

// call counts a call that is about to be passed on; false means that the line is cut before it.
func (l *line) call(what string) bool {
	before, after := l.cut.count(what)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if after {
		l.cutAfter = l.asked
	}
	return !before
}

// back passes on what the server says, until the answer that nobody shall hear.
func (l *line) back() {
	for {
		head, body, err := message(l.backend)
		if err != nil {
			return
		}
		l.mu.Lock()
		mute := l.cutAfter != 0 && l.answered == l.cutAfter-1
		if head[0] == 'Z' {
			l.answered++
		}
		l.mu.Unlock()
		if mute && head[0] == 'Z' {
			return // the server has done it, and it is durable
		}
		// Authentication is a talk: without the server's part there is no call to be done.
		if mute && head[0] != 'R' {
			continue
		}
		if _, err := l.client.Write(append(head, body...)); err != nil {
			return
		}
	}
}

// message reads a type byte, a length that counts itself, and what follows.
func message(from io.Reader) (head, body []byte, err error) {
	head = make([]byte, 5)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 64<<20 {
		return nil, nil, errors.New("no message of the protocol")
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(from, body)
	return head, body, err
}

package door_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sinbahub/sinbahub/internal/door"
)

// noon is when tests begin.
func noon() time.Time { return time.Date(2024, 4, 8, 12, 0, 0, 0, time.UTC) }

func limits() door.Limits {
	return door.Limits{
		Connections: 16, ConnectionsPerAddress: 16, ConnectionsPerParticipant: 4,
		HeaderTimeout: 5 * time.Second, BodyTimeout: 30 * time.Second, IdleTimeout: time.Minute, Grace: 5 * time.Second, LeastRate: 10_000,
	}
}

// gate is a server over guarded connections with a clock of the test's.
type gate struct {
	t           *testing.T
	connections *door.Connections
	registry    *prometheus.Registry
	address     string

	mu  sync.Mutex
	now time.Time
}

func newGate(t *testing.T, limits door.Limits, handler func(http.ResponseWriter, *http.Request)) *gate {
	t.Helper()
	g := &gate{t: t, registry: prometheus.NewRegistry(), now: noon()}
	g.connections = door.New(limits, g.time, g.registry)
	server := g.connections.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := door.Begin(r); why != door.FlawNone {
			t.Errorf("flaw %s", why)
		}
		handler(w, r)
	}), nil)
	// The test's clock alone counts.
	server.ReadHeaderTimeout, server.IdleTimeout = 0, 0
	g.serve(server)
	return g
}

// serve answers on a free port until the test ends.
func (g *gate) serve(server *http.Server) {
	g.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(g.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	g.address = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(g.connections.Guard(listener)); !errors.Is(err, http.ErrServerClosed) {
			g.t.Error(err)
		}
	}()
	g.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

func (g *gate) time() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// pass lets time pass and the watch look.
func (g *gate) pass(by time.Duration) {
	g.mu.Lock()
	g.now = g.now.Add(by)
	g.mu.Unlock()
	g.connections.Look()
}

// client is one connection as its client has it.
type client struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

// dial connects, from another loopback address if one is given.
func (g *gate) dial(from ...string) *client {
	g.t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if len(from) > 0 {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from[0])}
	}
	conn, err := dialer.DialContext(g.t.Context(), "tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{conn, g.t, bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// reply is an answer without its body.
type reply struct {
	StatusCode int
	Header     http.Header
	Close      bool
}

// answer reads an answer to its end.
func (c *client) answer() (reply, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, response.Close}, string(body)
}

// closed wants the hub to have ended the connection without another word.
func (c *client) closed() {
	c.t.Helper()
	n, err := c.reader.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("the connection is not closed: %d bytes, %v", n, err)
	}
}

// open wants the hub to answer on.
func (c *client) open() {
	c.t.Helper()
	c.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	if r, _ := c.answer(); r.StatusCode != http.StatusOK {
		c.t.Errorf("status %d", r.StatusCode)
	}
}

// await waits until the hub sees connections in these states.
func (g *gate) await(want string) {
	g.t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 30_000 {
		if fmt.Sprint(g.connections.States()) == want {
			return
		}
		<-ticker.C
	}
	g.t.Fatalf("connections are %v, want %s", g.connections.States(), want)
}

// cuts reads hub_connections_cut_total or _refused_total.
func (g *gate) count(name, reason string) int {
	g.t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == reason {
				return int(metric.GetCounter().GetValue())
			}
		}
	}
	g.t.Fatalf("no metric %s of %s", name, reason)
	return 0
}

// wantCut lets the watch look until it has cut a connection: who is not waited for at the moment
// of a look is seen by the next.
func (g *gate) wantCut(reason string) {
	g.t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 30_000 {
		if g.count("hub_connections_cut_total", reason) == 1 {
			return
		}
		g.pass(0)
		<-ticker.C
	}
	g.t.Fatalf("no connection was cut for %s", reason)
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

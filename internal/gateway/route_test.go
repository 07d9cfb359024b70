package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/door"
	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
)

const path = "/soap/sociale/v1/SinbaEventi"

// entrance is a whole gateway that knows nobody, with a clock of the test's.
type entrance struct {
	t        *testing.T
	registry *prometheus.Registry
	address  string

	mu  sync.Mutex
	now time.Time
}

// newEntrance serves on a free port until the test ends, and keeps what the gateway logs.
func newEntrance(t *testing.T, limits gateway.Limits) (*entrance, *observer.ObservedLogs) {
	t.Helper()
	catalogue, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	e := &entrance{t: t, registry: prometheus.NewRegistry(), now: noon()}
	g := gateway.New(gateway.Config{Environment: hub.Prod, Limits: limits, Door: door.Limits{
		Connections: 16, ConnectionsPerAddress: 16, ConnectionsPerParticipant: 4,
		HeaderTimeout: 5 * time.Second, BodyTimeout: 30 * time.Second, IdleTimeout: time.Minute, Grace: 5 * time.Second, LeastRate: 10_000,
	}}, gateway.Reference{}, gateway.Parts{
		Contract: catalogue, Registry: authn.NewRegistry(nil), Logger: zap.New(core), Registerer: e.registry, Now: e.time,
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.address = listener.Addr().String()
	server := g.Server()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { g.Watch(ctx) })
	running.Go(func() {
		if err := server.Serve(g.Guard(listener)); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		stop()
		running.Wait()
	})
	return e, logs
}

func (e *entrance) time() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// pass lets time pass.
func (e *entrance) pass(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = e.now.Add(by)
}

// figure reads a metric by the value of its first label.
func (e *entrance) figure(name, label string) int {
	e.t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == label {
				return int(metric.GetCounter().GetValue() + metric.GetGauge().GetValue())
			}
		}
	}
	e.t.Fatalf("no metric %s of %s", name, label)
	return 0
}

// await waits until a metric is 1.
func (e *entrance) await(name, label string) {
	e.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range 3_000 {
		if e.figure(name, label) == 1 {
			return
		}
		<-ticker.C
	}
	e.t.Fatalf("%s of %s is %d", name, label, e.figure(name, label))
}

// client is one connection as its client has it.
type client struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

func (e *entrance) dial() *client {
	e.t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(e.t.Context(), "tcp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{conn, e.t, bufio.NewReader(conn)}
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

// TestStrangersGetWhatHTTPAsks sends what a stack, a scanner or a smuggler might, byte by byte.
func TestStrangersGetWhatHTTPAsks(t *testing.T) {
	t.Parallel()
	l := limits()
	l.StrangerRate = 1000
	soap := "POST " + path + " HTTP/1.1\r\nHost: hub\r\nContent-Type: text/xml\r\n"
	get := "GET " + path + "?wsdl HTTP/1.1\r\nHost: hub\r\n"
	const open, closed = false, true
	cases := []struct {
		name, request string
		status        int
		code          string
		closes        bool
	}{
		{"description", get + "\r\n", 200, "", open},
		{"description, HTTP/1.0", "GET " + path + "?wsdl HTTP/1.0\r\n\r\n", 200, "", closed},
		{"description, HTTP/1.0 kept alive", "GET " + path + "?wsdl HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "", open},
		{"description, absolute form", "GET http://hub" + path + "?wsdl HTTP/1.1\r\nHost: hub\r\n\r\n", 200, "", open},
		{"description, upgrade to h2c ignored", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200, "", open},
		{"description, upgrade to a web socket ignored", get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200, "", open},
		{"description with a body", get + "Content-Length: 3\r\n\r\nabc", 200, "", closed},
		{"codes", "GET /docs/codici HTTP/1.1\r\nHost: hub\r\n\r\n", 200, "", open},

		{"no credential", soap + "Content-Length: 3\r\n\r\n<a>", 401, "SINBA_101", closed},
		{"no credential, asks first", soap + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", 401, "SINBA_101", closed},
		{"no credential, chunked", soap + "Transfer-Encoding: chunked\r\n\r\n3\r\n<a>\r\n0\r\n\r\n", 401, "SINBA_101", closed},
		{"another expectation", soap + "Content-Length: 3\r\nExpect: 200-ok\r\n\r\n<a>", 417, "SINBA_016", closed},

		{"length and chunked", soap + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "SINBA_016", closed},
		{"chunked and length", soap + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, "SINBA_016", closed},
		{"the same length twice", soap + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"a bare LF", soap + "X: y\nContent-Length: 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"a folded header", soap + "X: y\r\n z\r\nContent-Length: 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"chunked, HTTP/1.0", strings.Replace(soap, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "SINBA_016", closed},
		{"description with two lengths", get + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "SINBA_016", closed},
		{"HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "SINBA_016", closed},
		// What net/http refuses before any handler.
		{"two lengths", soap + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"gzip, chunked", soap + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "SINBA_016", closed},
		{"NUL in a header", soap + "X: a\x00b\r\nContent-Length: 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"a blank before the colon", soap + "Content-Length : 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"two hosts", soap + "Host: other\r\nContent-Length: 3\r\n\r\n<a>", 400, "SINBA_016", closed},
		{"no host", "GET " + path + "?wsdl HTTP/1.1\r\n\r\n", 400, "SINBA_016", closed},
		{"HTTP/0.9", "GET " + path + "\r\n", 400, "SINBA_016", closed},
		{"HTTP/3.0", "GET " + path + " HTTP/3.0\r\nHost: hub\r\n\r\n", 505, "SINBA_016", closed},
		{"a huge header", soap + "X: " + strings.Repeat("y", 30_000) + "\r\n\r\n", 431, "SINBA_016", closed},

		{"CONNECT", "CONNECT hub:443 HTTP/1.1\r\nHost: hub\r\n\r\n", 405, "", open},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: hub\r\nX: y\r\n\r\n", 405, "", open},
		{"PUT", "PUT " + path + " HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\n<a>", 405, "", closed},
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n", 404, "", open},
		{"another path", "GET /?RSSMRA85T10A562S HTTP/1.1\r\nHost: hub\r\n\r\n", 404, "", open},
		{"a path that could be cleaned", "GET /soap//sociale/v1/SinbaEventi?RSSMRA85T10A562S HTTP/1.1\r\nHost: hub\r\n\r\n", 404, "", open},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, _ := newEntrance(t, l)
			client := e.dial()
			client.send(c.request)
			r, body := client.answer()
			if r.StatusCode != c.status || r.Header.Get("X-Sinba-Codice") != c.code {
				t.Errorf("status %d %s, want %d %s", r.StatusCode, r.Header.Get("X-Sinba-Codice"), c.status, c.code)
			}
			if c.code != "" && !strings.Contains(body, "<Codice>"+c.code+"</Codice>") {
				t.Errorf("no fault with %s: %s", c.code, body)
			}
			if strings.Contains(body, "RSSMRA") || r.Header.Get("Location") != "" {
				t.Errorf("the answer repeats the request: %s %s", r.Header, body)
			}
			if r.Close != c.closes {
				t.Errorf("the answer says close: %t, want %t", r.Close, c.closes)
			}
			if c.closes {
				if strings.Contains(c.request, "100-continue") {
					// net/http waits for a body that never comes.
					e.await("hub_connections", "body")
					e.pass(6 * time.Second)
					e.await("hub_connections_cut_total", "slow_body")
				}
				client.closed()
				return
			}
			client.send(get + "\r\n")
			if r, _ := client.answer(); r.StatusCode != http.StatusOK {
				t.Errorf("the next request gets %d", r.StatusCode)
			}
		})
	}
}

// TestPipelinedRequestsAreAnsweredInOrder: also the one that could be read in two ways, and what
// stands behind it is not looked at.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	l := limits()
	l.StrangerRate = 1000
	e, _ := newEntrance(t, l)
	c := e.dial()
	get := func(target, headers string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: hub\r\n" + headers + "\r\n"
	}
	c.send(get(path+"?wsdl", "") + get("/nowhere", "") + get("/docs/codici", "") + get("*", "") +
		"OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n" + get(path+"?xsd=none", "") +
		get(path+"?wsdl", "Transfer-Encoding: chunked\r\nContent-Length: 40\r\n") + get("/docs/codici", ""))
	for n, want := range []int{200, 404, 200, 404, 404, 404, 400} {
		if r, _ := c.answer(); r.StatusCode != want {
			t.Fatalf("answer %d is %d, want %d", n+1, r.StatusCode, want)
		}
	}
	c.closed()
}

// TestTooManyStrangersAreCountedNotLogged: beyond their rate strangers get 503, whoever they are,
// and cost no line of the log.
func TestTooManyStrangersAreCountedNotLogged(t *testing.T) {
	t.Parallel()
	e, logs := newEntrance(t, limits()) // 5 a second, 10 at once
	post := "POST " + path + " HTTP/1.1\r\nHost: hub\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n"
	statuses := map[int]int{}
	for range 30 {
		c := e.dial()
		c.send(post)
		r, _ := c.answer()
		statuses[r.StatusCode]++
		if r.StatusCode == http.StatusServiceUnavailable && (r.Header.Get("Retry-After") == "" || r.Header.Get("X-Sinba-Codice") != "SINBA_503" || !r.Close) {
			t.Errorf("%v", r.Header)
		}
	}
	if statuses[401] != 10 || statuses[503] != 20 || logs.Len() != 10 {
		t.Errorf("answers %v, %d lines of log", statuses, logs.Len())
	}
	c := e.dial()
	c.send("GET " + path + "?wsdl HTTP/1.1\r\nHost: hub\r\n\r\n")
	if r, _ := c.answer(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("the description costs nothing: %d", r.StatusCode)
	}
	for range 5 {
		c := e.dial()
		c.send("GET / HTTP/1.1\r\nHost: hub\r\nX: y\n\r\n")
		if r, _ := c.answer(); r.StatusCode != http.StatusBadRequest {
			t.Errorf("a flawed request: %d", r.StatusCode)
		}
	}
	if logs.Len() != 10 {
		t.Errorf("flawed requests cost %d lines of log", logs.Len()-10)
	}
	if n := e.figure("hub_admission_rejected_total", "strangers"); n != 21 {
		t.Errorf("%d counted", n)
	}
	e.pass(time.Second)
	c = e.dial()
	c.send(post)
	if r, _ := c.answer(); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a second later: %d", r.StatusCode)
	}
}

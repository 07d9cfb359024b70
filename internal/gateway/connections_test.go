package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sinbahub/sinbahub/internal/gateway"
)

// door is a server over guarded connections with a clock of the test's.
type door struct {
	t           *testing.T
	connections gateway.Connections
	registry    *prometheus.Registry
	address     string

	mu  sync.Mutex
	now time.Time
}

func newDoor(t *testing.T, limits gateway.Limits, handler func(http.ResponseWriter, gateway.Request)) *door {
	t.Helper()
	d := &door{t: t, registry: prometheus.NewRegistry(), now: noon()}
	d.connections = gateway.NewConnections(limits, d.time, d.registry)
	d.serve(d.connections.Serve(handler), d.connections)
	return d
}

// serve answers on a free port until the test ends.
func (d *door) serve(server *http.Server, connections gateway.Connections) {
	d.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(d.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.address = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(connections.Guard(listener)); !errors.Is(err, http.ErrServerClosed) {
			d.t.Error(err)
		}
	}()
	d.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

func (d *door) time() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// pass lets time pass and the watch look.
func (d *door) pass(by time.Duration) {
	d.mu.Lock()
	d.now = d.now.Add(by)
	d.mu.Unlock()
	d.connections.Look()
}

// client is one connection as its client has it.
type client struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

// dial connects, from another loopback address if one is given.
func (d *door) dial(from ...string) *client {
	d.t.Helper()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if len(from) > 0 {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from[0])}
	}
	conn, err := dialer.DialContext(d.t.Context(), "tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{conn, d.t, bufio.NewReader(conn)}
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
func (d *door) await(want string) {
	d.t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 30_000 {
		if fmt.Sprint(d.connections.States()) == want {
			return
		}
		<-ticker.C
	}
	d.t.Fatalf("connections are %v, want %s", d.connections.States(), want)
}

// cuts reads hub_connections_cut_total or _refused_total.
func (d *door) count(name, reason string) int {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == reason {
				return int(metric.GetCounter().GetValue())
			}
		}
	}
	d.t.Fatalf("no metric %s of %s", name, reason)
	return 0
}

// wantCut lets the watch look until it has cut a connection: who is not waited for at the moment
// of a look is seen by the next.
func (d *door) wantCut(reason string) {
	d.t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 30_000 {
		if d.count("hub_connections_cut_total", reason) == 1 {
			return
		}
		d.pass(0)
		<-ticker.C
	}
	d.t.Fatalf("no connection was cut for %s", reason)
}

func ok(w http.ResponseWriter, _ gateway.Request) { _, _ = io.WriteString(w, "ok") }

func TestSlowHeadsAreCut(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*door, *client){
		"nothing":             func(*door, *client) {},
		"half a request line": func(_ *door, c *client) { c.send("PO") },
		"half a head":         func(_ *door, c *client) { c.send(post) },
		"of the second request": func(d *door, c *client) {
			c.open()
			d.await("map[idle:1]")
			d.pass(59 * time.Second) // idle
			c.send("P")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, limits(), ok)
			c := d.dial()
			before(d, c)
			if name == "nothing" {
				d.await("map[idle:1]")
			} else {
				d.await("map[head:1]")
			}
			d.pass(5 * time.Second)
			if n := d.count("hub_connections_cut_total", "slow_head"); n != 0 {
				t.Fatal("cut before its time")
			}
			d.pass(time.Second)
			d.wantCut("slow_head")
			// net/http takes half a request line for a whole one.
			if text, err := io.ReadAll(c.reader); err != nil || len(text) > 0 && !strings.HasPrefix(string(text), "HTTP/1.1 400 ") {
				t.Errorf("not closed: %q, %v", text, err)
			}
			d.await("map[]")
		})
	}
}

func TestIdleConnectionsAreClosedAfterAMinute(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), ok)
	c := d.dial()
	c.open()
	d.await("map[idle:1]")
	d.pass(time.Minute)
	c.open()
	d.await("map[idle:1]")
	d.pass(61 * time.Second)
	d.wantCut("idle")
	c.closed()
}

// reading reads bodies, tells how far it is, and what went wrong.
func reading(read chan<- int, failed chan<- error) func(http.ResponseWriter, gateway.Request) {
	return func(w http.ResponseWriter, r gateway.Request) {
		buffer, total := make([]byte, 1000), 0
		for {
			n, err := r.Body.Read(buffer)
			total += n
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed <- err
					w.Header().Set("Connection", "close")
				}
				_, _ = io.WriteString(w, "answered")
				return
			}
			select {
			case read <- total:
			default:
			}
		}
	}
}

// TestSlowBodiesAreCut: after the first five seconds a body must have come at 10 kB/s, whatever
// else; the sender is told.
func TestSlowBodiesAreCut(t *testing.T) {
	t.Parallel()
	chunks := "Transfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		request   string
		content   int
		good, bad time.Duration
	}{
		"nothing":       {"Content-Length: 100000\r\n\r\n", 0, 5 * time.Second, 6 * time.Second},
		"60 kB":         {"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 60_000), 60_000, 11 * time.Second, 12 * time.Second},
		"1 MB of 2":     {"Content-Length: 2000000\r\n\r\n" + strings.Repeat("x", 1_000_000), 1_000_000, 105 * time.Second, 106 * time.Second},
		"chunked":       {chunks + "64\r\n", 0, 5 * time.Second, 6 * time.Second},
		"chunked, 1 MB": {chunks + "f4240\r\n" + strings.Repeat("x", 1_000_000), 1_000_000, 30 * time.Second, 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read, failed := make(chan int, 10_000), make(chan error, 1)
			d := newDoor(t, limits(), reading(read, failed))
			client := d.dial()
			client.send(post + c.request)
			for n := 0; n < c.content; {
				n = <-read
			}
			d.await("map[body:1]")
			d.pass(c.good)
			if n := d.count("hub_connections_cut_total", "slow_body"); n != 0 {
				t.Fatal("cut before its time")
			}
			d.pass(c.bad - c.good)
			d.wantCut("slow_body")
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler got %v", err)
			}
			if _, body := client.answer(); body != "answered" {
				t.Errorf("the client got %q", body)
			}
			client.closed()
			d.await("map[]")
		})
	}
}

// TestABodysTimeBeginsWithItsHeadsEnd: a slow head has its own deadline.
func TestABodysTimeBeginsWithItsHeadsEnd(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), func(w http.ResponseWriter, r gateway.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), err)
	})
	c := d.dial()
	c.send(post)
	d.await("map[head:1]")
	d.pass(4 * time.Second)
	c.send("Content-Length: 3\r\n\r\n")
	d.await("map[body:1]")
	d.pass(4 * time.Second)
	c.send("abc")
	if _, body := c.answer(); body != "abc<nil>" {
		t.Errorf("answer %q", body)
	}
}

// TestTheHubsOwnTimeIsNotTheClients: an exchange may take long, and what the client sends for the
// next one meanwhile waits without blame.
func TestTheHubsOwnTimeIsNotTheClients(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	d := newDoor(t, limits(), func(w http.ResponseWriter, r gateway.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Slow") != "" {
			close(begun)
			<-release
			if r.Context().Err() != nil {
				t.Error("the exchange was given up")
			}
		}
		_, _ = fmt.Fprint(w, string(body), err)
	})
	const rest = "Content-Length: 4\r\n\r\nefgh"
	for name, next := range map[string]string{"body": strings.TrimSuffix(rest, "efgh"), "head": ""} {
		begun, release = make(chan struct{}), make(chan struct{})
		c := d.dial()
		c.send(post + "Slow: 1\r\nContent-Length: 3\r\n\r\nabc" + post + next)
		<-begun
		d.await("map[exchange:1]")
		d.pass(time.Hour)
		close(release)
		if _, body := c.answer(); body != "abc<nil>" {
			t.Fatalf("%s: first answer %q", name, body)
		}
		d.await("map[" + name + ":1]")
		d.pass(5 * time.Second)
		c.send(strings.TrimPrefix(rest, next))
		if _, body := c.answer(); body != "efgh<nil>" {
			t.Errorf("%s: second answer %q", name, body)
		}
		_ = c.Close()
		d.await("map[]")
	}
}

// TestSlowReadersAreCut: an answer must be taken at 10 kB/s after five seconds.
func TestSlowReadersAreCut(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	d := newDoor(t, limits(), func(w http.ResponseWriter, _ gateway.Request) {
		_, err := w.Write(make([]byte, 64<<20))
		failed <- err
	})
	c := d.dial()
	c.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	d.await("map[answer:1]")
	d.pass(5 * time.Second)
	d.await("map[answer:1]")
	// More than the system's buffers could have taken at 10 kB/s.
	for range 200 {
		d.pass(5 * time.Second)
	}
	d.wantCut("slow_answer")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler got %v", err)
	}
	d.await("map[]")
}

// TestReadersThatTakeALittleNowAndThenAreCut: it is the whole answer's time that counts, not that
// of the piece being written.
func TestReadersThatTakeALittleNowAndThenAreCut(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), func(w http.ResponseWriter, _ gateway.Request) { _, _ = w.Write(make([]byte, 64<<20)) })
	c := d.dial()
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	c.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	d.await("map[answer:1]")
	buffer := make([]byte, 24<<10)
	for range 100 {
		d.pass(4 * time.Second)
		if d.count("hub_connections_cut_total", "slow_answer") == 1 {
			return
		}
		_, _ = io.ReadFull(c, buffer)
		d.await("map[answer:1]")
	}
	t.Error("6 kB/s for 400 s and not cut")
}

// TestSilentConnectionsKeepNobodyOut opens many more connections than there may be; each newcomer
// is served, and the oldest silent ones go.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), ok) // a quarter of 16 are strangers'
	var silent []*client
	for range 50 {
		silent = append(silent, d.dial())
		d.dial().open()
	}
	if states := d.connections.States(); states["idle"]+states["exchange"] > 4 {
		t.Errorf("%v connections where 4 may be", states)
	}
	silent[0].closed()
	if n := d.count("hub_connections_refused_total", "strangers"); n < 90 {
		t.Errorf("%d connections were over the share", n)
	}
}

// TestStrangersWhoKeepTheHubBusyKeepNobodyOut: neither bodies that never come nor answers that
// nobody takes hold a place against a newcomer.
func TestStrangersWhoKeepTheHubBusyKeepNobodyOut(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), func(w http.ResponseWriter, r gateway.Request) {
		if r.Header.Get("Much") != "" {
			_, _ = w.Write(make([]byte, 64<<20))
		}
	})
	for range 10 {
		d.dial().send(post + "Content-Length: 10\r\n\r\n")
		d.dial().send("GET / HTTP/1.1\r\nHost: hub\r\nMuch: 1\r\n\r\n")
		d.dial().open()
	}
}

// TestOneAddressCannotTakeTheStrangersShare: who is over its own share pays for it.
func TestOneAddressCannotTakeTheStrangersShare(t *testing.T) {
	t.Parallel()
	l := limits()
	l.ConnectionsPerAddress = 2
	d := newDoor(t, l, ok)
	other := d.dial("127.0.0.2")
	other.open()
	first := d.dial()
	first.open()
	for range 10 {
		d.dial().open()
	}
	other.open()
	first.closed()
	if states := d.connections.States(); states["idle"] > 3 {
		t.Errorf("%v connections where 3 may be", states)
	}
}

// TestACrowdFromOneAddressPushesOutItself: with room for four, a stranger from an address of its
// own stays while another address comes again and again.
func TestACrowdFromOneAddressPushesOutItself(t *testing.T) {
	t.Parallel()
	d := newDoor(t, limits(), ok)
	other := d.dial("127.0.0.2")
	other.open()
	first := d.dial()
	for range 20 {
		d.dial().open()
	}
	other.open()
	first.closed()

	// Of addresses that have one each, the oldest goes.
	d = newDoor(t, limits(), ok)
	var all []*client
	for i := range 6 {
		all = append(all, d.dial(fmt.Sprintf("127.0.0.%d", i+1)))
		all[i].open()
	}
	all[0].closed()
	all[1].closed()
	for _, c := range all[2:] {
		c.open()
	}
}

// participants serves as the participant named in a header; who waits says so.
func participants(t *testing.T, release <-chan struct{}) func(http.ResponseWriter, gateway.Request) {
	t.Helper()
	return func(w http.ResponseWriter, r gateway.Request) {
		var participant int32
		if _, err := fmt.Sscan(r.Header.Get("Participant"), &participant); err == nil {
			if full, ok := r.Identify(participant); !ok {
				w.Header().Set("Connection", "close")
				http.Error(w, full, http.StatusTooManyRequests)
				return
			}
		}
		if r.Header.Get("Wait") != "" {
			<-release
		}
	}
}

// as makes a request of a participant.
func as(participant int) string {
	return fmt.Sprintf("GET / HTTP/1.1\r\nHost: hub\r\nParticipant: %d\r\n", participant)
}

// TestAParticipantsNewConnectionTakesItsLongestIdle: over its share a participant pays itself, and
// is refused only when all of its connections work.
func TestAParticipantsNewConnectionTakesItsLongestIdle(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDoor(t, limits(), participants(t, release))
	join := func(participant, idle int) *client {
		c := d.dial()
		c.send(as(participant) + "\r\n")
		c.answer()
		d.await(fmt.Sprintf("map[idle:%d]", idle))
		d.pass(time.Second) // so that one is idle longer than the next
		return c
	}
	other := join(2, 1)
	var mine []*client
	for i := range 4 {
		mine = append(mine, join(1, i+2))
	}
	mine[0].send(as(1) + "\r\n") // now the second is longest idle
	mine[0].answer()
	d.await("map[idle:5]")
	mine = append(mine, join(1, 5))
	mine[1].closed()
	working := []*client{mine[0], mine[2], mine[3], mine[4]}
	for _, c := range working {
		c.send(as(1) + "Wait: 1\r\n\r\n")
	}
	d.await("map[exchange:4 idle:1]")
	late := d.dial()
	late.send(as(1) + "\r\n")
	if r, body := late.answer(); r.StatusCode != http.StatusTooManyRequests || strings.TrimSpace(body) != "participant" {
		t.Errorf("status %d, %s", r.StatusCode, body)
	}
	late.closed()
	other.open()
	close(release)
	for _, c := range working {
		if r, _ := c.answer(); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
	}
	if n := d.count("hub_connections_refused_total", "participant"); n != 2 {
		t.Errorf("%d times over the share, want 2", n)
	}
}

// TestParticipantsAndStrangersHaveSharesOfTheirOwn: neither takes the other's.
func TestParticipantsAndStrangersHaveSharesOfTheirOwn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDoor(t, limits(), participants(t, release))
	var working []*client
	for participant := 1; participant <= 3; participant++ {
		for range 4 {
			c := d.dial()
			c.send(as(participant) + "Wait: 1\r\n\r\n")
			working = append(working, c)
			d.await(fmt.Sprintf("map[exchange:%d]", len(working)))
		}
	}
	for range 20 {
		d.dial().open()
	}
	late := d.dial()
	late.send(as(4) + "\r\n")
	if r, body := late.answer(); r.StatusCode != http.StatusTooManyRequests || strings.TrimSpace(body) != "all" {
		t.Errorf("status %d, %s", r.StatusCode, body)
	}
	close(release)
	for _, c := range working {
		if r, _ := c.answer(); r.StatusCode != http.StatusOK {
			t.Errorf("status %d", r.StatusCode)
		}
	}
	d.dial().open()
	late = d.dial()
	late.send(as(4) + "\r\n")
	if r, _ := late.answer(); r.StatusCode != http.StatusOK {
		t.Errorf("status %d once others are idle", r.StatusCode)
	}
	if states := d.connections.States(); states["idle"]+states["exchange"] > 16 {
		t.Errorf("%v connections where 16 may be", states)
	}
}

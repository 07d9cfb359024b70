package door_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSlowHeadsAreCut(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*gate, *client){
		"nothing":             func(*gate, *client) {},
		"half a request line": func(_ *gate, c *client) { c.send("PO") },
		"half a head":         func(_ *gate, c *client) { c.send(post) },
		"of the second request": func(g *gate, c *client) {
			c.open()
			g.await("map[idle:1]")
			g.pass(59 * time.Second) // idle
			c.send("P")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, limits(), ok)
			c := g.dial()
			before(g, c)
			if name == "nothing" {
				g.await("map[idle:1]")
			} else {
				g.await("map[head:1]")
			}
			g.pass(5 * time.Second)
			if n := g.count("hub_connections_cut_total", "slow_head"); n != 0 {
				t.Fatal("cut before its time")
			}
			g.pass(time.Second)
			g.wantCut("slow_head")
			// net/http takes half a request line for a whole one.
			if text, err := io.ReadAll(c.reader); err != nil || len(text) > 0 && !strings.HasPrefix(string(text), "HTTP/1.1 400 ") {
				t.Errorf("not closed: %q, %v", text, err)
			}
			g.await("map[]")
		})
	}
}

func TestIdleConnectionsAreClosedAfterAMinute(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), ok)
	c := g.dial()
	c.open()
	g.await("map[idle:1]")
	g.pass(time.Minute)
	c.open()
	g.await("map[idle:1]")
	g.pass(61 * time.Second)
	g.wantCut("idle")
	c.closed()
}

// reading reads bodies, tells how far it is, and what went wrong.
func reading(read chan<- int, failed chan<- error) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
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
			g := newGate(t, limits(), reading(read, failed))
			client := g.dial()
			client.send(post + c.request)
			for n := 0; n < c.content; {
				n = <-read
			}
			g.await("map[body:1]")
			g.pass(c.good)
			if n := g.count("hub_connections_cut_total", "slow_body"); n != 0 {
				t.Fatal("cut before its time")
			}
			g.pass(c.bad - c.good)
			g.wantCut("slow_body")
			if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler got %v", err)
			}
			if _, body := client.answer(); body != "answered" {
				t.Errorf("the client got %q", body)
			}
			client.closed()
			g.await("map[]")
		})
	}
}

// TestABodysTimeBeginsWithItsHeadsEnd: a slow head has its own deadline.
func TestABodysTimeBeginsWithItsHeadsEnd(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, string(body), err)
	})
	c := g.dial()
	c.send(post)
	g.await("map[head:1]")
	g.pass(4 * time.Second)
	c.send("Content-Length: 3\r\n\r\n")
	g.await("map[body:1]")
	g.pass(4 * time.Second)
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
	g := newGate(t, limits(), func(w http.ResponseWriter, r *http.Request) {
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
		c := g.dial()
		c.send(post + "Slow: 1\r\nContent-Length: 3\r\n\r\nabc" + post + next)
		<-begun
		g.await("map[exchange:1]")
		g.pass(time.Hour)
		close(release)
		if _, body := c.answer(); body != "abc<nil>" {
			t.Fatalf("%s: first answer %q", name, body)
		}
		g.await("map[" + name + ":1]")
		g.pass(5 * time.Second)
		c.send(strings.TrimPrefix(rest, next))
		if _, body := c.answer(); body != "efgh<nil>" {
			t.Errorf("%s: second answer %q", name, body)
		}
		_ = c.Close()
		g.await("map[]")
	}
}

// TestSlowReadersAreCut: an answer must be taken at 10 kB/s after five seconds.
func TestSlowReadersAreCut(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	g := newGate(t, limits(), func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(make([]byte, 64<<20))
		failed <- err
	})
	c := g.dial()
	c.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	g.await("map[answer:1]")
	g.pass(5 * time.Second)
	g.await("map[answer:1]")
	// More than the system's buffers could have taken at 10 kB/s.
	for range 200 {
		g.pass(5 * time.Second)
	}
	g.wantCut("slow_answer")
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler got %v", err)
	}
	g.await("map[]")
}

// TestReadersThatTakeALittleNowAndThenAreCut: it is the whole answer's time that counts, not that
// of the piece being written.
func TestReadersThatTakeALittleNowAndThenAreCut(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 64<<20)) })
	c := g.dial()
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	c.send("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")
	g.await("map[answer:1]")
	buffer := make([]byte, 24<<10)
	for range 100 {
		g.pass(4 * time.Second)
		if g.count("hub_connections_cut_total", "slow_answer") == 1 {
			return
		}
		_, _ = io.ReadFull(c, buffer)
		g.await("map[answer:1]")
	}
	t.Error("6 kB/s for 400 s and not cut")
}

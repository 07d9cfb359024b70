package door_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/door"
)

// TestSilentConnectionsKeepNobodyOut opens many more connections than there may be; each newcomer
// is served, and the oldest silent ones go.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), ok) // a quarter of 16 are strangers'
	var silent []*client
	for range 50 {
		silent = append(silent, g.dial())
		g.dial().open()
	}
	if states := g.connections.States(); states["idle"]+states["exchange"] > 4 {
		t.Errorf("%v connections where 4 may be", states)
	}
	silent[0].closed()
	if n := g.count("hub_connections_refused_total", "strangers"); n < 90 {
		t.Errorf("%d connections were over the share", n)
	}
}

// TestStrangersWhoKeepTheHubBusyKeepNobodyOut: neither bodies that never come nor answers that
// nobody takes hold a place against a newcomer.
func TestStrangersWhoKeepTheHubBusyKeepNobodyOut(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Much") != "" {
			_, _ = w.Write(make([]byte, 64<<20))
		}
	})
	for range 10 {
		g.dial().send(post + "Content-Length: 10\r\n\r\n")
		g.dial().send("GET / HTTP/1.1\r\nHost: hub\r\nMuch: 1\r\n\r\n")
		g.dial().open()
	}
}

// TestOneAddressCannotTakeTheStrangersShare: who is over its own share pays for it.
func TestOneAddressCannotTakeTheStrangersShare(t *testing.T) {
	t.Parallel()
	l := limits()
	l.ConnectionsPerAddress = 2
	g := newGate(t, l, ok)
	other := g.dial("127.0.0.2")
	other.open()
	first := g.dial()
	first.open()
	for range 10 {
		g.dial().open()
	}
	other.open()
	first.closed()
	if states := g.connections.States(); states["idle"] > 3 {
		t.Errorf("%v connections where 3 may be", states)
	}
}

// TestACrowdFromOneAddressPushesOutItself: with room for four, a stranger from an address of its
// own stays while another address comes again and again.
func TestACrowdFromOneAddressPushesOutItself(t *testing.T) {
	t.Parallel()
	g := newGate(t, limits(), ok)
	other := g.dial("127.0.0.2")
	other.open()
	first := g.dial()
	for range 20 {
		g.dial().open()
	}
	other.open()
	first.closed()

	// Of addresses that have one each, the oldest goes.
	g = newGate(t, limits(), ok)
	var all []*client
	for i := range 6 {
		all = append(all, g.dial(fmt.Sprintf("127.0.0.%d", i+1)))
		all[i].open()
	}
	all[0].closed()
	all[1].closed()
	for _, c := range all[2:] {
		c.open()
	}
}

// participants serves as the participant named in a header; who waits says so.
func participants(t *testing.T, release <-chan struct{}) func(http.ResponseWriter, *http.Request) {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		var participant int32
		if _, err := fmt.Sscan(r.Header.Get("Participant"), &participant); err == nil {
			if full, ok := door.Identify(r, participant); !ok {
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
	g := newGate(t, limits(), participants(t, release))
	join := func(participant, idle int) *client {
		c := g.dial()
		c.send(as(participant) + "\r\n")
		c.answer()
		g.await(fmt.Sprintf("map[idle:%d]", idle))
		g.pass(time.Second) // so that one is idle longer than the next
		return c
	}
	other := join(2, 1)
	var mine []*client
	for i := range 4 {
		mine = append(mine, join(1, i+2))
	}
	mine[0].send(as(1) + "\r\n") // now the second is longest idle
	mine[0].answer()
	g.await("map[idle:5]")
	mine = append(mine, join(1, 5))
	mine[1].closed()
	working := []*client{mine[0], mine[2], mine[3], mine[4]}
	for _, c := range working {
		c.send(as(1) + "Wait: 1\r\n\r\n")
	}
	g.await("map[exchange:4 idle:1]")
	late := g.dial()
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
	if n := g.count("hub_connections_refused_total", "participant"); n != 2 {
		t.Errorf("%d times over the share, want 2", n)
	}
}

// TestParticipantsAndStrangersHaveSharesOfTheirOwn: neither takes the other's.
func TestParticipantsAndStrangersHaveSharesOfTheirOwn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	g := newGate(t, limits(), participants(t, release))
	var working []*client
	for participant := 1; participant <= 3; participant++ {
		for range 4 {
			c := g.dial()
			c.send(as(participant) + "Wait: 1\r\n\r\n")
			working = append(working, c)
			g.await(fmt.Sprintf("map[exchange:%d]", len(working)))
		}
	}
	for range 20 {
		g.dial().open()
	}
	late := g.dial()
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
	g.dial().open()
	late = g.dial()
	late.send(as(4) + "\r\n")
	if r, _ := late.answer(); r.StatusCode != http.StatusOK {
		t.Errorf("status %d once others are idle", r.StatusCode)
	}
	if states := g.connections.States(); states["idle"]+states["exchange"] > 16 {
		t.Errorf("%v connections where 16 may be", states)
	}
}

package delivery_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// awaitRoom waits until a dispatcher takes what is accepted.
func awaitRoom(t *testing.T, k *carrier) {
	t.Helper()
	for patience := time.Now().Add(time.Minute); !room(k); k.Wake() {
		if time.Now().After(patience) {
			t.Fatal("no room")
		}
	}
}

// room tells whether there is any, and gives it back.
func room(c postgres.Carrier) bool {
	r := c.Reserve(1)
	if r.Deliveries > 0 {
		c.Hand(r, nil)
	}
	return r.Deliveries > 0
}

func TestAcceptedEventsAreCarriedWithoutAClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Poll = time.Hour })
	w.store.HandTo(k)
	awaitRoom(t, k)
	var events []accepted
	for range 20 {
		e := w.accept(t, newChild(), nil)
		k.until(t, e.transmission, hub.Delivered)
		events = append(events, e)
	}
	exactlyOnce(t, file, events)
	if n := counter(t, k, "hub_deliveries_begun_total", "accepted"); n != float64(len(events)) {
		t.Errorf("%v of %d were handed over", n, len(events))
	}
}

// Together with claims and a sick endpoint: each event once, each case in order.
func TestCarryingBothWaysKeepsOrderAndCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{CutRatio: .1, FailRatio: .1, GarbageRatio: .05})
	k := w.carry(t, s.URL(), nil)
	w.store.HandTo(k)
	awaitRoom(t, k)
	events := w.several(t, 20, 6)
	k.final(t, len(events))
	exactlyOnce(t, file, events)
	inOrder(t, file)
	if counter(t, k, "hub_deliveries_begun_total", "accepted") == 0 || counter(t, k, "hub_deliveries_begun_total", "claimed") == 0 {
		t.Error("not both ways were used")
	}
}

// What has waited goes before what comes; a dead endpoint and an agreed rate are for claims to keep.
func TestNoRoomWhileOthersWait(t *testing.T) {
	t.Parallel()
	t.Run("not running", func(t *testing.T) {
		t.Parallel()
		d, err := delivery.New(delivery.Config{URL: "http://siss.example/"}, parts(t))
		if err != nil {
			t.Fatal(err)
		}
		if room(d) {
			t.Error("room before the first claim")
		}
	})
	t.Run("agreed rate", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := nation(t, siss.Faults{})
		k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Rate = 1000 })
		k.until(t, w.accept(t, newChild(), nil).transmission, hub.Delivered)
		if room(k) {
			t.Error("room beside the agreed rate")
		}
	})
	t.Run("dead endpoint", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		k := w.carry(t, "http://127.0.0.1:1/", func(c *delivery.Config) { c.Failures = 1 })
		k.until(t, w.accept(t, newChild(), nil).transmission, hub.Retrying)
		if room(k) {
			t.Error("room while the endpoint is dead")
		}
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		s, _ := nation(t, siss.Faults{})
		k := w.carry(t, s.URL(), nil)
		awaitRoom(t, k)
		k.stop()
		if room(k) {
			t.Error("room after the end")
		}
	})
}

// An acceptance that commits while the dispatcher stops is neither lost nor waited for by a lease.
func TestWhatIsAcceptedDuringAStopIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	k := w.carry(t, s.URL(), nil)
	awaitRoom(t, k)
	gate := &gated{Dispatcher: k.Dispatcher, reserved: make(chan struct{}), open: make(chan struct{})}
	w.store.HandTo(gate)
	stopped := make(chan struct{})
	go func() {
		<-gate.reserved
		go func() { defer close(stopped); k.stop() }()
		for !k.Stopping() {
			runtime.Gosched()
		}
		close(gate.open)
	}()
	e := w.accept(t, newChild(), nil)
	<-stopped
	if n := len(taken(t, file)); n != 0 {
		t.Errorf("%d sent after the stop", n)
	}
	// Due at once, as if it had never been taken.
	next := w.carry(t, s.URL(), nil)
	next.until(t, e.transmission, hub.Delivered)
	if n := s.Stats()["statoTrasmissione/SCONOSCIUTO"]; n != 0 {
		t.Error("it was uncertain")
	}
}

// gated lets an accepting transaction go on only once the test says so.
type gated struct {
	*delivery.Dispatcher

	reserved, open chan struct{}
}

func (g *gated) Reserve(most int) postgres.Room {
	room := g.Dispatcher.Reserve(most)
	close(g.reserved)
	<-g.open
	return room
}

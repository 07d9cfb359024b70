package postgres_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// waiter is what the model knows of one delivery.
type waiter struct {
	*postgres.Acceptance

	turn, position int32
	state          hub.DeliveryState
	// later says that its next attempt is not due within this test.
	later bool
}

// modelCase is a case of the model: a line of deliveries and at most one in flight.
type modelCase struct {
	all      []*waiter
	inFlight *waiter
	claimed  postgres.Claimed
}

// line are the deliveries that are not final, in the order in which they go.
func (c *modelCase) line() (line []*waiter) {
	for _, w := range c.all {
		if w.state != hub.Delivered && w.state != hub.Refused {
			line = append(line, w)
		}
	}
	slices.SortFunc(line, func(a, b *waiter) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.position, b.position))
	})
	return line
}

// next is what must be claimed of the case now; nil for nothing.
func (c *modelCase) next() *waiter {
	line := c.line()
	if c.inFlight != nil || len(line) == 0 || line[0].later {
		return nil
	}
	switch line[0].state {
	case hub.Pending, hub.Retrying, hub.Uncertain:
		return line[0]
	case hub.Sending, hub.Delivered, hub.Refused, hub.Dead, hub.Parked:
	}
	return nil
}

// head is what all others of the case wait behind.
func (c *modelCase) head() *waiter {
	if c.inFlight != nil {
		return c.inFlight
	}
	if line := c.line(); len(line) > 0 {
		return line[0]
	}
	return nil
}

// draw accepts another event of the case: new ones at any number, corrections and annulments.
func (c *modelCase) draw(tb testing.TB, t *rapid.T, store *postgres.Store) {
	tb.Helper()
	first := c.all[0].Acceptance
	a := follow(first, rapid.Int32Range(2, 9).Draw(t, "number"))
	turn := a.Sequence
	var live []*waiter
	for _, w := range c.all[1:] {
		annulled := slices.ContainsFunc(c.all, func(o *waiter) bool {
			return o.Operation == sinba.Annullamento && o.RefersTo == w.Key.Event
		})
		if w.Operation == sinba.Inserimento && !annulled {
			live = append(live, w)
		}
	}
	a.Operation = rapid.SampledFrom([]sinba.Operation{"I", "I", "R", "A"}).Draw(t, "operation")
	if len(live) == 0 {
		a.Operation = sinba.Inserimento
	}
	if a.Operation != sinba.Inserimento {
		of := rapid.SampledFrom(live).Draw(t, "of")
		a.RefersTo = of.Key.Event
		turn = max(turn, of.Sequence)
		for _, w := range c.all {
			if a.Operation == sinba.Annullamento && w.RefersTo == a.RefersTo {
				turn = max(turn, w.Sequence)
			}
		}
	}
	accept(tb, store, a)
	c.all = append(c.all, &waiter{Acceptance: a, turn: turn, position: int32(len(c.all) + 1), state: hub.Pending})
}

// settle ends the attempt that is in flight, in any way there is.
func (c *modelCase) settle(tb testing.TB, t *rapid.T, store *postgres.Store) {
	tb.Helper()
	w := c.inFlight
	w.state = rapid.SampledFrom([]hub.DeliveryState{
		hub.Delivered, hub.Delivered, hub.Delivered, hub.Refused, hub.Retrying, hub.Uncertain, hub.Dead, hub.Parked,
	}).Draw(t, "outcome")
	end := settlement(c.claimed, w.state)
	if w.later = rapid.IntRange(0, 4).Draw(t, "later") == 0; !w.later {
		end.RetryIn = 0
	}
	if err := store.Settle(tb.Context(), end); err != nil {
		tb.Fatal(err)
	}
	c.inFlight = nil
}

// Random histories with random outcomes against a model of the queue: of each case exactly the one
// that goes first is claimed and nothing else, whatever other cases wait for; and what waits says
// behind what.
func TestQueueIsOneLineForEachCase(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	referred, held, blocked := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		var cases []*modelCase
		for range rapid.IntRange(1, 3).Draw(rt, "cases") {
			first := acceptance(ente.ID)
			accept(t, store, first)
			cases = append(cases, &modelCase{all: []*waiter{{Acceptance: first, turn: 1, position: 1, state: hub.Pending}}})
		}
		for range rapid.IntRange(5, 20).Draw(rt, "steps") {
			c := rapid.SampledFrom(cases).Draw(rt, "case")
			switch step := rapid.SampledFrom([]string{"accept", "claim", "claim", "settle", "settle"}).Draw(rt, "step"); {
			case step == "accept":
				c.draw(t, rt, store)
				if c.all[len(c.all)-1].Operation != sinba.Inserimento {
					referred++
				}
			case step == "settle" && c.inFlight != nil:
				c.settle(t, rt, store)
			case step == "claim":
				claimAsModelled(t, store, cases)
			}
			held += waitAsModelled(t, store, c)
			if line := c.line(); len(line) > 1 && c.next() == nil && c.inFlight == nil {
				blocked++
			}
		}
		// What is left in flight must not be seen by the next history as due.
		for _, c := range cases {
			if c.inFlight != nil {
				settle(t, store, c.claimed, hub.Parked)
			}
		}
		drain(t, store)
	})
	if referred == 0 || held == 0 || blocked == 0 {
		t.Errorf("%d corrections, %d waited, %d held their case", referred, held, blocked)
	}
}

// claimAsModelled claims all that is due and compares it with what the model says.
func claimAsModelled(t *testing.T, store *postgres.Store, cases []*modelCase) {
	t.Helper()
	claimed := map[uuid.UUID]postgres.Claimed{}
	for _, c := range claim(t, store, 100) {
		claimed[c.ID] = c
	}
	for _, c := range cases {
		want := c.next()
		if want == nil {
			continue
		}
		got, ok := claimed[want.TransmissionID]
		if !ok {
			t.Fatalf("number %d (turn %d, %s) of a case was not claimed", want.Sequence, want.turn, want.state)
		}
		if got.Uncertain != (want.state == hub.Uncertain) {
			t.Fatalf("%s claimed as uncertain: %v", want.state, got.Uncertain)
		}
		delete(claimed, want.TransmissionID)
		c.inFlight, c.claimed = want, got
	}
	if len(claimed) > 0 {
		t.Fatalf("%d claimed that had to wait", len(claimed))
	}
}

// waitAsModelled compares what the deliveries of a case wait behind with the model.
func waitAsModelled(t *testing.T, store *postgres.Store, c *modelCase) (waiting int) {
	t.Helper()
	line := c.line()
	all := make([]*postgres.Acceptance, 0, len(line))
	for _, w := range line {
		all = append(all, w.Acceptance)
	}
	found, head := behind(t, store, all...), c.head()
	for i, w := range line {
		got, waits := found[w.TransmissionID]
		if waits != (w != head) {
			t.Fatalf("number %d waits: %v", w.Sequence, waits)
		}
		if !waits {
			continue
		}
		ahead := i
		if at := slices.Index(line, head); at > i {
			ahead++ // it is on its way although it would go later
		}
		if got.Head != head.TransmissionID || int(got.Ahead) != ahead || got.Held != (c.inFlight != nil) {
			t.Fatalf("number %d waits behind %+v, want %s with %d ahead", w.Sequence, got, head.TransmissionID, ahead)
		}
		waiting++
	}
	return waiting
}

// drain sets aside whatever is still due.
func drain(t *testing.T, store *postgres.Store) {
	t.Helper()
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		left := claim(t, store, 100)
		if len(left) == 0 {
			return
		}
		for _, c := range left {
			settle(t, store, c, hub.Parked)
		}
	}
	t.Fatal("never drained")
}

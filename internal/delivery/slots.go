package delivery

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// slotBatch is how many parts of a second's places are taken at once at most: what a process takes
// and does not use is lost to all.
const slotBatch = 10

// slotTime bounds one taking.
const slotTime = 5 * time.Second

// errNoSlot says that no place at the agreed rate came in time.
var errNoSlot = errors.New("no place at the agreed rate in time")

// slotTaker gives places that all instances share: postgres.Store.
type slotTaker interface {
	TakeSlots(ctx context.Context, env hub.Environment, rate, n int) (wait time.Duration, err error)
}

// slots keeps calls to the agreed rate. Places are taken from the database as many at once as there
// are callers waiting, and each is used when it comes or not at all, so that nothing is saved up for
// a burst, neither here nor over all instances.
type slots struct {
	store       slotTaker
	environment hub.Environment
	// rate is what is agreed at the moment, 0 for nothing.
	rate func() int
	now  func() time.Time

	queued atomic.Int64

	mu   sync.Mutex
	next time.Time // when the next of the places begins
	left int       // places that are left
	of   int       // the rate at which they were taken
}

// waiting is how many callers wait for a place.
func (s *slots) waiting() int { return int(s.queued.Load()) }

// enter is take for what has not begun: it gives up at once if seconds' worth of others wait already,
// as when a rate is agreed while many are claimed. Places minutes ahead would be none (slotHorizon).
func (s *slots) enter(ctx context.Context, until time.Time) error {
	return s.wait(ctx, until, true)
}

// take waits for a place, and for nothing if no rate was agreed. It gives up at the given time.
func (s *slots) take(ctx context.Context, until time.Time) error {
	return s.wait(ctx, until, false)
}

func (s *slots) wait(ctx context.Context, until time.Time, entering bool) error {
	if s.rate() == 0 {
		return nil
	}
	before := int(s.queued.Add(1)) - 1
	defer s.queued.Add(-1)
	for ; ; entering = false {
		rate := s.rate()
		if rate == 0 {
			return nil
		}
		if entering && before >= max(1, rate*holdSeconds) {
			return errNoSlot
		}
		at, err := s.place(ctx, rate)
		switch {
		case err != nil:
			return err
		case at.After(until):
			return errNoSlot
		}
		pause(ctx, at.Sub(s.now()))
		switch late := s.now().Sub(at); {
		case ctx.Err() != nil:
			return errNoSlot
		case late <= span(rate):
			return nil
		}
		// Too late for it (a process that was stopped, say): the place is gone.
	}
}

// span is how long after its beginning a place is still good, and the most that is taken at once.
func span(rate int) time.Duration { return time.Second / time.Duration(min(rate, slotBatch)) }

// place takes one place, and tells when it begins.
func (s *slots) place(ctx context.Context, rate int) (time.Time, error) {
	gap := time.Second / time.Duration(rate)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != rate {
		// Places of another rate are gone: they would come faster or more of them than is agreed now.
		s.left, s.of = 0, rate
	}
	for s.left > 0 && s.now().Sub(s.next) > span(rate) {
		s.left--
		s.next = s.next.Add(gap)
	}
	if s.left == 0 {
		n := max(1, min(rate/slotBatch, s.waiting()))
		ctx, cancel := context.WithTimeout(ctx, slotTime)
		defer cancel()
		wait, err := s.store.TakeSlots(ctx, s.environment, rate, n)
		if err != nil {
			return time.Time{}, err
		}
		// The answer took its time, so this is rather too late than too early.
		s.next, s.left = s.now().Add(wait), n
	}
	at := s.next
	s.left--
	s.next = at.Add(gap)
	return at, nil
}

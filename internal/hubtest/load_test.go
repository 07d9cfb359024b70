//go:build smoke

package hubtest_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

const (
	writers = 16
	// eventsOfCase is how many events a writer sends of one child before it takes the next, and
	// casesOfWriter how many children it may come to.
	eventsOfCase  = 25
	casesOfWriter = 2_000
	// giveUp is how long a writer repeats one event before it calls the hub dead.
	giveUp = 2 * time.Minute
)

// sent is one event a writer cares for, and the receipt it got in the end.
type sent struct {
	event    uuid.UUID
	child    hubtest.Child
	sequence int
	// attempts of which all but the last got no receipt.
	attempts int
	receipt  *hubtest.Receipt
	// refusals are the answers other than a receipt, by their first code.
	refusals []string
	// cut tells that an attempt ended without answer after the connection stood.
	cut bool
}

// load is what the writers do together.
type load struct {
	t        *testing.T
	sender   hubtest.Sender
	stopping atomic.Bool
	answered atomic.Int64
	// persistent writers repeat an event until they have its receipt; the others try once.
	persistent bool

	wg   sync.WaitGroup
	mu   sync.Mutex
	done []sent
}

// startLoad lets the writers send until stop, each its own cases, of children from first on.
func startLoad(t *testing.T, h *hubtest.Hub, persistent bool, first hubtest.Child) *load {
	t.Helper()
	l := &load{t: t, sender: h.Sender(hubtest.ChildEnte), persistent: persistent}
	for w := range writers {
		l.wg.Go(func() { l.write(first + hubtest.Child(casesOfWriter*w)) })
	}
	return l
}

// stop lets every writer finish the event it is at, and gives all of them.
func (l *load) stop() []sent {
	l.stopping.Store(true)
	l.wg.Wait()
	return l.done
}

// awaitAnswers returns when so many more requests were answered.
func (l *load) awaitAnswers(more int64) {
	l.t.Helper()
	until := l.answered.Load() + more
	hubtest.Await(l.t, giveUp, "the load is answered", func() bool { return l.answered.Load() >= until || l.t.Failed() })
}

func (l *load) write(child hubtest.Child) {
	for n := 0; !l.stopping.Load() && !l.t.Failed(); n++ {
		s := sent{event: uuid.New(), child: child + hubtest.Child(n/eventsOfCase), sequence: n%eventsOfCase + 1}
		l.send(&s)
		l.mu.Lock()
		l.done = append(l.done, s)
		l.mu.Unlock()
	}
}

// send tries to get a receipt. Every attempt has the content of the first.
func (l *load) send(s *sent) {
	ctx, cancel := context.WithTimeout(l.t.Context(), giveUp)
	defer cancel()
	for {
		s.attempts++
		a, err := l.sender.Send(ctx, soap.V11, s.child.Event(s.event, s.sequence))
		switch {
		case err != nil:
			s.cut = s.cut || !errors.Is(err, syscall.ECONNREFUSED)
		case a.Receipt != nil:
			s.receipt = a.Receipt
			l.answered.Add(1)
			return
		case a.Fault != nil && slices.Contains([]int{http.StatusInternalServerError, http.StatusServiceUnavailable}, a.Status):
			l.answered.Add(1)
			s.refusals = append(s.refusals, a.Header.Get("X-Sinba-Codice"))
		default:
			l.t.Errorf("an answer the contract does not know: %d %s", a.Status, a.Body)
			return
		}
		waited := pause(ctx, 50*time.Millisecond)
		if !l.persistent {
			return
		}
		if !waited {
			l.t.Errorf("no receipt after %d attempts: %v, refusals %v", s.attempts, err, s.refusals)
			return
		}
	}
}

// pause waits; it is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

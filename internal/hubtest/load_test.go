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
	t       *testing.T
	senders []hubtest.Sender
	// evidence takes every receipt before it is counted.
	evidence *evidence
	stopping atomic.Bool
	answered atomic.Int64
	// acknowledged counts receipts.
	acknowledged atomic.Int64
	// apart is how many children a writer has to itself.
	apart int
	// vigil waits for the first receipt after a moment.
	vigil atomic.Pointer[vigil]
	// persistent writers repeat an event until they have its receipt; the others try once.
	persistent bool

	wg   sync.WaitGroup
	mu   sync.Mutex
	done []sent
}

// startLoad lets the writers send until stop, each its own cases, of children from first on.
func startLoad(t *testing.T, h *hubtest.Hub, persistent bool, first hubtest.Child) *load {
	t.Helper()
	return startWriters(t, h, writersOf{writers: writers, persistent: persistent, first: first, apart: casesOfWriter})
}

// writersOf says who sends.
type writersOf struct {
	writers    int
	persistent bool
	// first is the first child, apart how many children a writer has to itself.
	first hubtest.Child
	apart int
	// doors are the addresses they share; empty means the hub's own.
	doors []string
}

// startWriters is startLoad with more to choose.
func startWriters(t *testing.T, h *hubtest.Hub, c writersOf) *load {
	t.Helper()
	l := &load{t: t, persistent: c.persistent, apart: c.apart, evidence: openEvidence(t, receiptsFile(h))}
	if len(c.doors) == 0 {
		c.doors = []string{h.Run.SoapURL}
	}
	for _, door := range c.doors {
		s := h.Sender(hubtest.ChildEnte)
		s.URL = door
		l.senders = append(l.senders, s)
	}
	for w := range c.writers {
		l.wg.Go(func() { l.write(c.first+hubtest.Child(c.apart*w), l.senders[w%len(l.senders)]) })
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

func (l *load) write(child hubtest.Child, sender hubtest.Sender) {
	for n := 0; !l.stopping.Load() && !l.t.Failed(); n++ {
		if n/eventsOfCase == l.apart {
			l.t.Error("a writer has no more children")
			return
		}
		s := sent{event: uuid.New(), child: child + hubtest.Child(n/eventsOfCase), sequence: n%eventsOfCase + 1}
		if err := l.evidence.intend(s.event); err != nil {
			l.t.Error(err)
			return
		}
		l.send(&s, sender)
		l.mu.Lock()
		l.done = append(l.done, s)
		l.mu.Unlock()
	}
}

// send tries to get a receipt. Every attempt has the content of the first.
func (l *load) send(s *sent, sender hubtest.Sender) {
	ctx, cancel := context.WithTimeout(l.t.Context(), giveUp)
	defer cancel()
	for {
		s.attempts++
		began := time.Now()
		a, err := sender.Send(ctx, soap.V11, s.child.Event(s.event, s.sequence))
		switch {
		case err != nil:
			s.cut = s.cut || !errors.Is(err, syscall.ECONNREFUSED)
		case a.Receipt != nil:
			s.receipt = a.Receipt
			if err := l.evidence.told(ctx, s.event, a.Receipt); err != nil {
				l.t.Errorf("keep a receipt: %v", err)
			}
			l.acknowledged.Add(1)
			l.noteReceipt(began)
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

// awaitReceipts returns when there are so many receipts in all.
func (l *load) awaitReceipts(total int64) {
	l.t.Helper()
	hubtest.Await(l.t, drainPatience, "the load has its receipts", func() bool { return l.acknowledged.Load() >= total || l.t.Failed() })
}

// vigil is a wait for the first receipt of an attempt that began after a moment: one that the end of a
// process met may still be told of after it.
type vigil struct {
	after time.Time
	took  chan time.Duration
}

// watchFrom begins to wait for a receipt. What it gives waits for it and tells how long after now the
// receipt was there.
func (l *load) watchFrom() (first func() time.Duration) {
	l.t.Helper()
	v := &vigil{after: time.Now(), took: make(chan time.Duration, 1)}
	l.vigil.Store(v)
	return func() time.Duration {
		l.t.Helper()
		deadline := time.NewTimer(giveUp)
		defer deadline.Stop()
		select {
		case took := <-v.took:
			return took
		case <-deadline.C:
			l.t.Error("no receipt came any more")
			return giveUp
		}
	}
}

// noteReceipt ends a wait.
func (l *load) noteReceipt(began time.Time) {
	if v := l.vigil.Load(); v != nil && began.After(v.after) && l.vigil.CompareAndSwap(v, nil) {
		v.took <- time.Since(v.after)
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

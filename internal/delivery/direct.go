package delivery

import (
	"sync"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// direct is the way by which accepted events reach the workers without being claimed. It is used
// only while nothing else waits: a backlog is older, and goes first.
type direct struct {
	mu sync.Mutex
	// ready takes what was handed over; it has room for all that is reserved.
	ready chan held
	// reserved counts what was promised and not yet handed over or given back.
	reserved int
	// caughtUp says that the last claim found all that was due.
	caughtUp bool
	closed   bool
	// settled wakes close when reserved falls.
	settled sync.Cond
}

func newDirect(room int) *direct {
	d := &direct{ready: make(chan held, room)}
	d.settled.L = &d.mu
	return d
}

// claimed remembers whether a claim found all that was due.
func (d *direct) claimed(all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.caughtUp = all
}

// close ends the way: it returns when nothing is reserved any more, which is at the latest when the
// store gives up on the transactions it was reserved for.
func (d *direct) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for d.reserved > 0 {
		d.settled.Wait()
	}
	close(d.ready)
}

// Reserve implements postgres.Carrier. There is no room while a backlog waits, the endpoint is down
// or an agreed rate has to be kept, which is counted where deliveries are claimed.
func (d *Dispatcher) Reserve(most int) postgres.Room {
	if d.agreed() > 0 || d.circuit.waits() {
		return postgres.Room{}
	}
	d.direct.mu.Lock()
	defer d.direct.mu.Unlock()
	n := min(most, cap(d.direct.ready)-len(d.direct.ready)-d.direct.reserved)
	if d.direct.closed || !d.direct.caughtUp || n <= 0 {
		return postgres.Room{}
	}
	d.direct.reserved += n
	return postgres.Room{Deliveries: n, Environment: d.cfg.Environment, Owner: d.owner, Lease: d.cfg.Lease, Since: d.now()}
}

// Hand implements postgres.Carrier.
func (d *Dispatcher) Hand(room postgres.Room, taken []postgres.Claimed) {
	d.direct.mu.Lock()
	defer d.direct.mu.Unlock()
	d.direct.reserved -= room.Deliveries
	d.direct.settled.Signal()
	d.pace.refund(-len(taken))
	d.metrics.begun.WithLabelValues(wayAccepted).Add(float64(len(taken)))
	for _, c := range taken {
		d.direct.ready <- held{c, room.Since} // never blocks: it was reserved
	}
}

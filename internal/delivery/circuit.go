package delivery

import (
	"sync"
	"time"
)

// circuitState is where the circuit breaker stands. It labels hub_circuit_state.
type circuitState string

// The states of the circuit.
const (
	// circuitClosed lets everything through.
	circuitClosed circuitState = "closed"
	// circuitOpen lets nothing through: echo is asked when the rest is over.
	circuitOpen circuitState = "open"
	// circuitHalfOpen lets a few trials through, whose answers decide.
	circuitHalfOpen circuitState = "half_open"
)

func circuitStates() []circuitState {
	return []circuitState{circuitClosed, circuitOpen, circuitHalfOpen}
}

// trials is how many deliveries are tried at most while the circuit is half open. More than one, so
// that an event which the endpoint chokes on is not taken for the endpoint.
const trials = 4

// circuit tells an endpoint that is down from events it does not like: after so many failures in a
// row, whatever they were about, or when the endpoint itself asks to be left alone (429 or 503 with
// Retry-After), nothing is begun and no budget of any delivery is spent. An echo that answers lets a
// few deliveries through; the first of them that is answered lets all through again, and if none is,
// the rest grows.
type circuit struct {
	limit int
	// rest is how long to leave the endpoint alone after so many openings in a row.
	rest func(opening int32) time.Duration
	// told hears of every change, under the lock.
	told func(circuitState)

	mu    sync.Mutex
	state circuitState
	// turn numbers the changes: what was begun before one says nothing after it.
	turn int64
	// failed counts failures in a row while closed, and of the trials while half open.
	failed int
	// allotted is how many trials were found while half open, 0 before that; begun counts those under
	// way or ended.
	allotted, begun int
	// openings in a row without a closing between them.
	openings int32
	// until is when echo may be asked.
	until time.Time
}

func newCircuit(limit int, rest func(int32) time.Duration, told func(circuitState)) *circuit {
	c := &circuit{limit: limit, rest: rest, told: told, state: circuitClosed}
	told(c.state)
	return c
}

// pass is the leave to begin one attempt. It is given back with done or drop.
type pass struct {
	circuit *circuit
	turn    int64
}

// begin asks for leave to begin an attempt.
func (c *circuit) begin() (p pass, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case circuitOpen:
		return pass{}, false
	case circuitHalfOpen:
		if c.begun == trials {
			return pass{}, false
		}
		c.begun++
	case circuitClosed:
	}
	return pass{c, c.turn}, true
}

// drop gives the leave back unused.
func (p pass) drop(now time.Time) {
	c := p.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == p.turn && c.state == circuitHalfOpen {
		c.begun--
		c.allotted = max(0, c.allotted-1)
		c.judge(now)
	}
}

// allot tells how many deliveries were found for the trials of a half open circuit.
func (c *circuit) allot(now time.Time, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == circuitHalfOpen {
		c.allotted = min(n, trials)
		c.judge(now)
	}
}

// judge opens a half open circuit none of whose trials was answered. The caller holds the lock.
func (c *circuit) judge(now time.Time) (opened bool) {
	if opened = c.allotted > 0 && c.failed >= c.allotted; opened {
		c.open(now, 0)
	}
	return opened
}

// done tells what came of a call to the endpoint: whether it answered as the contract says, and how
// long it asked to be left alone, 0 if it did not. It tells whether that opened the circuit.
func (p pass) done(now time.Time, answered bool, leave time.Duration) (opened bool) {
	c := p.circuit
	c.mu.Lock()
	defer c.mu.Unlock()
	if leave > 0 {
		// True at any time: it is about what comes next.
		if opened = c.state != circuitOpen; opened {
			c.open(now, leave)
		} else if until := now.Add(leave); until.After(c.until) {
			c.until = until
		}
		return opened
	}
	switch {
	case p.turn != c.turn:
	case answered && c.state == circuitHalfOpen:
		c.openings = 0
		c.change(circuitClosed)
	case answered:
		c.failed = 0
	case c.state == circuitHalfOpen:
		c.failed++
		opened = c.judge(now)
	default:
		c.failed++
		if opened = c.failed >= c.limit; opened {
			c.open(now, 0)
		}
	}
	return opened
}

// open begins a rest. The caller holds the lock.
func (c *circuit) open(now time.Time, asked time.Duration) {
	c.until = now.Add(max(asked, c.rest(c.openings)))
	c.openings++
	c.change(circuitOpen)
}

// change goes to another state. The caller holds the lock.
func (c *circuit) change(state circuitState) {
	c.state, c.failed, c.allotted, c.begun = state, 0, 0, 0
	c.turn++
	c.told(state)
}

// probed tells what an echo came to that was sent while the circuit was open.
func (c *circuit) probed(now time.Time, answered bool, leave time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state != circuitOpen:
	case now.Before(c.until):
		// Meanwhile somebody was told to wait longer.
	case answered:
		c.change(circuitHalfOpen)
	default:
		c.open(now, leave)
	}
}

// look tells the state, when echo may be asked if it is open, and how many deliveries are wanted for
// the trials if it is half open.
func (c *circuit) look() (state circuitState, until time.Time, wanted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allotted == 0 {
		wanted = trials
	}
	return c.state, c.until, wanted
}

// waits tells whether anything but a closed circuit stands before the endpoint.
func (c *circuit) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != circuitClosed
}

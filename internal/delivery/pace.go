package delivery

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Delivering as fast as possible starves the door: with both on two cores accepts fall to a
// third. So attempts take tokens, at a rate that follows what the door accepts.
const (
	// share is how much faster than the door delivery may go, so that a backlog shrinks.
	share = 1.1
	// idle is the accept rate below which the door counts as idle.
	idle = 1.0
	// memory is the time constant of the measured accept rate.
	memory = time.Second
	// sample is the least time between two measurements.
	sample = 100 * time.Millisecond
	// burst is how much time's worth of tokens may be saved up.
	burst = 250 * time.Millisecond
)

// pace says how many deliveries may be claimed now. Only its allow reads the clock, given as an
// argument; accepted may be called from anywhere.
type pace struct {
	most     float64 // agreed limit per second, 0 for none
	together float64
	batch    float64

	arrived atomic.Int64 // since the last measurement

	mu       sync.Mutex
	accepts  float64 // measured, per second
	measured time.Time
	tokens   float64
	filled   time.Time
}

func newPace(most, together, batch float64, now time.Time) *pace {
	return &pace{most: most, together: together, batch: batch, measured: now, filled: now, tokens: batch}
}

// accepted counts one event through the door.
func (p *pace) accepted() { p.arrived.Add(1) }

// allow takes up to want tokens and tells how many it got; if none, when to ask again.
func (p *pace) allow(now time.Time, want int) (got int, again time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measure(now)
	rate := p.rate()
	if math.IsInf(rate, 1) {
		p.filled = now
		return want, 0
	}
	room := max(p.batch, rate*burst.Seconds())
	p.tokens = min(room, p.tokens+rate*now.Sub(p.filled).Seconds())
	p.filled = now
	// A claim for a few costs the database as much as one for many: wait until it pays.
	least := min(float64(want), p.batch/2, max(1, rate*sample.Seconds()))
	if p.tokens < least {
		return 0, time.Duration((least - p.tokens) / rate * float64(time.Second))
	}
	got = min(want, int(p.tokens))
	p.tokens -= float64(got)
	return got, 0
}

// refund gives tokens back that found nothing to do.
func (p *pace) refund(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens += float64(n)
}

// measure updates the accept rate from what arrived since the last time.
func (p *pace) measure(now time.Time) {
	passed := now.Sub(p.measured)
	if passed < sample {
		return
	}
	current := float64(p.arrived.Swap(0)) / passed.Seconds()
	p.accepts += (current - p.accepts) * (1 - math.Exp(-passed.Seconds()/memory.Seconds()))
	p.measured = now
}

// rate is the tokens per second: all that was agreed while the door is idle, else what the door
// leaves of the machine, and always a little more than the door brings.
func (p *pace) rate() float64 {
	rate := math.Inf(1)
	if p.accepts >= idle {
		rate = max(share*p.accepts, p.together-p.accepts)
	}
	if p.most > 0 {
		rate = min(rate, p.most)
	}
	return rate
}

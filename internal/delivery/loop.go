package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

const (
	// claimTime bounds one claim. It is not cut off by a stop: a claim whose answer is lost
	// would hold its deliveries until the lease runs out.
	claimTime = 10 * time.Second
	// settleTime bounds one try to settle, and settleTries how many there are. After that the
	// lease runs out, and the next owner asks SISS what became of it.
	settleTime  = 15 * time.Second
	settleTries = 3
	// holdSeconds is how many seconds' worth of deliveries are held at an agreed rate.
	holdSeconds = 2
	// firstProbe and mostProbe bound the waiting between two echoes to a dead endpoint.
	firstProbe = time.Second
	mostProbe  = 30 * time.Second
)

// held is a claimed delivery and when its lease began, by the clock of this process.
type held struct {
	postgres.Claimed

	since time.Time
}

// over is when the lease of a claim is over.
func (h held) over(lease time.Duration) time.Time { return h.since.Add(lease) }

// ended is an attempt that waits for its settlement.
type ended struct {
	settlement *postgres.Settlement
	result     Result
	status     int
	claimed    *postgres.Claimed
}

// claimAll claims what is due and what the pace allows, until ctx ends. It alone fills the
// queue, and never beyond its room. What is left in the queue then is given back.
func (d *Dispatcher) claimAll(ctx context.Context) {
	for ctx.Err() == nil {
		state, until, trials := d.circuit.look()
		room := d.room()
		switch {
		case state == circuitOpen:
			d.direct.claimed(false) // a backlog gathers
			d.probe(ctx, until)
			continue
		case state == circuitHalfOpen && trials > 0:
			d.tryOut(ctx, trials)
			continue
		case state == circuitHalfOpen || room == 0:
			d.await(ctx, d.cfg.Poll)
			continue
		}
		allowed, again := d.pace.allow(d.now(), room)
		if allowed == 0 {
			pause(ctx, again)
			continue
		}
		claimed, err := d.claim(ctx, allowed)
		d.direct.claimed(err == nil && claimed < allowed)
		d.pace.refund(allowed - claimed)
		if claimed < allowed {
			// A claim for a few costs as much as one for many: let some gather.
			pause(ctx, d.cfg.Gather)
			d.await(ctx, d.cfg.Poll)
		}
	}
	d.giveBack(ctx)
}

// claim puts up to limit deliveries into the queue and tells how many it found.
func (d *Dispatcher) claim(ctx context.Context, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	since := d.now()
	all, err := d.store.Claim(ctx, postgres.ClaimQuery{
		Environment: d.cfg.Environment, Owner: d.owner, Limit: limit, Lease: d.cfg.Lease,
	})
	if err != nil {
		d.log.Warn("nothing claimed", zap.Error(err))
		return 0, err
	}
	d.metrics.begun.WithLabelValues(wayClaimed).Add(float64(len(all)))
	for _, c := range all {
		d.queue <- held{c, since}
	}
	return len(all), nil
}

// giveBack releases what is claimed and not begun.
func (d *Dispatcher) giveBack(ctx context.Context) {
	var left []postgres.Claimed
	for {
		select {
		case h := <-d.queue:
			left = append(left, h.Claimed)
		default:
			if d.release(ctx, left); len(left) > 0 {
				d.tell(context.WithoutCancel(ctx))
			}
			return
		}
	}
}

func (d *Dispatcher) release(ctx context.Context, left []postgres.Claimed) {
	if len(left) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := d.store.Release(ctx, left); err != nil {
		d.log.Warn("claimed deliveries not given back; their leases run out", zap.Int("deliveries", len(left)), zap.Error(err))
	}
}

// work attempts what is claimed or handed over, one at a time, until both ways are closed. ctx says
// whether to begin another attempt, flying bounds those under way.
func (d *Dispatcher) work(ctx, flying context.Context) {
	for queue, ready := d.queue, d.direct.ready; queue != nil || ready != nil; {
		var h held
		var open bool
		select {
		case h, open = <-queue:
			if !open {
				queue = nil
				continue
			}
			if len(d.queue) <= cap(d.queue)/2 {
				d.look()
			}
		case h, open = <-ready:
			if !open {
				ready = nil
				continue
			}
		}
		if e, ok := d.begin(ctx, flying, h); ok {
			d.ends <- e
		} else {
			d.release(flying, []postgres.Claimed{h.Claimed})
		}
	}
}

// begin makes an attempt, or tells that none may be made now: the circuit lets nothing through, no
// place at the agreed rate came in time, or the lease might not last.
func (d *Dispatcher) begin(ctx, flying context.Context, h held) (ended, bool) {
	leave, ok := d.circuit.begin()
	if !ok {
		return ended{}, false
	}
	if err := d.slots.enter(ctx, h.over(d.cfg.Lease-d.cfg.Deadline)); err != nil && !errors.Is(err, errNoSlot) {
		d.log.Warn("no places taken at the agreed rate", zap.Error(err))
		pause(ctx, time.Second)
		leave.drop(d.now())
		return ended{}, false
	} else if err != nil || d.late(h.since) || ctx.Err() != nil {
		leave.drop(d.now())
		return ended{}, false
	}
	return d.attempt(flying, h, leave), true
}

// late tells whether an attempt that began now could outlast a lease that began then.
func (d *Dispatcher) late(since time.Time) bool {
	return passed(since, d.now()) > d.cfg.Lease-d.cfg.Deadline
}

// passed is the time between two readings of the clock, by the one of its hands that moved more: the
// monotonic one stands still while a machine sleeps, the other one may be set back.
func passed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// settleAll settles attempts until there are no more.
func (d *Dispatcher) settleAll(ctx context.Context) {
	for e := range d.ends {
		d.settle(ctx, e)
	}
}

// settle ends an attempt in the database.
func (d *Dispatcher) settle(ctx context.Context, e ended) {
	var err error
	for try := range settleTries {
		if try > 0 {
			pause(ctx, time.Second)
		}
		once, cancel := context.WithTimeout(ctx, settleTime)
		err = d.store.Settle(once, e.settlement)
		cancel()
		if err == nil || errors.Is(err, postgres.ErrStaleLease) {
			break
		}
	}
	if errors.Is(err, postgres.ErrStaleLease) {
		d.metrics.late.WithLabelValues(lateAtSettlement).Inc()
	}
	d.logAttempt(e, err)
	if final := e.settlement.State == hub.Delivered || e.settlement.State == hub.Refused; final && err == nil {
		d.look() // the next event of this case is due now
	}
}

// logAttempt writes the one log event of an attempt.
func (d *Dispatcher) logAttempt(e ended, err error) {
	level, text := zap.InfoLevel, "attempt settled"
	switch {
	case err != nil:
		level, text = zap.WarnLevel, "attempt not settled"
	case e.settlement.State == hub.Dead:
		level, text = zap.ErrorLevel, "attempt settled: budget spent"
	}
	entry := d.log.Check(level, text)
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.Stringer("delivery_id", e.claimed.ID), zap.Stringer("message_id", e.claimed.Message),
		zap.Int32("attempt", e.claimed.Attempt), zap.String("result", string(e.result)),
		zap.String("state", string(e.settlement.State)), zap.Int("http_status", e.status),
		zap.Strings("codes", e.settlement.Codes), zap.Duration("took", e.settlement.Took),
	}
	if err != nil {
		fields = append(fields, zap.Error(err))
	}
	entry.Write(fields...)
}

// room is how many deliveries may be claimed now. None while the queue is half full: a claim for a few
// costs as much as one for many. At an agreed rate no more than leave within seconds, or their leases
// would run out here while other instances could have them.
func (d *Dispatcher) room() int {
	room := cap(d.queue) - len(d.queue)
	if room < cap(d.queue)/2 {
		return 0
	}
	if d.agreed() > 0 {
		room = min(room, max(1, d.agreed()*holdSeconds)-len(d.queue)-d.slots.waiting())
	}
	return max(0, room)
}

// probe waits until an endpoint that is down may be asked, sends echo, and lets a few deliveries
// through if it says that it takes messages.
func (d *Dispatcher) probe(ctx context.Context, until time.Time) {
	if wait := until.Sub(d.now()); wait > 0 {
		pause(ctx, wait)
	}
	if ctx.Err() != nil {
		return
	}
	once, cancel := context.WithTimeout(ctx, d.cfg.Deadline)
	defer cancel()
	a := d.client.call(once, echo, echoRequest(), nil)
	answered := a.Root == "EchoRisposta" && a.Status == 200 && (a.Esito == "true" || a.Esito == "1")
	if answered {
		d.log.Info("national endpoint answers again; trying some deliveries")
	}
	d.circuit.probed(d.now(), answered, d.leave(a))
}

// tryOut claims the deliveries that show whether an endpoint whose echo answers takes events again.
func (d *Dispatcher) tryOut(ctx context.Context, wanted int) {
	claimed, _ := d.claim(ctx, wanted) // it is logged
	d.circuit.allot(d.now(), claimed)
	if claimed == 0 {
		pause(ctx, d.cfg.Gather)
		d.await(ctx, d.cfg.Poll)
	}
}

// rest is how long an endpoint is left alone after so many openings of the circuit in a row. At the
// first one echo is asked at once: it costs nothing, and it may be the events.
func rest(opening int32) time.Duration {
	if opening == 0 {
		return 0
	}
	return firstProbe/2 + backoff(opening, firstProbe, mostProbe, rand.Float64()) //nolint:gosec // jitter
}

// leave is how long an answer asks everybody to stay away, as far as that is heard.
func (d *Dispatcher) leave(a Answer) time.Duration {
	if a.Status != http.StatusTooManyRequests && a.Status != http.StatusServiceUnavailable {
		return 0
	}
	return min(a.RetryAfter, d.cfg.MostRetry)
}

// await returns when something may be due, at the latest after d.
func (d *Dispatcher) await(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-d.wake:
	case <-timer.C:
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
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
	// firstProbe and mostProbe bound the waiting between two echoes to a dead endpoint.
	firstProbe = time.Second
	mostProbe  = 30 * time.Second
)

// held is a claimed delivery and when its lease began, by the clock of this process.
type held struct {
	postgres.Claimed

	since time.Time
}

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
		if d.breaker.open() {
			d.direct.claimed(false) // a backlog gathers
			d.probe(ctx)
			continue
		}
		if len(d.queue) > cap(d.queue)/2 {
			d.await(ctx, d.cfg.Poll)
			continue
		}
		allowed, again := d.pace.allow(d.now(), cap(d.queue)-len(d.queue))
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
			d.release(ctx, left)
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
		if d.late(h.since) || ctx.Err() != nil || d.breaker.open() {
			d.release(flying, []postgres.Claimed{h.Claimed})
			continue
		}
		d.ends <- d.attempt(flying, &h.Claimed)
	}
}

// late tells whether an attempt that began now could outlast a lease that began then.
func (d *Dispatcher) late(since time.Time) bool {
	return d.now().Sub(since) > d.cfg.Lease-d.cfg.Deadline
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
	d.logAttempt(e, err)
	if final := e.settlement.State == hub.Delivered || e.settlement.State == hub.Refused; final && err == nil {
		d.look() // the next event of this case is due now
	}
}

// logAttempt writes the one log event of an attempt.
func (d *Dispatcher) logAttempt(e ended, err error) {
	fields := []zap.Field{
		zap.Stringer("delivery_id", e.claimed.ID), zap.Stringer("message_id", e.claimed.Message),
		zap.Int32("attempt", e.claimed.Attempt), zap.String("result", string(e.result)),
		zap.String("state", string(e.settlement.State)), zap.Int("http_status", e.status),
		zap.Strings("codes", e.settlement.Codes), zap.Duration("took", e.settlement.Took),
	}
	switch {
	case err != nil:
		d.log.Warn("attempt not settled", append(fields, zap.Error(err))...)
	case e.settlement.State == hub.Dead:
		d.log.Error("attempt settled: budget spent", fields...)
	default:
		d.log.Info("attempt settled", fields...)
	}
}

// probe sends echo to an endpoint that is down until it says that it takes messages.
func (d *Dispatcher) probe(ctx context.Context) {
	for try := int32(1); ctx.Err() == nil; try++ {
		once, cancel := context.WithTimeout(ctx, d.cfg.Deadline)
		a := d.client.call(once, echo, echoRequest())
		cancel()
		if a.Root == "EchoRisposta" && a.Status == 200 && (a.Esito == "true" || a.Esito == "1") {
			d.breaker.close()
			d.log.Info("national endpoint answers again")
			return
		}
		pause(ctx, firstProbe/2+backoff(try, firstProbe, mostProbe, rand.Float64())) //nolint:gosec // jitter
	}
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

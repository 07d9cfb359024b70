package delivery

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

const (
	// tellGap is the least time between two tellings.
	tellGap = 50 * time.Millisecond
	// tellTime bounds one. It is a hint: the others look by themselves every Poll.
	tellTime = 2 * time.Second
	// firstHear and mostHear bound the waiting before listening again.
	firstHear = time.Second
	mostHear  = 30 * time.Second
)

// tellAll tells the other instances of events that were accepted here, however many, at most once in
// tellGap, until ctx ends.
func (d *Dispatcher) tellAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.news:
		}
		d.tell(ctx)
		pause(ctx, tellGap)
	}
}

// tell tells the other instances that something may be due.
func (d *Dispatcher) tell(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	if err := d.store.Tell(once, d.cfg.Environment, d.owner); err != nil && ctx.Err() == nil {
		d.log.Debug("other instances not told", zap.Error(err))
	}
}

// hearAll looks for due deliveries whenever another instance tells of some, until ctx ends. Without a
// connection nothing is lost: every Poll is looked anyway.
func (d *Dispatcher) hearAll(ctx context.Context) {
	for try := int32(1); ctx.Err() == nil; try++ {
		err := d.store.Hear(ctx, d.cfg.Environment, d.owner, func() {
			try = 1
			d.look()
		})
		if ctx.Err() != nil {
			return
		}
		d.log.Info("other instances are not heard; looking by the clock", zap.Error(err))
		pause(ctx, firstHear/2+backoff(try, firstHear, mostHear, rand.Float64())) //nolint:gosec // jitter
	}
}

package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// mostConfirming bounds the requests whose subjects are being confirmed after their answer.
const mostConfirming = 1024

// confirming is what goes on after the answers.
type confirming struct {
	// places are taken by the requests that are at it, and all of them by Finish.
	places chan struct{}
	// ending is closed by Finish, once.
	ending chan struct{}
	end    sync.Once
}

func newConfirming() confirming {
	return confirming{places: make(chan struct{}, mostConfirming), ending: make(chan struct{})}
}

// confirmLater makes the subjects of accepted events stay. No sender waits for it, so that many share a trip to the
// vault. If it never comes the sweep finds that they have events; only where the vault lost a reservation that
// it had answered (a standby took over that did not have it) is the subject's secret nowhere but here, so that it is tried again for
// a minute.
func (g *Gateway) confirmLater(ctx context.Context, exchange uuid.UUID, subjects []pseudonym.Subject) {
	if len(subjects) == 0 {
		return
	}
	select {
	case g.confirming.places <- struct{}{}:
	default: // a vault that does not answer must not gather them; and after Finish nothing goes on behind an answer
		if left := g.confirm(ctx, exchange, subjects); len(left) > 0 {
			g.unconfirmed(exchange)
		}
		return
	}
	go func() {
		defer func() { <-g.confirming.places }()
		defer func() {
			if cause := recover(); cause != nil {
				g.log.Error("confirmation panicked", zap.String("exchange_id", exchange.String()), zap.Stack("stack"))
			}
		}()
		g.confirmUntil(ctx, exchange, subjects)
	}()
}

// confirmUntil tries until all are confirmed, a minute is over or the service ends.
func (g *Gateway) confirmUntil(ctx context.Context, exchange uuid.UUID, subjects []pseudonym.Subject) {
	const first, last = 250 * time.Millisecond, 32 * time.Second
	for wait := first; ; wait *= 2 {
		if subjects = g.confirm(ctx, exchange, subjects); len(subjects) == 0 {
			return
		}
		if wait > last {
			break
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
			continue
		case <-g.confirming.ending:
			pause.Stop()
		}
		break
	}
	g.unconfirmed(exchange)
}

func (g *Gateway) unconfirmed(exchange uuid.UUID) {
	g.log.Warn("subject not confirmed yet", zap.String("exchange_id", exchange.String()))
}

// confirm tries once and gives those with whom it is worth trying again. It cannot fail the sender any more.
func (g *Gateway) confirm(ctx context.Context, exchange uuid.UUID, subjects []pseudonym.Subject) (left []pseudonym.Subject) {
	for i, err := range g.Vault.ConfirmAll(ctx, subjects) {
		switch {
		case errors.Is(err, pseudonym.ErrSplit):
			// The event is safe, but the privacy officer must join the two subjects of one child.
			g.metrics.splits.Inc()
			g.log.Error("two subjects stand for one identity", zap.String("exchange_id", exchange.String()))
		case err != nil:
			left = append(left, subjects[i])
		}
	}
	return left
}

// Finish waits until what goes on after the answers is done, or ctx ends: what is left then the sweep finds. Call it
// when no exchange begins any more, before the vault ends.
func (g *Gateway) Finish(ctx context.Context) {
	g.confirming.end.Do(func() { close(g.confirming.ending) })
	for range mostConfirming {
		select {
		case g.confirming.places <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

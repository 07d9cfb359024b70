package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/replay"
)

// replayOpener asks the opener over the one connection that it has.
type replayOpener struct {
	client  *opener.Client
	scope   opener.Scope
	session *opener.Session
}

// Open opens batch after batch. A session that the opener gave up, since nobody used it in a long pause,
// is begun again.
func (r *replayOpener) Open(ctx context.Context, asked []replay.Sealed) ([]replay.Opened, error) {
	opened := make([]replay.Opened, 0, len(asked))
	for len(asked) > 0 {
		some := asked[:min(len(asked), opener.MaxBatch)]
		asked = asked[len(some):]
		requests := make([]opener.Request, len(some))
		for i, s := range some {
			requests[i] = opener.Request{Message: s.Message, Origin: s.Origin}
		}
		answers, err := r.session.Open(ctx, requests)
		if errors.Is(err, opener.ErrSession) {
			if err = r.begin(ctx); err == nil {
				answers, err = r.session.Open(ctx, requests)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("ask the opener: %w", err)
		}
		for _, a := range answers {
			if errors.Is(a.Err, opener.ErrUnavailable) {
				return nil, fmt.Errorf("ask the opener: %w", a.Err)
			}
			opened = append(opened, replay.Opened{Plain: a.Plain, Err: a.Err})
		}
	}
	return opened, nil
}

func (r *replayOpener) begin(ctx context.Context) (err error) {
	if r.session, err = r.client.Begin(ctx, r.scope); err != nil {
		return fmt.Errorf("ask the opener: %w", err)
	}
	return nil
}

// holdOpener is how often an idle connection is used, well before the opener gives it up.
const holdOpener = time.Minute

// hold keeps the connection in a pause, until ctx ends.
func (r *replayOpener) hold(ctx context.Context) {
	ticker := time.NewTicker(holdOpener)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = r.client.Alive(ctx) // who asks next is told
		}
	}
}

// openOpener gives the run what opens for it: a session with the configured opener.
func (r *replayRun) openOpener(ctx context.Context) (err error) {
	if r.o.Opener != nil {
		r.parts.Opener, err = r.o.Opener(r.parts)
		return err
	}
	socket, err := OpenerSocket(r.cfg)
	if err != nil {
		return err
	}
	client, err := opener.Dial(ctx, socket)
	if err != nil {
		return fmt.Errorf("ask the opener: %w", err)
	}
	from, to := r.openerRange()
	o := &replayOpener{client: client, scope: opener.Scope{
		Who: opener.Who{Actor: r.actor, Reason: r.o.Reason}, Purpose: opener.PurposeReplay, From: from, To: to,
	}}
	if err := o.begin(ctx); err != nil {
		client.Close()
		return err
	}
	holding, stop := context.WithCancel(ctx)
	go o.hold(holding)
	r.undo = append(r.undo, func() {
		stop()
		_ = o.session.End(context.WithoutCancel(ctx))
		client.Close()
	})
	r.parts.Opener = o
	return nil
}

// openerRange bounds when what is opened was accepted. Of single messages that is a day around the times
// in their ids.
func (r *replayRun) openerRange() (from, to time.Time) {
	if r.options.IDs == nil {
		return r.options.From, r.options.To
	}
	for _, id := range r.options.IDs {
		at := timeOfID(id)
		if from.IsZero() || at.Before(from) {
			from = at
		}
		if at.After(to) {
			to = at
		}
	}
	return from.AddDate(0, 0, -1), to.AddDate(0, 0, 1)
}

// timeOfID is the time in a UUIDv7.
func timeOfID(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

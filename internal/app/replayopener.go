package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/replay"
)

// replayOpener asks the opener over the one connection that it has.
type replayOpener struct {
	client  *opener.Client
	session *opener.Session
}

// Open opens batch after batch.
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

// holdOpener is how often an idle session is held, well before the opener gives it or its connection up.
const holdOpener = time.Minute

// hold keeps the session in a pause, until ctx ends: its ticket allows no second one.
func (r *replayOpener) hold(ctx context.Context) {
	ticker := time.NewTicker(holdOpener)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = r.session.Hold(ctx) // who asks next is told
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
	o := &replayOpener{client: client}
	if o.session, err = client.Begin(ctx, string(r.ticket.Bytes())); err != nil {
		client.Close()
		return fmt.Errorf("ask the opener: %w", err)
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

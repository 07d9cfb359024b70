// Package batch runs together what waits together: many callers, one function over a slice.
//
// There is no timer, unless Linger asks for one. While one batch runs, further calls queue; the
// next batch is what waits then, so that a lone caller pays nothing and a crowd shares one round
// trip (group commit).
package batch

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// ErrClosed is returned by Do after Run has ended.
var ErrClosed = errors.New("batch closed")

// Result is what one call gets.
type Result[R any] struct {
	Value R
	Err   error
}

// Group collects calls of Do into batches for one function.
type Group[Q, R any] struct {
	queue chan call[Q, R]
	done  chan struct{}
	run   func(context.Context, []Q) []Result[R]
	most  int
	// linger is how long a batch waits for more calls, if the one before it held at least crowd.
	linger time.Duration
	crowd  int
	last   int
}

type call[Q, R any] struct {
	query  Q
	answer chan Result[R]
}

// New makes a group whose batches hold no more calls than most. run gets at least one query and
// returns exactly one result for each, in the same order.
func New[Q, R any](most int, run func(context.Context, []Q) []Result[R]) *Group[Q, R] {
	return &Group[Q, R]{queue: make(chan call[Q, R], most), done: make(chan struct{}), run: run, most: most}
}

// Linger makes every batch wait that long for more calls after its first one, unless it is full. It
// is for calls that nobody waits for, where a larger batch is worth more than a quick answer. Call
// it before Run; it returns the group.
func (g *Group[Q, R]) Linger(d time.Duration) *Group[Q, R] {
	g.linger = d
	return g
}

// LingerInCrowd is Linger only after a batch of at least crowd calls: a lone caller still waits for
// nobody, and many share fewer, larger batches when what a batch costs is what bounds them all.
func (g *Group[Q, R]) LingerInCrowd(d time.Duration, crowd int) *Group[Q, R] {
	g.linger, g.crowd = d, crowd
	return g
}

// Run serves batches until ctx ends, then answers ErrClosed to what still waits. The context
// given to the function is ctx without its cancellation: a batch that began is finished.
func (g *Group[Q, R]) Run(ctx context.Context) {
	defer close(g.done)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-g.queue:
			g.serve(context.WithoutCancel(ctx), g.collect(ctx, first))
		}
	}
}

// collect makes a batch of first and what else comes: with Linger within that time, and without
// it what waits already and what goroutines that are ready to run bring, for which it only steps
// back.
func (g *Group[Q, R]) collect(ctx context.Context, first call[Q, R]) []call[Q, R] {
	calls := append(make([]call[Q, R], 0, g.most), first)
	if g.linger == 0 || g.last < g.crowd {
		runtime.Gosched()
		return g.drain(calls)
	}
	timer := time.NewTimer(g.linger)
	defer timer.Stop()
	for len(calls) < g.most {
		select {
		case c := <-g.queue:
			calls = append(calls, c)
		case <-timer.C:
			return calls
		case <-ctx.Done():
			return g.drain(calls)
		}
	}
	return calls
}

// drain adds what waits, without waiting itself.
func (g *Group[Q, R]) drain(calls []call[Q, R]) []call[Q, R] {
	for len(calls) < g.most {
		select {
		case c := <-g.queue:
			calls = append(calls, c)
		default:
			return calls
		}
	}
	return calls
}

func (g *Group[Q, R]) serve(ctx context.Context, calls []call[Q, R]) {
	queries := make([]Q, len(calls))
	for i, c := range calls {
		queries[i] = c.query
	}
	g.last = len(calls)
	results := g.run(ctx, queries)
	for i, c := range calls {
		c.answer <- results[i]
	}
}

// Do hands query to the next batch and waits for its result. If ctx ends first the result is
// lost to the caller although the function may still run: the outcome is then unknown. If it has
// ended before, nothing is begun.
func (g *Group[Q, R]) Do(ctx context.Context, query Q) (R, error) {
	c := call[Q, R]{query, make(chan Result[R], 1)}
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case g.queue <- c:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-g.done:
		return none, ErrClosed
	}
	select {
	case r := <-c.answer:
		return r.Value, r.Err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-g.done:
		select {
		case r := <-c.answer:
			return r.Value, r.Err
		default:
			return none, ErrClosed
		}
	}
}

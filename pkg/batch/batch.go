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
	"slices"
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
	// held is what did not fit into the batch before.
	held *call[Q, R]
}

// spare is for how many calls more than the batch before it had a batch has room from the start.
const spare = 8

// call is what one caller asks together, in its order.
type call[Q, R any] struct {
	queries []Q
	answer  chan []Result[R]
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
		for g.held != nil {
			first := *g.held
			g.held = nil
			g.serve(context.WithoutCancel(ctx), g.collect(ctx, first))
		}
	}
}

// collect makes a batch of first and what else comes: with Linger within that time, and without
// it what waits already and what goroutines that are ready to run bring, for which it only steps
// back.
func (g *Group[Q, R]) collect(ctx context.Context, first call[Q, R]) *assembly[Q, R] {
	a := &assembly[Q, R]{calls: append(make([]call[Q, R], 0, min(g.most, g.last+spare)), first), size: len(first.queries)}
	if g.linger == 0 || g.last < g.crowd {
		runtime.Gosched()
		g.drain(a)
		return a
	}
	timer := time.NewTimer(g.linger)
	defer timer.Stop()
	for a.size < g.most && g.held == nil {
		select {
		case c := <-g.queue:
			g.add(a, c)
		case <-timer.C:
			return a
		case <-ctx.Done():
			g.drain(a)
			return a
		}
	}
	return a
}

// assembly is a batch being collected: its calls and how many queries they have together.
type assembly[Q, R any] struct {
	calls []call[Q, R]
	size  int
}

// add takes a call into the batch, or holds it for the next one if it does not fit.
func (g *Group[Q, R]) add(a *assembly[Q, R], c call[Q, R]) {
	if a.size+len(c.queries) > g.most {
		g.held = &c
		return
	}
	a.calls = append(a.calls, c)
	a.size += len(c.queries)
}

// drain adds what waits, without waiting itself.
func (g *Group[Q, R]) drain(a *assembly[Q, R]) {
	for a.size < g.most && g.held == nil {
		select {
		case c := <-g.queue:
			g.add(a, c)
		default:
			return
		}
	}
}

func (g *Group[Q, R]) serve(ctx context.Context, a *assembly[Q, R]) {
	queries := make([]Q, 0, a.size)
	for _, c := range a.calls {
		queries = append(queries, c.queries...)
	}
	// Callers, not queries: one who brings many is no crowd.
	g.last = len(a.calls)
	results := g.run(ctx, queries)
	for _, c := range a.calls {
		n := len(c.queries)
		c.answer <- results[:n:n]
		results = results[n:]
	}
}

// Do hands query to the next batch and waits for its result. If ctx ends first the result is
// lost to the caller although the function may still run: the outcome is then unknown. If it has
// ended before, nothing is begun.
func (g *Group[Q, R]) Do(ctx context.Context, query Q) (R, error) {
	results, err := g.ask(ctx, []Q{query})
	if err != nil {
		var none R
		return none, err
	}
	return results[0].Value, results[0].Err
}

// DoAll is Do for many queries of one caller, which share a batch and stand in it in their order; so
// many that they need several batches go into one after the other. There is exactly one result for
// each.
func (g *Group[Q, R]) DoAll(ctx context.Context, queries []Q) []Result[R] {
	all := make([]Result[R], 0, len(queries))
	for part := range slices.Chunk(queries, g.most) {
		results, err := g.ask(ctx, part)
		if err != nil {
			results = slices.Repeat([]Result[R]{{Err: err}}, len(part))
		}
		all = append(all, results...)
	}
	return all
}

// ask hands queries that fit into one batch to the next one.
func (g *Group[Q, R]) ask(ctx context.Context, queries []Q) ([]Result[R], error) {
	c := call[Q, R]{queries, make(chan []Result[R], 1)}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case g.queue <- c:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-g.done:
		return nil, ErrClosed
	}
	select {
	case r := <-c.answer:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-g.done:
		select {
		case r := <-c.answer:
			return r, nil
		default:
			return nil, ErrClosed
		}
	}
}

package delivery

import (
	"context"
	"net/http"
	"time"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// What only the tests of this package need of its inside.
var (
	Backoff = backoff
)

// Client is a client of its own, for tests of what comes back.
type Client struct{ c client }

// NewClient makes one for an address.
func NewClient(url, caFile string, pool *validator.Pool) (*Client, error) {
	transport, err := newTransport(caFile, 1)
	if err != nil {
		return nil, err
	}
	return &Client{client{url: url, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, validator: pool}}, nil
}

// Transmit sends a request of trasmettiEvento.
func (c *Client) Transmit(ctx context.Context, request []byte) Answer {
	defer c.c.http.CloseIdleConnections()
	return c.c.call(ctx, trasmettiEvento, request, nil)
}

// Read has the jail read an answer.
func (c *Client) Read(ctx context.Context, answer []byte) (a Answer) {
	c.c.read(ctx, answer, &a)
	return a
}

// PlainReceipt recognises a plain receipt.
func PlainReceipt(answer []byte) (a Answer, ok bool) {
	ok = plainReceipt(answer, &a)
	return a, ok
}

// Pace is the pacing of claims.
type Pace struct{ p *pace }

// NewPace makes one.
func NewPace(most, together, batch float64, now time.Time) Pace {
	return Pace{newPace(most, together, batch, now)}
}

// Accepted counts n events through the door.
func (p Pace) Accepted(n int64) { p.p.arrived.Add(n) }

// Allow asks for tokens.
func (p Pace) Allow(now time.Time, want int) (got int, again time.Duration) {
	return p.p.allow(now, want)
}

// Late tells whether a claim of that time is too old to begin an attempt.
func (d *Dispatcher) Late(since time.Time) bool { return d.late(since) }

// Arrived is how many events the pace has seen come through the door.
func (d *Dispatcher) Arrived() int64 { return d.pace.arrived.Load() }

// Stopping tells whether nothing more is taken from accepting transactions.
func (d *Dispatcher) Stopping() bool {
	d.direct.mu.Lock()
	defer d.direct.mu.Unlock()
	return d.direct.closed
}

// Circuit is the circuit breaker.
type Circuit struct{ *circuit }

// Pass is the leave to begin one attempt.
type Pass = pass

// Trials is how many deliveries a half open circuit lets through.
const Trials = trials

// NewCircuit makes one.
func NewCircuit(limit int, rest func(int32) time.Duration) Circuit {
	return Circuit{newCircuit(limit, rest, func(circuitState) {})}
}

// Begin asks for leave to begin an attempt.
func (c Circuit) Begin() (Pass, bool) { return c.begin() }

// Done tells what came of a call.
func (p pass) Done(now time.Time, answered bool, leave time.Duration) bool {
	return p.done(now, answered, leave)
}

// Drop gives the leave back.
func (p pass) Drop(now time.Time) { p.drop(now) }

// Allot tells how many deliveries were found.
func (c Circuit) Allot(now time.Time, n int) { c.allot(now, n) }

// Probed tells what an echo came to.
func (c Circuit) Probed(now time.Time, answered bool, leave time.Duration) {
	c.probed(now, answered, leave)
}

// Look tells where the circuit stands.
func (c Circuit) Look() (state string, until time.Time, wanted int) {
	s, until, wanted := c.look()
	return string(s), until, wanted
}

// KeepTransmit is Transmit under a lease, over a connection that is kept.
func (c *Client) KeepTransmit(ctx context.Context, request []byte, held func() bool) Answer {
	return c.c.call(ctx, trasmettiEvento, request, held)
}

// Passed is the time between two readings of the clock.
var Passed = passed

// ReadPagesOf makes a reconciler read so many deliveries to ask about at once.
func (r *Reconciler) ReadPagesOf(n int) { r.page = n }

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
	return c.c.call(ctx, trasmettiEvento, request)
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

// Breaker is the circuit breaker.
type Breaker struct{ *breaker }

// NewBreaker makes one.
func NewBreaker(limit int) Breaker { return Breaker{newBreaker(limit)} }

// Note counts an attempt.
func (b Breaker) Note(answered bool) bool { return b.note(answered) }

// Open tells whether attempts are held back.
func (b Breaker) Open() bool { return b.open() }

// Close lets attempts go on.
func (b Breaker) Close() { b.close() }

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

package client

import (
	"context"
	"time"
)

// SetClock makes the client see another time and wait by another function.
func (c *Client) SetClock(now func() time.Time, wait func(context.Context, time.Duration) error) {
	c.now, c.wait = now, wait
}

// SetJitter replaces the random part of a pause.
func (c *Client) SetJitter(jitter func(below time.Duration) time.Duration) { c.jitter = jitter }

// ContentOf is the content form of a document, nil if it cannot be read.
func ContentOf(document []byte) []byte {
	if e := parse(document); e != nil {
		return e.content()
	}
	return nil
}

// KindOf names the kind of a leaf.
func KindOf(name string) string {
	return [...]string{kindText: "text", kindDay: "day", kindInstant: "instant", kindNumber: "number", kindUUID: "uuid"}[kindOf(name)]
}

// ReadReceipt reads an answer with HTTP 200 to inviaEvento.
func ReadReceipt(body []byte) (*Receipt, error) {
	outcome := new(Receipt)
	r := &reply{status: 200, body: body}
	if err := r.read(inviaEvento.response(), outcome); err != nil {
		return nil, err
	}
	return outcome, nil
}

// Whole tells whether a receipt would be believed for an unreadable document.
func (r *Receipt) Whole() bool { return r.whole(nil) }

// MaxAnswer is the bound on an answer's bytes.
const MaxAnswer = maxAnswer

// Wait takes a pause as the client does.
func (c *Client) Wait(ctx context.Context, pause time.Duration) error { return c.wait(ctx, pause) }

// Cause is what is kept of an HTTP client's error.
func Cause(ctx context.Context, err error) error { return cause(ctx, err) }

package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/pkg/soap"
)

// call sends a body until there is an outcome: the answer that read accepts, a refusal, or the
// end of attempts or context. Every attempt has the same bytes.
func call[T any](ctx context.Context, c *Client, o operation, content []byte, fits func(*T) bool) (*T, error) {
	envelope := soap.AppendEnvelope(nil, c.version, soap.TrimDeclaration(content))
	for attempt := 1; ; attempt++ {
		outcome, err := once(ctx, c, o, envelope, fits)
		if err == nil {
			return outcome, nil
		}
		pause, again := c.pause(ctx, err, attempt)
		if !again {
			if attempt > 1 {
				err = fmt.Errorf("gave up after %d attempts: %w", attempt, err)
			}
			return nil, err
		}
		if ended := c.wait(ctx, pause); ended != nil {
			return nil, fmt.Errorf("%w after %d attempts, the last: %w", ended, attempt, err)
		}
	}
}

// once is one attempt with its answer read.
func once[T any](ctx context.Context, c *Client, o operation, envelope []byte, fits func(*T) bool) (*T, error) {
	r, err := c.attempt(ctx, o.action(), envelope)
	if err != nil {
		return nil, err
	}
	outcome := new(T)
	if err := r.read(o.response(), outcome); err != nil {
		return nil, err
	}
	if !fits(outcome) {
		return nil, r.unusable(Foreign, nil)
	}
	return outcome, nil
}

// pause tells whether to try again after an error, and after how long: a random time that grows
// with the attempts, added to what the hub asked for. It does not begin a pause that the context
// would not outlive, nor one that the hub wants longer than LongestPause.
func (c *Client) pause(ctx context.Context, err error, attempt int) (time.Duration, bool) {
	if !Temporary(err) || attempt >= c.attempts || ctx.Err() != nil {
		return 0, false
	}
	least := RetryAfter(err)
	if least > c.longestPause {
		return 0, false
	}
	below := c.longestPause
	if doublings := attempt - 1; doublings < 30 {
		below = min(below, c.firstPause<<doublings)
	}
	pause := least + c.jitter(below)
	if deadline, ok := ctx.Deadline(); ok && c.now().Add(pause).After(deadline) {
		return 0, false
	}
	return pause, true
}

// wait waits or gives the context's error.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Temporary tells whether the same bytes may be sent again later with hope: nothing is known to be
// stored, and if something was, the repetition gets its receipt. It is false for nil, for refusals
// and for what is wrong on this side.
func Temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// RetryAfter is how long the hub asked not to be asked again; 0 if it did not.
func RetryAfter(err error) time.Duration {
	if fault, ok := errors.AsType[*FaultError](err); ok {
		return fault.RetryAfter
	}
	if unusable, ok := errors.AsType[*AnswerError](err); ok {
		return unusable.RetryAfter
	}
	return 0
}

// retryAfter reads the header in both its forms (RFC 9110, 10.2.3); 0 if there is none that can be
// read.
func (c *Client) retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(c.now()))
	}
	return 0
}

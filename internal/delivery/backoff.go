package delivery

import (
	"sync/atomic"
	"time"
)

// backoff is how long to wait before the attempt after the given one: doubling from first up to
// most, then drawn evenly from zero to that ("full jitter"), so that what failed together does
// not come back together. dice is in [0, 1).
func backoff(attempt int32, first, most time.Duration, dice float64) time.Duration {
	top := most
	if doublings := attempt - 1; doublings < 40 && first<<max(doublings, 0) < most && first<<max(doublings, 0) > 0 {
		top = first << max(doublings, 0)
	}
	return time.Duration(float64(top) * dice)
}

// breaker tells an endpoint that is down from events it does not like: after so many failures
// in a row, whatever they were about, it is open and no budget of any delivery is spent.
type breaker struct {
	limit  int64
	failed atomic.Int64
}

func newBreaker(limit int) *breaker { return &breaker{limit: int64(limit)} }

// note counts an attempt and tells whether it opened the breaker.
func (b *breaker) note(answered bool) (opened bool) {
	if answered {
		b.failed.Store(0)
		return false
	}
	return b.failed.Add(1) == b.limit
}

func (b *breaker) open() bool { return b.failed.Load() >= b.limit }

func (b *breaker) close() { b.failed.Store(0) }

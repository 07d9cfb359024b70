package gateway

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Limits is what the gateway lets in. internal/config describes each with its unit and default.
type Limits struct {
	Exchanges  int
	BodyMemory int

	Rate         int
	Burst        int
	StrangerRate int
}

// firstRead is the room a body gets before its first byte.
const firstRead = 16 << 10

// retryAfter is when a sender should come back at the soonest if nothing better is known.
const retryAfter = 2 * time.Second

// Reasons for which admission refuses, labels of hub_admission_rejected_total.
const (
	rejectOverload  = "overload"   // all exchanges are taken
	rejectMemory    = "memory"     // the room for bodies is taken
	rejectShare     = "share"      // the participant's own share of exchanges, memory or connections
	rejectRate      = "rate_limit" // the participant's own rate
	rejectStrangers = "strangers"  // requests without a valid credential
	rejectStopping  = "stopping"   // this process ends
)

// admission lets no participant take the whole door: at most half of the exchanges and of the
// memory for bodies under way, and its own rate of requests if one is configured. Strangers have
// a rate of their own over all of them.
type admission struct {
	limits  Limits
	mu      sync.Mutex
	room    int64 // bytes left over all
	loads   map[int32]*load
	unknown bucket // of the strangers
}

// load is what one participant has under way.
type load struct {
	requests int
	bytes    int64
	bucket   bucket
}

// quota is what a participant is told of its own limit: the X-RateLimit headers that ModI asks
// for. A limit of 0 says nothing.
type quota struct {
	limit, remaining int
	reset            time.Duration
}

func newAdmission(limits Limits) *admission {
	return &admission{limits: limits, room: int64(limits.BodyMemory), loads: map[int32]*load{}}
}

// mostRequests is a participant's share of the exchanges.
func (a *admission) mostRequests() int { return max(1, a.limits.Exchanges/2) }

// relimit puts other limits in force. What is under way keeps its place; a share of memory that is
// smaller than what is held has no room until enough was given back.
func (a *admission) relimit(limits Limits) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.room += int64(limits.BodyMemory - a.limits.BodyMemory)
	a.limits.BodyMemory = limits.BodyMemory
	a.limits.Rate, a.limits.Burst, a.limits.StrangerRate = limits.Rate, limits.Burst, limits.StrangerRate
}

// enter takes one request's place for a participant. reason says why there is none.
func (a *admission) enter(participant int32, now time.Time) (q quota, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	if l == nil {
		l = &load{}
		a.loads[participant] = l
	}
	if l.requests >= a.mostRequests() {
		return q, rejectShare
	}
	if a.limits.Rate > 0 {
		remaining, wait, ok := l.bucket.take(now, a.limits.Rate, a.limits.Burst)
		q = quota{limit: a.limits.Rate, remaining: remaining, reset: wait}
		if !ok {
			return q, rejectRate
		}
	}
	l.requests++
	return q, ""
}

// stranger tells whether one more request without a valid credential is looked at.
func (a *admission) stranger(now time.Time) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _, ok = a.unknown.take(now, a.limits.StrangerRate, 2*a.limits.StrangerRate)
	return ok
}

// grow takes room for n more bytes of a body. reason says why there is none.
func (a *admission) grow(participant int32, n int64) (reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	switch {
	case l.bytes+n > int64(a.limits.BodyMemory/2):
		return rejectShare
	case n > a.room:
		return rejectMemory
	}
	a.room -= n
	l.bytes += n
	return ""
}

// leave gives a request's place and its bytes back.
func (a *admission) leave(participant int32, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	l.requests--
	l.bytes -= bytes
	a.room += bytes
	// With a rate, what it used of it must be remembered; participants are few.
	if l.requests == 0 && a.limits.Rate == 0 {
		delete(a.loads, participant)
	}
}

// bucket holds what is left of a rate: a request takes one, each second gives rate back, up to
// burst. The zero bucket is full.
type bucket struct {
	left float64
	at   time.Time
}

// take takes one; it tells how many are left, and after how long there is one (if there is none)
// or all are back.
func (b *bucket) take(now time.Time, rate, burst int) (remaining int, wait time.Duration, ok bool) {
	full := float64(max(burst, 1))
	if b.at.IsZero() {
		b.left = full
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(full, b.left+passed*float64(rate))
	}
	b.at = now
	missing := full - b.left
	if b.left >= 1 {
		b.left--
		missing++
		ok = true
	} else {
		missing = 1 - b.left
	}
	return int(b.left), time.Duration(missing / float64(rate) * float64(time.Second)), ok
}

// jittered is a waiting time of least to three times least, in whole seconds, so that those who
// were refused together do not come back together.
func jittered(least time.Duration) time.Duration {
	return least + time.Duration(rand.Int64N(int64(2*least/time.Second)+1))*time.Second //nolint:gosec // no secret
}

// readBody reads a body of a known length, or of an unknown one (-1), into room and, if that is too
// small, a buffer that grows with what arrives, so that a body that only announces itself costs no more than that room.
// grow is asked before the first byte and before each growth. Errors are replaced: they may quote
// content.
func readBody(body io.Reader, length int64, room *[firstRead]byte, grow func(n int64) *hub.Error) ([]byte, error) {
	size := int64(len(room))
	if length >= 0 {
		size = min(size, length)
	}
	if refusal := grow(size); refusal != nil {
		return nil, refusal
	}
	text := room[:0:size]
	for {
		if len(text) == cap(text) {
			if int64(len(text)) == length {
				return text, nil
			}
			more := int64(cap(text))
			if length >= 0 {
				more = min(more, length-int64(cap(text)))
			}
			if refusal := grow(max(more, 1)); refusal != nil {
				return nil, refusal
			}
			text = append(make([]byte, 0, int64(cap(text))+max(more, 1)), text...)
		}
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) && (length < 0 || int64(len(text)) == length) {
			return text, nil
		}
		if err != nil {
			return nil, brokenBody(err)
		}
	}
}

// brokenBody says why a body did not arrive whole.
func brokenBody(err error) *hub.Error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return hub.NewError(hub.TooLarge, hub.CodeBodyTooLarge, nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return hub.NewError(hub.Malformed, hub.CodeSlowRequest, nil)
	}
	return hub.NewError(hub.Malformed, hub.CodeMalformed, errors.New("request body cut short"))
}

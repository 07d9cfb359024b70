package opener

import (
	"sync"
	"time"
)

// rates let each user ask so often in a minute, and that many at once.
type rates struct {
	perMinute float64

	mu   sync.Mutex
	left map[uint32]allowance
}

// allowance is what a user had left at a moment.
type allowance struct {
	tokens float64
	at     time.Time
}

func newRates(perMinute int) *rates {
	return &rates{perMinute: float64(perMinute), left: map[uint32]allowance{}}
}

// take takes one, if there is one.
func (r *rates) take(uid uint32, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had, known := r.left[uid]
	if !known {
		had = allowance{r.perMinute, now}
	}
	// A clock that was set back gives nothing.
	passed := max(0, now.Sub(had.at).Minutes())
	had = allowance{min(r.perMinute, had.tokens+passed*r.perMinute), now}
	ok := had.tokens >= 1
	if ok {
		had.tokens--
	}
	r.left[uid] = had
	return ok
}

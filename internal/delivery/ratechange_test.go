package delivery_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// A rate that is agreed while deliveries are claimed and under way holds for what begins from then on.
func TestRateAgreedMeanwhileHoldsForWhatIsClaimed(t *testing.T) {
	t.Parallel()
	const workers, rate = 32, 1
	w := newWorld(t)
	s, _ := nation(t, siss.Faults{SlowMS: 2000})
	w.several(t, 100, 1)
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Workers = workers })
	// All workers are under way, and the rest is claimed.
	for patience := time.Now().Add(time.Minute); s.Stats()["fault/slow"] < workers; runtime.Gosched() {
		if time.Now().After(patience) {
			t.Fatal("the workers did not begin")
		}
	}
	k.SetRate(rate)
	k.final(t, workers) // begun before
	began := time.Now()
	const watched = 10 * time.Second
	later := 0
	for end := time.After(watched); ; {
		select {
		case <-k.attempts:
			later++
			continue
		case <-end:
		}
		break
	}
	if most := int(time.Since(began).Seconds()*rate) + 3; later > most {
		t.Errorf("%d in %v at %d a second", later, watched, rate)
	}
}

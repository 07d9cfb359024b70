package delivery_test

import (
	"testing"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// At one event a second these would take longer than anybody waits for them here.
func TestAnotherRateHoldsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	events := w.several(t, 330, 1)
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Rate, c.Batch = 1, 4 })
	k.final(t, 1)
	k.SetRate(0)
	k.final(t, len(events)-1)
	exactlyOnce(t, file, events)
}

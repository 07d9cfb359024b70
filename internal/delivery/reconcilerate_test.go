package delivery_test

import (
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// A rate that is agreed while the hub runs holds for its questions, too.
func TestReconcilerFollowsTheAgreedRate(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	day := "2026-11-19"
	for range 4 {
		p.put(t, sent{tries: p.once(t, day+" 12:00:00")}) // unknown there: asked one by one
	}
	p.save(t)
	r := p.reconciler(t, p.siss(t).URL(), func(c *delivery.ReconcileConfig) { c.Agreed = 0 })
	r.SetRate(2)
	began := time.Now()
	r.now(t, day)
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("five questions at two a second took %v", took)
	}
	if n := hubtest.Number(t, p.super, "SELECT count(*) FROM hub.receiver_slot"); n != 1 {
		t.Error("no places were taken")
	}
}

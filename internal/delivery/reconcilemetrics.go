package delivery

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// reconcileMetrics show what stands in the database, so that every process shows the same.
type reconcileMetrics struct {
	differences *prometheus.GaugeVec
	days        *prometheus.GaugeVec
	success     prometheus.Gauge
}

func newReconcileMetrics(registerer prometheus.Registerer) (*reconcileMetrics, error) {
	m := &reconcileMetrics{
		differences: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_reconciliation_difference_events", Help: "Events of which hub and SISS say different things, by kind.",
		}, []string{"kind"}),
		days: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_reconciliations", Help: "Days compared with SISS, by what the last look at them came to.",
		}, []string{"state"}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_reconciliation_success_timestamp_seconds",
			Help: "When all days that were due were last compared with SISS to their end; 0 for never.",
		}),
	}
	m.set(postgres.Reconciliation{})
	if registerer == nil {
		return m, nil
	}
	return m, errors.Join(registerer.Register(m.differences), registerer.Register(m.days), registerer.Register(m.success))
}

func (m *reconcileMetrics) set(r postgres.Reconciliation) {
	for _, kind := range postgres.DifferenceKinds() {
		m.differences.WithLabelValues(string(kind)).Set(float64(r.Differences[kind]))
	}
	for _, state := range []postgres.DayState{postgres.DayOpen, postgres.DayEqual, postgres.DayDifferent} {
		m.days.WithLabelValues(string(state)).Set(float64(r.Days[state]))
	}
	if !r.SucceededAt.IsZero() {
		m.success.Set(float64(r.SucceededAt.Unix()))
	}
}

// measure reads the gauges from the database.
func (r *Reconciler) measure(ctx context.Context) {
	now, err := r.store.Reconciliation(ctx, r.cfg.Environment)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Warn("reconciliation not measured", zap.Error(err))
		}
		return
	}
	r.metrics.set(now)
}

package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// backlogEvery is how often the gauges of the backlog are read from the database.
const backlogEvery = 10 * time.Second

// metrics are those of delivery. Labels are from closed lists, all present from the start.
type metrics struct {
	attempts   *prometheus.CounterVec
	deliveries *prometheus.GaugeVec
	oldest     *prometheus.GaugeVec
	begun      *prometheus.CounterVec
	circuit    *prometheus.GaugeVec
	late       *prometheus.CounterVec
}

// The ways by which a delivery reaches a worker: found by a claim, or handed over by the transaction
// that accepted its event.
const (
	wayClaimed  = "claimed"
	wayAccepted = "accepted"
)

// The moments at which an attempt may find that its lease ran out, the closed list of a label.
const (
	lateBeforeSend   = "before_send"
	lateAtSettlement = "at_settlement"
)

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_attempts_total", Help: "Attempts to deliver an event to SISS, by what came of them.",
		}, []string{"result"}),
		deliveries: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_deliveries", Help: "Deliveries that are not final, by state.",
		}, []string{"state"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_delivery_oldest_age_seconds", Help: "Age of the longest waiting delivery, by state.",
		}, []string{"state"}),
		begun: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_deliveries_begun_total", Help: "Deliveries taken under a lease, by the way they came.",
		}, []string{"way"}),
		circuit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_circuit_state", Help: "1 for the state of the circuit breaker towards SISS, 0 for the others.",
		}, []string{"state"}),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_attempts_late_total", Help: "Attempts that found their lease run out, by when.",
		}, []string{"when"}),
	}
	m.late.WithLabelValues(lateBeforeSend)
	m.late.WithLabelValues(lateAtSettlement)
	m.begun.WithLabelValues(wayClaimed)
	m.begun.WithLabelValues(wayAccepted)
	for _, r := range Results() {
		m.attempts.WithLabelValues(string(r))
	}
	for _, s := range hub.DeliveryStates() {
		if s != hub.Delivered && s != hub.Refused {
			m.deliveries.WithLabelValues(string(s))
			m.oldest.WithLabelValues(string(s))
		}
	}
	if registerer == nil {
		return m, nil
	}
	var err error
	for _, c := range []prometheus.Collector{m.attempts, m.deliveries, m.oldest, m.circuit, m.late, m.begun} {
		err = errors.Join(err, registerer.Register(c))
	}
	return m, err
}

// circuitIs shows where the circuit stands.
func (m *metrics) circuitIs(state circuitState) {
	for _, s := range circuitStates() {
		value := 0.0
		if s == state {
			value = 1
		}
		m.circuit.WithLabelValues(string(s)).Set(value)
	}
}

// watchBacklog keeps the gauges fresh until ctx ends.
func (d *Dispatcher) watchBacklog(ctx context.Context) {
	ticker := time.NewTicker(backlogEvery)
	defer ticker.Stop()
	for {
		backlog, err := d.store.Backlog(ctx, d.cfg.Environment)
		if err != nil && ctx.Err() == nil {
			d.log.Warn("backlog not read", zap.Error(err))
		}
		for _, b := range backlog {
			d.metrics.deliveries.WithLabelValues(string(b.State)).Set(float64(b.Count))
			d.metrics.oldest.WithLabelValues(string(b.State)).Set(b.Oldest.Seconds())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// other stands for every label value outside its closed list.
const other = "other"

// metrics are the door's figures. Labels come from closed lists; none says anything of an ente,
// a case or a child.
type metrics struct {
	exchanges  *prometheus.CounterVec
	events     *prometheus.CounterVec
	violations *prometheus.CounterVec
	steps      *prometheus.HistogramVec
	sizes      *prometheus.HistogramVec
	duplicates *prometheus.CounterVec
	rejected   *prometheus.CounterVec
	splits     prometheus.Counter
	// unjournalled counts refusals whose journal entry could not be written in time.
	unjournalled prometheus.Counter
}

// newMetrics registers the figures and starts those with fixed labels at zero.
func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_exchanges_total", Help: "Requests answered, by participant, operation and class of outcome.",
		}, []string{"participant", "operation", "outcome_class"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_events_total", Help: "Events judged, by type, schema version and class of outcome.",
		}, []string{"event_type", "schema_version", "outcome_class"}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_violations_total", Help: "Violations found, by code and severity.",
		}, []string{"code", "severity"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hub_step_duration_seconds", Help: "Duration of each step of an exchange.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10},
		}, []string{"step"}),
		sizes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hub_request_size_bytes", Help: "Size of request bodies.",
			Buckets: prometheus.ExponentialBuckets(512, 4, 7),
		}, []string{"operation"}),
		duplicates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_duplicates_total", Help: "Events whose id was known or being accepted.",
		}, []string{"kind"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_admission_rejected_total", Help: "Requests refused for want of room or because the door is closed, by reason.",
		}, []string{"reason"}),
		unjournalled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hub_refusals_unjournalled_total", Help: "Refusals whose journal entry could not be written in time.",
		}),
		splits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hub_subject_splits_total", Help: "Identities found to have two subjects; each needs the privacy officer.",
		}),
	}
	registerer.MustRegister(m.exchanges, m.events, m.violations, m.steps, m.sizes, m.duplicates, m.rejected, m.splits, m.unjournalled)
	for _, kind := range []string{"repeat", "in_progress", "conflict"} {
		m.duplicates.WithLabelValues(kind)
	}
	for _, reason := range []string{rejectOverload, rejectMemory, rejectShare, rejectRate, rejectStrangers, rejectStopping} {
		m.rejected.WithLabelValues(reason)
	}
	for _, reason := range ClosedReasons() {
		m.rejected.WithLabelValues(string(reason))
	}
	for _, code := range hub.Codes() {
		m.violations.WithLabelValues(string(code.Code), hub.Grave.String())
	}
	return m
}

// step measures one step of the way of a message.
func (m *metrics) step(name string) func() {
	start := time.Now()
	return func() { m.steps.WithLabelValues(name).Observe(time.Since(start).Seconds()) }
}

// count tells the outcome of one exchange, whose class is class, and of its events.
func (m *metrics) count(x *exchange, class string, treatments map[hub.Kind]treatment) {
	participant, operation := other, other
	if x.participant != nil {
		participant = x.participant.Name
	}
	if x.operation.Name != "" {
		operation = string(x.operation.Name)
	}
	m.exchanges.WithLabelValues(participant, operation, class).Inc()
	m.sizes.WithLabelValues(operation).Observe(float64(x.size))
	for _, e := range x.events {
		if e.kind == "" {
			continue
		}
		class := "accepted"
		if e.refusal != nil {
			class = treatments[e.refusal.Kind].label
		}
		m.events.WithLabelValues(string(e.kind), x.schema, class).Inc()
	}
}

// countViolations counts those of a refusal.
func (m *metrics) countViolations(refusal *hub.Error) {
	for _, v := range refusal.Public[:min(len(refusal.Public), 10)] {
		m.violations.WithLabelValues(string(v.Code), v.Severity.String()).Inc()
	}
}

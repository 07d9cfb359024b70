package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the store's own figures; what an event or attempt came to is counted by its caller.
type metrics struct {
	batches *prometheus.HistogramVec
	retries *prometheus.CounterVec
}

// The groups a batch may belong to, the closed list of the label group.
const (
	groupLookup  = "lookup"
	groupAccept  = "accept"
	groupSettle  = "settle"
	groupJournal = "journal"
)

// newMetrics registers the store's metrics; a nil registerer takes none.
func newMetrics(registerer prometheus.Registerer, pools []*pgxpool.Pool) *metrics {
	m := &metrics{
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hub_store_batch_calls",
			Help:    "Calls that shared one transaction or query.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}, []string{"group"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_store_batch_retries_total",
			Help: "Batches that failed once and were run again.",
		}, []string{"group"}),
	}
	for _, group := range []string{groupLookup, groupAccept, groupSettle, groupJournal} {
		m.batches.WithLabelValues(group)
		m.retries.WithLabelValues(group)
	}
	if registerer == nil {
		return m
	}
	registerer.MustRegister(m.batches, m.retries)
	gauge := func(state, help string, read func(*pgxpool.Stat) int32) {
		registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hub_store_connections", Help: help, ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 {
			var sum int32
			for _, pool := range pools {
				sum += read(pool.Stat())
			}
			return float64(sum)
		}))
	}
	const help = "Connections of the store by state."
	gauge("in_use", help, (*pgxpool.Stat).AcquiredConns)
	gauge("idle", help, (*pgxpool.Stat).IdleConns)
	return m
}

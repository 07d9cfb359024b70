package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// The standings of a case towards its national record, labels of hub_record_cases.
const (
	standingComplete   = "complete"
	standingIncomplete = "incomplete"
	standingEarly      = "opened_later"
	standingPast       = "closed_before"
)

// missingCounts gives, for everything that a record misses, how many cases miss it, and the names in
// the order of their first case.
func (w *flow) missingCounts() (counts map[string]int, names []string) {
	counts = map[string]int{}
	for _, l := range w.left {
		for _, name := range l.missing {
			if counts[name]++; counts[name] == 1 {
				names = append(names, name)
			}
		}
	}
	return counts, names
}

// measure makes every record as write does, and keeps none.
func (w *flow) measure(ctx context.Context, cfg config.Config, store *postgres.Store) error {
	w.to = bufio.NewWriter(io.Discard)
	if err := store.EachHistory(ctx, cfg.Env(), w.ente, w.take); err != nil {
		return fmt.Errorf("make the records: %w", err)
	}
	return nil
}

// writeMetrics writes how complete an ente's records are, for the textfile collector of Prometheus's
// node exporter. The file gets its name only when it is whole. It counts cases and names attributes of
// the national record: nothing in it is about a child.
func (w *flow) writeMetrics(file, ente string, now time.Time) error {
	labels := prometheus.Labels{"ente": ente}
	gauge := func(name, help string, names ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, names)
	}
	cases := gauge("hub_record_cases", "Cases by what became of their national record at the reference date.", "standing")
	missing := gauge("hub_record_missing_cases", "Cases whose national record cannot be sent for what it misses, by what.", "attribute")
	reference := gauge("hub_record_reference_timestamp_seconds", "The reference date of these figures.")
	made := gauge("hub_record_measured_timestamp_seconds", "When these figures were made.")
	for standing, n := range map[string]int{
		standingComplete: w.written, standingIncomplete: len(w.left), standingEarly: w.early, standingPast: w.past,
	} {
		cases.WithLabelValues(standing).Set(float64(n))
	}
	counts, _ := w.missingCounts()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		missing.WithLabelValues(name).Set(float64(counts[name]))
	}
	reference.WithLabelValues().Set(float64(w.at.Unix()))
	made.WithLabelValues().Set(float64(now.Unix()))
	registry := prometheus.NewRegistry()
	registry.MustRegister(cases, missing, reference, made)
	if err := prometheus.WriteToTextfile(file, registry); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

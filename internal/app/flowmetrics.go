package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/smallnumbers"
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

// standingPrefix tells standings from what records miss.
const standingPrefix = "standing:"

// tellable gives the numbers of cases that may be told: by standing, and by what records miss. Whoever knows
// how many cases the ente has, and what may be told, computes none of the others.
func (w *flow) tellable() map[string]int64 {
	missing, names := w.missingCounts()
	cells := []int64{int64(w.written), int64(len(w.left)), int64(w.early), int64(w.past)}
	all := smallnumbers.Sum{Total: len(cells), Parts: []int{0, 1, 2, 3}}
	cells = append(cells, cells[0]+cells[1]+cells[2]+cells[3])
	// A case may miss several things.
	lacks := smallnumbers.Sum{Total: 1, Overlap: true}
	for _, name := range names {
		lacks.Parts = append(lacks.Parts, len(cells))
		cells = append(cells, int64(missing[name]))
	}
	told := map[string]int64{}
	for i, hidden := range smallnumbers.Suppress(cells, []smallnumbers.Sum{all, lacks}, w.least) {
		switch {
		case hidden || i == all.Total:
		case i < all.Total:
			told[standingPrefix+[]string{standingComplete, standingIncomplete, standingEarly, standingPast}[i]] = cells[i]
		default:
			told[names[i-all.Total-1]] = cells[i]
		}
	}
	return told
}

// writeMetrics writes how complete an ente's records are, for the textfile collector of Prometheus's
// node exporter. The file gets its name only when it is whole. It counts cases and names attributes of
// the national record. A number that could tell of a child has no sample.
func (w *flow) writeMetrics(file, ente string, now time.Time) error {
	labels := prometheus.Labels{"ente": ente}
	gauge := func(name, help string, names ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, names)
	}
	cases := gauge("hub_record_cases", "Cases by what became of their national record at the reference date.", "standing")
	missing := gauge("hub_record_missing_cases", "Cases whose national record cannot be sent for what it misses, by what.", "attribute")
	reference := gauge("hub_record_reference_timestamp_seconds", "The reference date of these figures.")
	made := gauge("hub_record_measured_timestamp_seconds", "When these figures were made.")
	for name, n := range w.tellable() {
		if standing, ok := strings.CutPrefix(name, standingPrefix); ok {
			cases.WithLabelValues(standing).Set(float64(n))
		} else {
			missing.WithLabelValues(name).Set(float64(n))
		}
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

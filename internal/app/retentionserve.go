package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// retentionFigures are what Prometheus is told of retention, by every instance alike.
type retentionFigures struct {
	age, held *prometheus.GaugeVec
	dropped   *prometheus.CounterVec
	succeeded prometheus.Gauge
	full      prometheus.Gauge
}

func newRetentionFigures(registerer prometheus.Registerer) *retentionFigures {
	f := &retentionFigures{
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_retention_oldest_record_age_seconds",
			Help: "Age of the oldest record of a class that nothing holds, as the last run of retention left it; 0 if there was none.",
		}, []string{"class"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_retention_held_records",
			Help: "Records beyond their period that are kept because they are still needed.",
		}, []string{"class"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hub_retention_dropped_total", Help: "Records that this instance retired.",
		}, []string{"class"}),
		succeeded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_retention_success_timestamp_seconds", Help: "When a run of retention last got to its end; 0 if none did.",
		}),
		full: prometheus.NewGauge(prometheus.GaugeOpts{ //nolint:promlinter // people plan disks in days, and the name says so
			Name: "hub_storage_days_to_full",
			Help: "Days until the database's disk, or admission.database_size, is full if it grows on as in the last months; infinite if it does not grow or nobody knows.",
		}),
	}
	for _, class := range postgres.RetentionClasses() {
		f.age.WithLabelValues(string(class))
		f.held.WithLabelValues(string(class))
		f.dropped.WithLabelValues(string(class))
	}
	f.full.Set(math.Inf(1))
	registerer.MustRegister(f.age, f.held, f.dropped, f.succeeded, f.full)
	return f
}

// retain runs retention once a day, on one of all instances, and reads its figures, until ctx ends.
func (s *server) retain(ctx context.Context) error {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return fmt.Errorf("load the Italian time zone: %w", err)
	}
	figures := newRetentionFigures(s.registry)
	log := s.log.Named("retention")
	ticker := time.NewTicker(retentionEvery)
	defer ticker.Stop()
	for {
		if err := s.retainDue(ctx, rome, figures, log); err != nil && ctx.Err() == nil {
			log.Warn("retention did not come to its end; it is tried again in an hour", append(whoHolds(ctx, s.stores.store), zap.Error(err))...)
		}
		if err := s.readRetention(ctx, figures); err != nil && ctx.Err() == nil {
			log.Warn("figures of retention not read", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// retainDue runs retention if its hour has come by the database's clock and nobody did it today.
func (s *server) retainDue(ctx context.Context, rome *time.Location, figures *retentionFigures, log *zap.Logger) error {
	now, err := s.stores.store.Now(ctx)
	if err != nil {
		return err
	}
	local := now.In(rome)
	cfg := s.config()
	if local.Hour() < cfg.Retention.Hour {
		return nil
	}
	r := &retirer{
		store: s.stores.store, env: cfg.Env(), policy: cfg.Retention, now: time.Now, log: log,
		tell: func(step retired) { figures.dropped.WithLabelValues(string(step.class)).Add(float64(step.Records)) },
	}
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	if err := r.underTurn(ctx, today); err != nil && !errors.Is(err, postgres.ErrNoTurn) {
		return err
	}
	return nil
}

// readRetention puts what runs of any instance found into the metrics.
func (s *server) readRetention(ctx context.Context, f *retentionFigures) error {
	measures, succeeded, err := s.stores.store.RetentionMeasures(ctx)
	if err != nil {
		return err
	}
	for _, m := range measures {
		f.age.WithLabelValues(string(m.Class)).Set(m.Age.Seconds())
		f.held.WithLabelValues(string(m.Class)).Set(float64(m.Held))
	}
	if !succeeded.IsZero() {
		f.succeeded.Set(float64(succeeded.Unix()))
	}
	days, err := s.daysToFull(ctx)
	if err != nil {
		return err
	}
	f.full.Set(days)
	return nil
}

// daysToFull is how long the room lasts that the disk and the configured size leave.
func (s *server) daysToFull(ctx context.Context) (float64, error) {
	growth, known, err := s.stores.store.Growth(ctx)
	if err != nil || !known || growth <= 0 {
		return math.Inf(1), err
	}
	room := math.Inf(1)
	cfg := s.config()
	if dir := s.watch.disk(cfg); dir != "" {
		disk, err := postgres.DiskHeadroom(dir)
		if err != nil {
			return 0, err
		}
		room = float64(disk.Free)
	}
	if limit := cfg.Admission.DatabaseSize; limit > 0 {
		size, err := s.stores.store.DatabaseSize(ctx)
		if err != nil {
			return 0, err
		}
		room = min(room, max(0, float64(limit)-float64(size)))
	}
	return room / growth, nil
}

// releaseLeft has the vault forget the children whose last case has gone.
func (s *server) releaseLeft(ctx context.Context) {
	if err := s.stores.store.EachLeft(ctx, s.cfg.Env(), s.stores.vault.Release); err != nil && ctx.Err() == nil {
		s.log.Warn("subjects without a case not released yet", zap.Error(err))
	}
}

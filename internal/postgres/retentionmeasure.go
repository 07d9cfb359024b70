package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// RetentionMeasure is what the last run left of a class.
type RetentionMeasure struct {
	// Class measured.
	Class RetentionClass
	// Age of the oldest record that nothing holds, now; 0 if there is none.
	Age time.Duration
	// Held is how many records are beyond their period because they are still needed.
	Held int64
}

// oldestRowSQL are the rows of classes that do not go by months.
const (
	oldestRefusalSQL = `
SELECT min(j.at) FROM hub.journal_entry j WHERE j.kind = 2 AND EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = j.id)`
	oldestCaseSQL = `
SELECT min(c.last_event_at) FROM hub.case_file c
WHERE NOT EXISTS (SELECT FROM hub.delivery d WHERE d.case_id = c.id AND d.state NOT IN ('delivered', 'refused'))`
	oldestReconciliationSQL = `
SELECT min(r.day)::timestamp AT TIME ZONE 'UTC' FROM hub.reconciliation_day r`
)

const writeMeasureSQL = `
INSERT INTO hub.retention_class (class, oldest_at, held, measured_at)
VALUES ($1, $2, $3, hub.hub_now())
ON CONFLICT (class) DO UPDATE
SET oldest_at = excluded.oldest_at, held = excluded.held, measured_at = excluded.measured_at`

// MeasureRetention finds the oldest record of a class that nothing holds and remembers it, with the number
// of those that are held, for all instances.
func (s *Store) MeasureRetention(ctx context.Context, class RetentionClass, held int64) error {
	oldest, err := s.oldest(ctx, class)
	if err != nil {
		return err
	}
	var at *time.Time
	if !oldest.IsZero() {
		at = &oldest
	}
	if _, err := s.pool.Exec(ctx, writeMeasureSQL, string(class), at, held); err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Store) oldest(ctx context.Context, class RetentionClass) (time.Time, error) {
	if class.ByMonths() {
		return s.oldestOfMonths(ctx, class)
	}
	query := oldestRefusalSQL
	switch class { //nolint:exhaustive // the others go by months
	case RetainCases:
		query = oldestCaseSQL
	case RetainReconciliations:
		query = oldestReconciliationSQL
	}
	var oldest *time.Time
	err := s.long(ctx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, query).Scan(&oldest) })
	return utcOf(oldest), err
}

// oldestOfMonths looks into the first month that has a record which nothing holds.
func (s *Store) oldestOfMonths(ctx context.Context, class RetentionClass) (time.Time, error) {
	months, err := s.retentionMonths(ctx, class, nil)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range months {
		if m.Held {
			continue
		}
		scope, err := s.MonthScope(ctx, m)
		if err != nil || scope.Records > 0 {
			return scope.Oldest, err
		}
	}
	return time.Time{}, nil
}

const retentionMeasuresSQL = `
SELECT c.class, greatest(0, coalesce(extract(epoch FROM (SELECT hub.hub_now()) - c.oldest_at), 0) * 1000000)::bigint, c.held
FROM hub.retention_class c ORDER BY c.class`

const retentionSucceededSQL = `
SELECT t.succeeded_at FROM hub.retention_turn t`

// RetentionMeasures are those of all classes that a run measured, their ages as of now, and when a run
// last got to its end; zero if none did.
func (s *Store) RetentionMeasures(ctx context.Context) (all []RetentionMeasure, succeeded time.Time, err error) {
	rows, err := s.pool.Query(ctx, retentionMeasuresSQL)
	if err != nil {
		return nil, time.Time{}, unavailable(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m RetentionMeasure, err error) {
		var micros int64
		err = row.Scan((*string)(&m.Class), &micros, &m.Held)
		m.Age = time.Duration(micros) * time.Microsecond
		return m, err
	})
	if err != nil {
		return nil, time.Time{}, unavailable(err)
	}
	var at *time.Time
	if err := s.pool.QueryRow(ctx, retentionSucceededSQL).Scan(&at); err != nil {
		return nil, time.Time{}, unavailable(err)
	}
	return all, utcOf(at), nil
}

const sampleSizeSQL = `
WITH forgotten AS (
  DELETE FROM hub.retention_size s WHERE s.day < (hub.hub_now() - interval '90 days')::date
)
INSERT INTO hub.retention_size (day, bytes)
VALUES ((hub.hub_now() AT TIME ZONE 'UTC')::date, pg_database_size(current_database()))
ON CONFLICT (day) DO UPDATE SET bytes = excluded.bytes`

// SampleSize remembers how large the database is today.
func (s *Store) SampleSize(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, sampleSizeSQL); err != nil {
		return unavailable(err)
	}
	return nil
}

// A month that goes makes the database smaller in one night: the trend over a quarter of a year, by least
// squares, is not led astray by that.
const growthSQL = `
SELECT count(*), regr_slope(s.bytes, s.day - current_date) FROM hub.retention_size s`

// growthDays is how many days must be known before they tell anything.
const growthDays = 7

// Growth is how many bytes the database grows a day; known is false while there are too few days.
func (s *Store) Growth(ctx context.Context) (bytes float64, known bool, err error) {
	var days int
	var slope *float64
	if err := s.pool.QueryRow(ctx, growthSQL).Scan(&days, &slope); err != nil {
		return 0, false, unavailable(err)
	}
	if days < growthDays || slope == nil || math.IsNaN(*slope) {
		return 0, false, nil
	}
	return *slope, true, nil
}

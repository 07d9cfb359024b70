package postgres

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/pkg/batch"
)

// aloneTries is how often a call of its own is tried when it only lost a race.
const aloneTries = 3

// runBatch runs once over all calls. If that fails the whole batch is run again: what raced with
// it is visible by then, and what it may have committed is found. If it fails again each call
// is run alone, so that a poisonous one fails alone. Nothing is repeated after a warning on
// COMMIT or when the time is over: then the outcome is unknown, which is an error.
func runBatch[Q, R any](
	ctx context.Context, s *Store, group string, all []Q,
	once func(context.Context, []Q) ([]batch.Result[R], error),
) []batch.Result[R] {
	s.metrics.batches.WithLabelValues(group).Observe(float64(len(all)))
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	results, err := once(ctx, all)
	if err == nil {
		return results
	}
	s.noteFailure(group, len(all), err)
	if again(ctx, err) {
		if results, err = once(ctx, all); err == nil {
			return results
		}
		s.noteFailure(group, len(all), err)
	}
	if len(all) > 1 && again(ctx, err) {
		results = results[:0]
		for _, q := range all {
			results = append(results, runAlone(ctx, s, group, q, once))
		}
		return results
	}
	return slices.Repeat([]batch.Result[R]{{Err: err}}, len(all))
}

// runAlone runs one call until it has a result or an error that will not pass by itself.
func runAlone[Q, R any](
	ctx context.Context, s *Store, group string, q Q,
	once func(context.Context, []Q) ([]batch.Result[R], error),
) batch.Result[R] {
	for try := 1; ; try++ {
		results, err := once(ctx, []Q{q})
		if err == nil {
			return results[0]
		}
		s.noteFailure(group, 1, err)
		if try == aloneTries || !again(ctx, err) {
			return batch.Result[R]{Err: err}
		}
	}
}

// again tells whether another try may end differently and is allowed.
func again(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, errWarned)
}

// noteFailure counts and logs a failed batch; its error has no values after masking.
func (s *Store) noteFailure(group string, calls int, err error) {
	s.metrics.retries.WithLabelValues(group).Inc()
	s.log.Warn("batch failed", zap.String("group", group), zap.Int("calls", calls),
		zapMasked(err))
}

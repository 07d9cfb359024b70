package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Dated is what serve follows reference.dir with, for tests.
type Dated struct{ d *dated }

// NewDated reads the folder for the first time.
func NewDated(dir string, log *zap.Logger, registerer prometheus.Registerer) (Dated, error) {
	d, err := newDated(dir, log, registerer)
	return Dated{d}, err
}

// Follow looks at the folder again and gives the version then in force.
func (d Dated) Follow() string {
	d.d.follow()
	return d.d.set.Version()
}

// Latch is a limit with two sides, for tests.
type Latch struct{ l *latch }

// NewLatch makes an open one.
func NewLatch() Latch { return Latch{&latch{}} }

// Above and Below tell whether it is closed after a value.
func (l Latch) Above(value, limit, reopen uint64) bool {
	l.l.above(value, limit, reopen)
	return l.l.closed
}

// Below is Above for a limit that closes below it.
func (l Latch) Below(value, limit, reopen uint64) bool {
	l.l.below(value, limit, reopen)
	return l.l.closed
}

// ParseUntil reads when a maintenance ends.
var ParseUntil = parseUntil

// Retire runs retention as serve does on an Italian day, with the zero time as an operator does.
func Retire(ctx context.Context, store *postgres.Store, policy config.Retention, today time.Time, now func() time.Time) error {
	r := &retirer{store: store, env: hub.Prod, policy: policy, now: now, log: zap.NewNop()}
	return r.underTurn(ctx, today)
}

// RunBounded runs what run is, whose stop may take as long as drain.
func RunBounded(ctx context.Context, run func(context.Context, context.CancelCauseFunc) error, drain time.Duration, undo func()) error {
	return (&bounded{run: run, drain: func() time.Duration { return drain }, close: undo, log: zap.NewNop()}).wait(ctx)
}

// ErrOverdue says that a stop did not finish in time.
var ErrOverdue = errOverdue

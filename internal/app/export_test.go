package app

import (
	"context"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
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

// Patrol looks at the stored journal as serve does, for tests.
type Patrol struct{ p *patrol }

// NewPatrol makes one.
func NewPatrol(store *postgres.Store, now func() time.Time, log *zap.Logger, registerer prometheus.Registerer) Patrol {
	return Patrol{newPatrol(store, now, log, registerer)}
}

// Start is what happens at the start, Step what happens each second.
func (p Patrol) Start(ctx context.Context) error { return p.p.start(ctx) }

// Step is Start's successor.
func (p Patrol) Step(ctx context.Context) error { return p.p.step(ctx) }

// Damaged is what /readyz says.
func (p Patrol) Damaged() bool { return p.p.damaged.Load() }

// CheckJournal is what serve holds the journal against before it starts.
func CheckJournal(ctx context.Context, store *postgres.Store, vault *pgxpool.Pool) error {
	if err := checkEdge(ctx, store); err != nil {
		return err
	}
	return checkMark(ctx, store, vault, hub.Prod)
}

// ConnectOpener connects as an opener does when it starts.
func ConnectOpener(ctx context.Context, cfg config.Config, url string) error {
	guard, err := openerGuard(cfg, zap.NewNop())
	if err != nil {
		return err
	}
	_, _, closeStores, err := openerStores(ctx, cfg, url, url, guard, zap.NewNop())
	if err == nil {
		closeStores()
	}
	return err
}

// RunKeyCommand is runKeyCommand, ErrKeyCommand its fault.
var (
	RunKeyCommand = runKeyCommand
	ErrKeyCommand = errKeyCommand
)

// ToldCounts prints the numbers of an ente's deliveries by state (of all enti if it is empty) as a table or JSON.
func ToldCounts(out io.Writer, counts []postgres.Backlog, ente string, least int64, asJSON bool) error {
	return printCounts(out, tellableCounts(counts, DeliveryFilter{Ente: ente}, least), asJSON)
}

// ToldCases gives the numbers of cases that a flow tells, of those by standing and by what each incomplete one
// misses.
func ToldCases(written, early, past int, missing [][]string, least int64) map[string]int64 {
	w := &flow{written: written, early: early, past: past, least: least}
	for _, m := range missing {
		w.left = append(w.left, leftOut{missing: m})
	}
	return w.tellable()
}

// EpochsInUse is epochsInUse, and Settle follows a key's epoch through looks at given moments, giving what the
// database is told at each.
var EpochsInUse = epochsInUse

// Settle is the latter.
func Settle(looks []int32, at []time.Duration) (told []int32) {
	var before map[string]usage
	began := time.Now()
	for i, epoch := range looks {
		before = settle(before, map[string]int32{"seal": epoch}, began.Add(at[i]))
		told = append(told, before["seal"].told)
	}
	return told
}

// The faults of the commands of keys.
var (
	ErrKeyName     = errKeyName
	ErrKeyInUse    = errInUse
	ErrKeyNeeded   = errNeeded
	ErrNoKeyEpoch  = errNoEpoch
	ErrNoKeyTicket = errNoTicket
	ErrNoReason    = errNoReason
	ErrUnsigned    = errUnsigned
	ErrHalfSign    = errHalfSign
	ErrKeyMode     = errKeyMode
	ErrPersonName  = errPersonName
)

// ScopeOf is scopeOf.
var ScopeOf = scopeOf

// AccountName is how the journal names the account that runs this test.
func AccountName() string {
	name, _ := accountName()
	return name
}

// Keyring is the keyring of a running serve, with a clock of the test's.
type Keyring struct{ k *keyring }

// NewKeyring makes one.
func NewKeyring(cfg config.Config, keys *pseudonym.Keys, store *postgres.Store, now func() time.Time) Keyring {
	k := newKeyring(cfg, keys, store, zap.NewNop())
	k.now = now
	return Keyring{k}
}

// Look is keyring.look, and MaySend keyring.maySend.
func (k Keyring) Look(ctx context.Context) error { return k.k.look(ctx) }

// MaySend is the latter.
func (k Keyring) MaySend(ctx context.Context, subject uuid.UUID, epoch int32) (bool, error) {
	return k.k.maySend(ctx, subject, epoch)
}

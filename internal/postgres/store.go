// Package postgres remembers everything the hub must not forget: participants, messages, events,
// cases, deliveries and the journal, in one PostgreSQL, in one consistent place.
//
// What it promises: an acceptance that was acknowledged is committed and durable; one event key
// is accepted once; a delivery is held by one owner at a time, in order per case; journal and
// messages cannot be changed by the role the hub runs as. All SQL of the hub but the vault's is
// here, each statement a constant directly above the one method that runs it.
//
// No error of this package carries text of the server: PostgreSQL quotes values in its messages,
// so only the SQLSTATE and the constraint's name go on.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// The most that one round trip takes. Larger ones gain nothing and hold locks longer.
const (
	mostLookups = 128
	mostAccepts = 128
	mostSettles = 64
	mostEntries = 128
)

// settleLinger is how long a settlement waits for others. Nobody waits for it but the next event of
// its case, and a settlement of its own costs the server several times what it costs among others
// (make bench: 9 in a batch without this, 23 with it).
const settleLinger = 20 * time.Millisecond

// Under load a batch costs the server more than the calls in it, so that look-ups and acceptances
// wait a moment for each other once crowd of them shared the batch before. A lone sender does not.
const (
	crowdLinger = 4 * time.Millisecond
	crowd       = 4
)

// Config says where the database is.
type Config struct {
	// DSN connects as the application's role (RoleApp), never as a superuser.
	DSN string
	// Connections is the most the pool opens; 0 means 16.
	Connections int32
	// Lasting keeps connections for as long as the store, for a process that cannot open others.
	Lasting bool
	// Timeout bounds every acceptance, waiting included; 0 means 10 s.
	Timeout time.Duration
	// Logger takes what goes wrong, without values; nil for none.
	Logger *zap.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Guard refuses servers that are behind; nil for none.
	Guard *Guard
	// Fullness is told of a full disk; nil for nobody.
	Fullness *Fullness
}

// Store is the database as the hub sees it. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	lanes   lanes
	timeout time.Duration
	log     *zap.Logger
	metrics *metrics
	lookups *batch.Group[Query, Found]
	accepts *batch.Group[*ready, AcceptResult]
	settles *batch.Group[*Settlement, bool]
	entries *batch.Group[journal.Entry, struct{}]
	// summaries bounds how many are read at once.
	summaries chan struct{}
	opened    time.Time
	// deferred is when blocked deliveries were last deferred, in nanoseconds since opened.
	deferred atomic.Int64
	// carrier takes what begins at once; nil if nobody does.
	carrier atomic.Pointer[Carrier]
	guard   *Guard
	full    *Fullness
	// address is where to connect; wandering says that another server may appear behind it.
	address   *pgx.ConnConfig
	wandering bool
}

// Open connects the store and checks that the server answers. Lookup, Accept, Settle and Journal
// wait until Run serves them.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	config, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, errBadDSN
	}
	config.MaxConns = cmp.Or(cfg.Connections, 16)
	if cfg.Lasting {
		const always = 100 * 365 * 24 * time.Hour
		config.MaxConnLifetime, config.MaxConnIdleTime = always, always
	}
	config.ConnConfig.OnNotice = noteWarning
	setSession(config.ConnConfig)
	if cfg.Guard != nil {
		cfg.Guard.Protect(config, true)
	}
	if cfg.Fullness != nil {
		cfg.Fullness.Watch(config.ConnConfig)
	}
	s := &Store{
		timeout: cmp.Or(cfg.Timeout, 10*time.Second),
		log:     orNop(cfg.Logger).Named("store"), opened: time.Now(),
		summaries: make(chan struct{}, summariesAtOnce), guard: cfg.Guard, full: cfg.Fullness,
		address: config.ConnConfig, wandering: wanders(config.ConnConfig),
	}
	if err := s.openPools(ctx, config); err != nil {
		return nil, fmt.Errorf("open the pool: %w", masked(err))
	}
	s.metrics = newMetrics(cfg.Registerer, s.pools())
	if s.guard != nil && s.wandering {
		s.visit(ctx) // the first that answers may be an old primary
	}
	if err := s.pool.Ping(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("reach the database: %w", masked(err))
	}
	s.lookups = batch.New(mostLookups, s.lookupBatch).LingerInCrowd(crowdLinger, crowd)
	s.accepts = batch.New(mostAccepts, s.acceptBatch).LingerInCrowd(crowdLinger, crowd)
	s.settles = batch.New(mostSettles, s.settleBatch).Linger(settleLinger)
	s.entries = batch.New(mostEntries, s.journalBatch)
	return s, nil
}

// Run serves the batches of Lookup, Accept, Settle and Journal until ctx ends. A batch that
// began is finished before Run returns.
func (s *Store) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	all := []func(context.Context){s.lookups.Run, s.accepts.Run, s.settles.Run, s.entries.Run}
	if s.guard != nil {
		all = append(all, s.watch)
	}
	for _, loop := range all {
		loops.Go(func() { loop(ctx) })
	}
	loops.Wait()
	return nil
}

// Close closes all connections. Call it after Run has returned.
func (s *Store) Close() { closePools(s.pools()) }

// Key names an event for ever (contract, "Duplicates"). It is comparable.
type Key struct {
	// Environment the event was sent to.
	Environment hub.Environment
	// Ente is the registry's row of the CodiceEnte.
	Ente int32
	// Event is IdEvento.
	Event uuid.UUID
}

// warned is where noteWarning leaves its mark on a connection.
const warned = "warned"

// noteWarning marks a connection on which the server warned. A WARNING on COMMIT means that the
// transaction may not be durable (a synchronous standby did not confirm it).
func noteWarning(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warned] = true
	}
}

// errWarned says that COMMIT came back with a warning: unknown, never to be acknowledged.
var errWarned = errors.New("database: COMMIT warned, its durability is unknown")

// errRolledBack says that COMMIT ended a transaction that had failed.
var errRolledBack = errors.New("database: COMMIT rolled back")

// checkCommit reads the answer to a COMMIT.
func checkCommit(conn *pgx.Conn, tag pgconn.CommandTag, err error) error {
	if err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return errRolledBack
	}
	return checkWarning(conn)
}

// checkWarning tells whether the server warned since the mark was last taken away.
func checkWarning(conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[warned] != nil {
		return errWarned
	}
	return nil
}

// withConn is withLane for the pool.
func (s *Store) withConn(ctx context.Context, work func(*pgx.Conn) error) error {
	return s.withLane(ctx, s.pool, work)
}

// withLane runs work on one connection of a pool. A connection on which something went wrong
// is closed, never given back: it may be inside a transaction, or not know how one ended. Work that
// ends after another server took over counts as unknown: it may have been done on the one before.
func (s *Store) withLane(ctx context.Context, pool *pgxpool.Pool, work func(*pgx.Conn) error) error {
	turn := s.guard.turn()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = work(conn.Conn())
	if err == nil && s.guard.turn() != turn {
		err = errUnknown
	}
	if err != nil {
		closeQuietly(ctx, conn.Conn())
	}
	return err
}

// setSession bounds what a session of ours may hold when this process stands still or is gone, where
// the address does not say otherwise: a transaction left open holds the locks of its cases, and a
// server that does not answer holds everybody up.
func setSession(cfg *pgx.ConnConfig) {
	for name, value := range map[string]string{
		"idle_in_transaction_session_timeout": "15s",
		"statement_timeout":                   "60s",
		"tcp_keepalives_idle":                 "10",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "3",
	} {
		if _, given := cfg.RuntimeParams[name]; !given {
			cfg.RuntimeParams[name] = value
		}
	}
	// The driver's own is two minutes, longer than anybody here waits.
	cfg.ConnectTimeout = min(cfg.ConnectTimeout, 3*time.Second)
}

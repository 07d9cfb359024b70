package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// The servers that are refused, at the start and at every later connection.
var (
	// ErrReadOnly says that a server takes no writes: a standby, or set so by somebody.
	ErrReadOnly = errors.New("database server is read-only")
	// ErrBehind says that a server lacks what was known to be durable: an old primary that came back,
	// a standby promoted too early, a backup.
	ErrBehind = errors.New("database server is behind what was acknowledged: see sinbahub accept-database")
	// ErrForeign says that a server is another cluster than the one known.
	ErrForeign = errors.New("database server is another cluster than before: see sinbahub accept-database")
)

// Guard knows how far the database was, and lets no connection lead to a server that has less. It
// remembers this in a folder outside the database, because the database is what may be the old one:
// the last committed receipt with each batch, which survives the end of the process, and with it
// the place in the log each second, synced. It is safe for concurrent use.
type Guard struct {
	log *zap.Logger

	mu    sync.Mutex
	known Position
	file  *positionFile
	// receipts are all that must be there: those known at the start, of every process.
	receipts []uuid.UUID
	pools    []*pgxpool.Pool
	// lines are the connections that stand.
	lines  map[*line]struct{}
	broken bool
	// host and port are the server's that is asked first.
	host string
	port uint16

	// generation grows when another server has taken over: a connection that is older leads to the
	// one before.
	generation atomic.Int64
	// committed is when a commit was last seen to come back, in nanoseconds since opened; 0 if nobody
	// watches.
	committed atomic.Int64
	opened    time.Time
}

// OpenGuard reads what is known of the database of an environment and keeps it from then on.
func OpenGuard(dir string, log *zap.Logger) (*Guard, error) {
	file, all, err := openPositions(dir)
	if err != nil {
		return nil, err
	}
	g := &Guard{log: orNop(log).Named("guard"), file: file, opened: time.Now(), lines: map[*line]struct{}{}}
	for _, p := range all {
		// Of several processes the one that saw the newest server counts.
		if p.Timeline > g.known.Timeline || p.Timeline == g.known.Timeline && p.WAL > g.known.WAL {
			g.known.System, g.known.Timeline, g.known.WAL = p.System, p.Timeline, p.WAL
		}
		if p.Receipt != uuid.Nil && p.Receipt != file.receipt {
			g.receipts = append(g.receipts, p.Receipt)
		}
	}
	// Every place in the log is written with the last receipt: what the process before left in our file
	// stays there until we have one of our own.
	g.known.Receipt = file.receipt
	return g, nil
}

// ReadGuard is OpenGuard for a process that belongs to another user and changes no position: it keeps no
// file, so that it is in nobody's way, and what it learns ends with it.
func ReadGuard(dir string, log *zap.Logger) (*Guard, error) {
	g, err := OpenGuard(dir, log)
	if err != nil {
		return nil, err
	}
	err = g.file.close()
	g.file = nil
	return g, err
}

// Close gives the file free.
func (g *Guard) Close() error { return g.file.close() }

// Known is the position as it is remembered now.
func (g *Guard) Known() Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known
}

// Protect makes every connection of a pool be checked and bounds what its sessions may hold. The pool's role must see hub.event if events
// is set; another role's server is only compared by its timeline.
func (g *Guard) Protect(cfg *pgxpool.Config, events bool) {
	setSession(cfg.ConnConfig)
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return g.track(conn), nil
	}
	cfg.BeforeConnect = g.reorder
	before := cfg.ConnConfig.ValidateConnect
	cfg.ConnConfig.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		return g.admit(ctx, conn, events)
	}
}

// prefer makes a server the one that is asked first.
func (g *Guard) prefer(host string, port uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.host, g.port = host, port
}

// reorder puts the preferred server of an address first: another that hangs would hold up every new
// connection.
func (g *Guard) reorder(_ context.Context, cfg *pgx.ConnConfig) error {
	g.mu.Lock()
	host, port := g.host, g.port
	g.mu.Unlock()
	for _, other := range cfg.Fallbacks {
		if other.Host == host && other.Port == port {
			other.Host, cfg.Host = cfg.Host, other.Host
			other.Port, cfg.Port = cfg.Port, other.Port
			other.TLSConfig, cfg.TLSConfig = cfg.TLSConfig, other.TLSConfig
			break
		}
	}
	return nil
}

// Reset makes a pool begin anew when another server takes over.
func (g *Guard) Reset(pool *pgxpool.Pool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pools = append(g.pools, pool)
}

const standingSQL = `
SELECT c.system_identifier,
  pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
  -- a standby has neither
  CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint ELSE 0 END,
  CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() - '0/0'::pg_lsn ELSE 0 END
FROM pg_control_system() AS c`

// standing asks a server who it is.
func standing(ctx context.Context, conn *pgconn.PgConn) (p Position, readOnly bool, err error) {
	result := conn.ExecParams(ctx, standingSQL, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return Position{}, false, result.Err
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != 4 {
		return Position{}, false, errStored
	}
	row := result.Rows[0]
	system, err := strconv.ParseInt(string(row[0]), 10, 64)
	timeline, err2 := strconv.ParseUint(string(row[2]), 10, 32)
	wal, err3 := strconv.ParseUint(string(row[3]), 10, 64)
	if errors.Join(err, err2, err3) != nil {
		return Position{}, false, errStored
	}
	p = Position{System: uint64(system), Timeline: uint32(timeline), WAL: wal} //nolint:gosec // PostgreSQL shows it signed
	return p, string(row[1]) == "t", nil
}

const haveReceiptsSQL = `
SELECT count(*) FROM hub.event WHERE id = ANY ($1::uuid[])`

// haveReceipts tells whether a server has all of some events.
func haveReceipts(ctx context.Context, conn *pgconn.PgConn, receipts []uuid.UUID) (bool, error) {
	words := make([]string, 0, len(receipts))
	for _, id := range receipts {
		words = append(words, id.String())
	}
	list := []byte("{" + strings.Join(words, ",") + "}")
	result := conn.ExecParams(ctx, haveReceiptsSQL, [][]byte{list}, nil, nil, nil).Read()
	if result.Err != nil {
		return false, result.Err
	}
	return len(result.Rows) == 1 && string(result.Rows[0][0]) == strconv.Itoa(len(receipts)), nil
}

// admit checks the server at the other end of a new connection.
func (g *Guard) admit(ctx context.Context, conn *pgconn.PgConn, events bool) error {
	found, readOnly, err := standing(ctx, conn)
	if err != nil {
		return err
	}
	if readOnly {
		return ErrReadOnly
	}
	g.mu.Lock()
	known, receipts := g.known, g.mustHave()
	g.mu.Unlock()
	if !events {
		if found.System == known.System && found.Timeline < known.Timeline {
			return ErrBehind
		}
		return nil
	}
	if err := judge(known, found); err != nil {
		return err
	}
	if len(receipts) > 0 {
		have, err := haveReceipts(ctx, conn, receipts)
		if err != nil {
			return err
		}
		if !have {
			return ErrBehind
		}
	}
	return g.raise(found, conn.Conn().RemoteAddr().String())
}

// judge compares a server with what is known. After a promotion its place in the log says nothing:
// the new timeline may have outgrown what it lacks of the old one, so that the receipts decide.
func judge(known, found Position) error {
	switch {
	case known.System == 0:
		return nil
	case found.System != known.System:
		return ErrForeign
	case found.Timeline < known.Timeline:
		return ErrBehind
	case found.Timeline == known.Timeline && found.WAL < known.WAL:
		return ErrBehind
	}
	return nil
}

// mustHave are the receipts that any server of ours has. The last committed one stands for all
// before it, because the log has an order.
func (g *Guard) mustHave() []uuid.UUID {
	receipts := g.receipts
	if g.known.Receipt != uuid.Nil {
		receipts = append(slices.Clip(receipts), g.known.Receipt)
	}
	return receipts
}

// raise takes over the server of a newer timeline, and cuts every connection to the one before:
// whoever waits there, for a machine that hangs or a standby that is gone, begins anew. What leads
// to the newer one's address stays.
func (g *Guard) raise(found Position, address string) error {
	before, err := g.take(found)
	if err != nil || before == 0 {
		return err
	}
	g.generation.Add(1)
	g.mu.Lock()
	pools, lines := slices.Clone(g.pools), slices.Collect(maps.Keys(g.lines))
	g.mu.Unlock()
	for _, pool := range pools {
		pool.Reset()
	}
	for _, l := range lines {
		if l.RemoteAddr().String() != address {
			_ = l.Conn.Close()
		}
	}
	g.log.Warn("another database server has taken over", zap.Uint32("timeline_before", before), zap.Uint32("timeline", found.Timeline))
	return nil
}

// take remembers a newer server. It gives the timeline before, 0 if nothing changed or none was
// known.
func (g *Guard) take(found Position) (before uint32, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if found.System == g.known.System && found.Timeline <= g.known.Timeline {
		return 0, nil
	}
	before = g.known.Timeline
	g.known.System, g.known.Timeline, g.known.WAL = found.System, found.Timeline, found.WAL
	return before, g.file.write(g.known, true)
}

// line is a connection to a server, whichever it is.
type line struct {
	net.Conn

	guard *Guard
}

// Close closes it for good.
func (l *line) Close() error {
	l.guard.mu.Lock()
	delete(l.guard.lines, l)
	l.guard.mu.Unlock()
	return l.Conn.Close()
}

func (g *Guard) track(conn net.Conn) net.Conn {
	l := &line{Conn: conn, guard: g}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lines[l] = struct{}{}
	return l
}

// acknowledge remembers that a receipt was committed, before anybody is told.
func (g *Guard) acknowledge(receipt uuid.UUID) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known.Receipt = receipt
	// What was known at the start is older: the log's order makes it part of this.
	g.receipts = nil
	g.keep(false)
}

// advance remembers a place in the log of a timeline that is durable. That of a server which another
// one has replaced meanwhile may be beyond all that the new one has.
func (g *Guard) advance(timeline uint32, wal uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if timeline != g.known.Timeline {
		return
	}
	g.known.WAL = max(g.known.WAL, wal)
	g.keep(true)
}

// keep writes the position. A disk that refuses it makes the guard weaker, not the hub deaf: it is
// told once.
func (g *Guard) keep(durable bool) {
	err := g.file.write(g.known, durable)
	if err != nil && !g.broken {
		g.log.Error("last known position is not kept", zap.Error(err))
	}
	g.broken = err != nil
}

// turn is a number that changes when another server takes over.
func (g *Guard) turn() int64 {
	if g == nil {
		return 0
	}
	return g.generation.Load()
}

// stalled says that the watch has not seen a commit come back for some seconds.
func (g *Guard) stalled() bool {
	if g == nil {
		return false
	}
	last := g.committed.Load()
	return last != 0 && time.Since(g.opened)-time.Duration(last) > stallAfter
}

// Adoption is the deliberate acceptance of a database that has less than was known, as after a
// restore.
type Adoption struct {
	// Before is what was known, one of each process that ever used the folder.
	Before []Position
	// After is the server's.
	After Position
}

// Adopt takes a server as it is for the known one. No serve may use the folder. What was
// acknowledged beyond it is lost to the hub: senders must be asked to repeat it.
func Adopt(ctx context.Context, dsn, dir string) (Adoption, error) {
	conn, err := connect(ctx, dsn)
	if err != nil {
		return Adoption{}, err
	}
	defer closeQuietly(ctx, conn)
	found, readOnly, err := standing(ctx, conn.PgConn())
	if err != nil {
		return Adoption{}, fmt.Errorf("ask the server: %w", masked(err))
	}
	if readOnly {
		return Adoption{}, ErrReadOnly
	}
	before, err := forgetPositions(filepath.Clean(dir), found)
	return Adoption{Before: before, After: found}, err
}

package postgres

import (
	"context"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
)

const (
	// watchEvery is how often the watch looks, and how long one look may take.
	watchEvery = time.Second
	// visitEvery is after how many looks all servers of the address are visited, if all is well.
	visitEvery = 5
	// stallAfter is after how long without a commit nothing is claimed any more.
	stallAfter = 3 * time.Second
)

// advanceSQL commits the smallest record there is, if the log has grown by more than the last such
// one. The place is a record's end and, after COMMIT, durable wherever a failover goes.
const advanceSQL = `
SELECT CASE WHEN pg_current_wal_insert_lsn() - '0/0'::pg_lsn > $1::bigint + 512
  THEN (pg_logical_emit_message(true, 'hub', '') - '0/0'::pg_lsn)::bigint ELSE 0 END`

// watch remembers each second how far the database is, sees when commits do not come back, and
// finds a server that has taken over while connections to the one before still stand.
func (s *Store) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	well := true
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.look(ctx)
		if (err == nil) != well && ctx.Err() == nil {
			well = err == nil
			s.log.Warn("database commits", zap.Bool("well", well), zapMasked(err))
		}
		if s.wandering && (err != nil || n%visitEvery == 0) {
			s.visit(ctx)
		}
	}
}

// look commits and remembers how far the log is.
func (s *Store) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*watchEvery)
	defer cancel()
	known := s.guard.Known()
	var reached int64
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if err := conn.QueryRow(ctx, advanceSQL, int64(known.WAL)).Scan(&reached); err != nil { //nolint:gosec // half of the range
			return err
		}
		return checkWarning(conn)
	})
	if err != nil {
		return err
	}
	s.guard.committed.Store(int64(max(1, time.Since(s.guard.opened))))
	if reached > 0 {
		s.guard.advance(known.Timeline, uint64(reached))
	}
	return nil
}

// Remember commits a record of its own and remembers the place in the log that this reached, with all
// that was committed before it. The watch of Run does so each second; a command does it at its end.
func (s *Store) Remember(ctx context.Context) error {
	if s.guard == nil {
		return nil
	}
	if err := s.look(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// visit connects to each server of the address for a moment. The guard takes over the newest and
// prefers it.
func (s *Store) visit(ctx context.Context) {
	base := s.address
	for n := -1; n < len(base.Fallbacks); n++ {
		one := base.Copy()
		if n >= 0 {
			one.Host, one.Port, one.TLSConfig = base.Fallbacks[n].Host, base.Fallbacks[n].Port, base.Fallbacks[n].TLSConfig
		}
		one.Fallbacks = nil
		once, cancel := context.WithTimeout(ctx, watchEvery)
		conn, err := pgx.ConnectConfig(once, one)
		cancel()
		if err == nil {
			s.guard.prefer(one.Host, one.Port)
			closeQuietly(ctx, conn)
		}
	}
}

// wanders tells whether another server may appear behind the address: any but one socket of this
// machine.
func wanders(cfg *pgx.ConnConfig) bool {
	return len(cfg.Fallbacks) > 0 || !filepath.IsAbs(cfg.Host)
}

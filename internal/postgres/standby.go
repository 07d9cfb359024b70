package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A commit waits until the synchronous standby has it, but what was committed can be seen without
// waiting: once the wait was cancelled, its backend ended, or the server crashed and came back. A
// receipt given for what was only seen would be lost with this server. Replication keeps the order,
// so that a commit of our own which the standby confirmed confirms everything seen before it.
const confirmStandbySQL = `
SELECT CASE WHEN current_setting('synchronous_standby_names') <> ''
  -- the smallest thing that makes a COMMIT wait; without a standby nothing is written
  THEN pg_logical_emit_message(true, 'hub', '') END`

// confirmStandby returns once everything that was visible before it is where a failover finds it.
func (s *Store) confirmStandby(ctx context.Context) error {
	return s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if _, err := conn.Exec(ctx, confirmStandbySQL); err != nil {
			return err
		}
		return checkWarning(conn)
	})
}

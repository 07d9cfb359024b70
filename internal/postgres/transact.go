package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// inTx does something in a transaction of its own, which is committed if that gives no error. A COMMIT on
// which the server warned is an error: nobody knows whether it is durable.
func (s *Store) inTx(ctx context.Context, do func(pgx.Tx) error) error {
	return s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		return checkWarning(conn)
	})
}

// inTrip sends statements whose last one is COMMIT in one trip, so that nobody waits for this process
// while their locks are held, and reads what came of that.
func (s *Store) inTrip(ctx context.Context, trip *pgx.Batch) error {
	return s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		answers := conn.SendBatch(ctx, trip)
		var tag pgconn.CommandTag
		var err error
		for range trip.Len() {
			if tag, err = answers.Exec(); err != nil {
				break
			}
		}
		if closed := answers.Close(); err == nil {
			err = closed
		}
		return checkCommit(conn, tag, err)
	})
}

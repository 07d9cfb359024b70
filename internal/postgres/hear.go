package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// hearCheck is how long nothing may be heard before the connection is asked whether it still stands.
const hearCheck = 30 * time.Second

const tellSQL = `SELECT pg_notify('hub_delivery', $1)`

// Tell lets the other processes on this database know that deliveries may be due. It is outside any
// transaction that accepts, since NOTIFY takes a lock that all committers share: call it a few times a
// second at most, whatever the number of events. Nothing is lost if nobody hears.
func (s *Store) Tell(ctx context.Context, env hub.Environment, from uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, tellSQL, telling(env, from)); err != nil {
		return unavailable(err)
	}
	return nil
}

// telling is what one process tells the others. No content, no ids of events.
func telling(env hub.Environment, from uuid.UUID) string {
	return strconv.Itoa(int(env)) + " " + from.String()
}

// Hear calls heard when another process tells that deliveries may be due, and once at its beginning for
// what was told before. It has a connection of its own and returns when that is lost, or ctx ends.
func (s *Store) Hear(ctx context.Context, env hub.Environment, self uuid.UUID, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return unavailable(err)
	}
	defer closeQuietly(ctx, conn)
	if _, err := conn.Exec(ctx, "LISTEN hub_delivery"); err != nil {
		return unavailable(err)
	}
	heard()
	mine, ours := telling(env, self), strconv.Itoa(int(env))+" "
	for {
		note, err := hearOne(ctx, conn)
		switch {
		case err != nil:
			return unavailable(err)
		case note != nil && note.Payload != mine && len(note.Payload) > len(ours) && note.Payload[:len(ours)] == ours:
			heard()
		}
	}
}

// hearOne waits for a notification; nil if none came for a while but the connection stands.
func hearOne(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	once, cancel := context.WithTimeout(ctx, hearCheck)
	defer cancel()
	note, err := conn.WaitForNotification(once)
	if err != nil && errors.Is(once.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, hearCheck)
		defer cancel()
		return nil, conn.Ping(once)
	}
	return note, err
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// Maintenance is a time in which no instance takes events, as an operator began it.
type Maintenance struct {
	// Environment it holds for.
	Environment hub.Environment
	// Text is what senders are told: Testo100Type, without anything of a person.
	Text string
	// Until is when it ends by itself; zero if only an operator ends it.
	Until time.Time
	// Actor is who began it.
	Actor string
	// BegunAt is when, by the database's clock.
	BegunAt time.Time
	// Left is how long it goes on from now; 0 if only an operator ends it.
	Left time.Duration
}

// ErrMaintenancePast says that a maintenance would have ended before it begins.
var ErrMaintenancePast = errors.New("the maintenance would be over already")

// errNoEntry says that an operator's act came without its journal entry.
var errNoEntry = errors.New("no journal entry")

const beginMaintenanceSQL = `
INSERT INTO hub.maintenance (environment, text, until, actor, begun_at)
SELECT $1::smallint, $2::text, $3::timestamptz, $4::text, clock.now
FROM (SELECT hub.hub_now() AS now) AS clock
-- by the clock that will end it
WHERE $3::timestamptz IS NULL OR $3::timestamptz > clock.now
ON CONFLICT (environment) DO UPDATE
SET text = excluded.text, until = excluded.until, actor = excluded.actor,
  -- another text or end in the course of one does not begin it anew
  begun_at = CASE WHEN maintenance.until <= excluded.begun_at THEN excluded.begun_at
    ELSE maintenance.begun_at END`

// BeginMaintenance puts a maintenance in force, or gives the one in force another text and end, and
// journals it in the same transaction. BegunAt and Left are not read. It fails with
// ErrMaintenancePast, else with an *hub.Error of kind Unavailable: then it may be in force, and
// calling it again is safe.
func (s *Store) BeginMaintenance(ctx context.Context, m Maintenance, entry journal.Entry) error {
	var until *time.Time
	if !m.Until.IsZero() {
		until = &m.Until
	}
	return s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, beginMaintenanceSQL, m.Environment, m.Text, until, m.Actor)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrMaintenancePast
		}
		return err
	})
}

const endMaintenanceSQL = `
DELETE FROM hub.maintenance m WHERE m.environment = $1
RETURNING m.until IS NULL OR m.until > hub.hub_now()`

// errNothing ends a transaction that has nothing to do.
var errNothing = errors.New("nothing to do")

// EndMaintenance ends the maintenance of an environment and journals it. ended is false if none was
// in force: then nothing is journalled. Errors are *hub.Error of kind Unavailable.
func (s *Store) EndMaintenance(ctx context.Context, env hub.Environment, entry journal.Entry) (ended bool, err error) {
	err = s.act(ctx, entry, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, endMaintenanceSQL, env).Scan(&ended)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !ended {
			return errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	return ended && err == nil, err
}

// act does what an operator asked for, and journals it, in one transaction that is not acknowledged
// unless it is durable. The sentinels of this file go through as they are.
func (s *Store) act(ctx context.Context, entry journal.Entry, do func(pgx.Tx) error) error {
	if entry.ID == uuid.Nil {
		return hub.NewError(hub.Internal, hub.CodeInternal, errNoEntry)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if err := do(tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, journalSQL, uuids{}.add(entry.ID), []time.Time{entry.At}, []int16{int16(entry.Kind)},
				uuids{}.addNullable(entry.Message), [][]byte{entry.Bytes()})
			return err
		})
		if err != nil {
			return err
		}
		return checkWarning(conn)
	})
	switch {
	case err == nil, errors.Is(err, ErrMaintenancePast), errors.Is(err, errNothing),
		errors.Is(err, ErrPersonTaken), errors.Is(err, ErrNoPerson), errors.Is(err, ErrTicketDone):
		return err
	}
	return unavailable(err)
}

const doorsSQL = `
SELECT m.text, m.until, m.actor, m.begun_at,
  coalesce(extract(epoch FROM m.until - clock.now), 0)::float8,
  EXISTS (SELECT 1 FROM hub.backlog b WHERE b.environment = $1)
FROM (SELECT hub.hub_now() AS now) AS clock
LEFT JOIN hub.maintenance m ON m.environment = $1 AND (m.until IS NULL OR m.until > clock.now)`

// Doors is what the database says of the doors of all instances of an environment.
type Doors struct {
	// Maintenance is in force; nil if none is.
	Maintenance *Maintenance
	// Backlog says that the deliveries are too late for the hub to take more.
	Backlog bool
}

// Doors reads them; it is cheap.
func (s *Store) Doors(ctx context.Context, env hub.Environment) (Doors, error) {
	var d Doors
	var text, actor *string
	var until, begun *time.Time
	var left float64
	if err := s.pool.QueryRow(ctx, doorsSQL, env).Scan(&text, &until, &actor, &begun, &left, &d.Backlog); err != nil {
		return Doors{}, fmt.Errorf("read the doors: %w", masked(err))
	}
	if text != nil {
		d.Maintenance = &Maintenance{Environment: env, Text: *text, Actor: *actor, BegunAt: begun.UTC()}
		if until != nil {
			d.Maintenance.Until = until.UTC()
			d.Maintenance.Left = time.Duration(left * float64(time.Second))
		}
	}
	return d, nil
}

const judgeBacklogSQL = `
WITH oldest AS MATERIALIZED (
  SELECT coalesce(d.ready_at, d.received_at) AS ready_at
  FROM (
    SELECT d.id, d.case_id, d.ready_at, d.received_at
    FROM hub.delivery d
    WHERE d.environment = $1
      -- never tried: one that SISS answered badly, or not at all, is a case's own trouble
      AND d.state = 'pending'
      AND d.due_at <= (SELECT hub.hub_now())
    ORDER BY d.due_at
    -- a bound on the work; the claims defer what is blocked, so that it does not fill the front
    LIMIT 10000
  ) AS d
  -- the first of its case: what waits behind another says nothing of the receiver
  WHERE d.id = (
    SELECT e.id FROM hub.delivery e
    WHERE e.case_id = d.case_id AND e.state NOT IN ('delivered', 'refused')
    ORDER BY e.sequence, e.position LIMIT 1
  )
  ORDER BY coalesce(d.ready_at, d.received_at)
  LIMIT 1
), late AS (
  SELECT greatest(coalesce((SELECT clock.now - oldest.ready_at FROM oldest), interval '0'), interval '0') AS age,
    clock.now
  FROM (SELECT hub.hub_now() AS now) AS clock
), opened AS (
  DELETE FROM hub.backlog b USING late
  WHERE b.environment = $1 AND late.age < $3::bigint * interval '1 microsecond'
), closed AS (
  INSERT INTO hub.backlog (environment, closed_at)
  SELECT $1, late.now FROM late WHERE late.age > $2::bigint * interval '1 microsecond'
  ON CONFLICT DO NOTHING
)
SELECT extract(epoch FROM late.age)::float8 FROM late`

// JudgeBacklog measures for how long the oldest delivery waits that could go: due, never tried, the
// first of its case. A longer time than closes shuts the doors of all instances, one shorter than
// opens lets them open again, and between both they stay as they are. A case that only holds itself
// has no part in it.
func (s *Store) JudgeBacklog(ctx context.Context, env hub.Environment, closes, opens time.Duration) (time.Duration, error) {
	var age float64
	if err := s.pool.QueryRow(ctx, judgeBacklogSQL, env, closes.Microseconds(), opens.Microseconds()).Scan(&age); err != nil {
		return 0, fmt.Errorf("judge the backlog: %w", masked(err))
	}
	return time.Duration(age * float64(time.Second)), nil
}

const databaseSizeSQL = `
SELECT pg_database_size(current_database())`

// DatabaseSize is how many bytes the database takes on its server's disk, its write-ahead log not
// counted.
func (s *Store) DatabaseSize(ctx context.Context) (size int64, err error) {
	if err := s.pool.QueryRow(ctx, databaseSizeSQL).Scan(&size); err != nil {
		return 0, fmt.Errorf("measure the database: %w", masked(err))
	}
	return size, nil
}

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// ErrNoTurn says that somebody else reconciles this environment now, or that nothing is due.
var ErrNoTurn = errors.New("reconciliation is not due, or another process is at it")

// Turn is the right to reconcile an environment, until its lease runs out. Every write under it
// prolongs it; one that comes too late changes nothing and gives ErrStaleLease.
type Turn struct {
	// Environment is whose.
	Environment hub.Environment
	// Lease is the fencing token.
	Lease uuid.UUID
	// For is how long a write prolongs it.
	For time.Duration
	// Now is the database's time when it was taken.
	Now time.Time
}

// TurnQuery asks for a Turn.
type TurnQuery struct {
	// Environment to reconcile.
	Environment hub.Environment
	// Owner is the asking process, for people who look into the table.
	Owner uuid.UUID
	// For is how long the lease holds.
	For time.Duration
	// Today is the Italian day: a run that got to its end on it leaves nothing due. The zero time asks
	// whatever is due.
	Today time.Time
}

const databaseNowSQL = `
SELECT hub.hub_now()`

// Now is the database's time, by which leases, retries and the days of reconciliation run.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err := s.pool.QueryRow(ctx, databaseNowSQL).Scan(&now); err != nil {
		return time.Time{}, unavailable(err)
	}
	return now.UTC(), nil
}

const takeTurnSQL = `
UPDATE hub.reconciliation_turn t
SET lease = gen_random_uuid(), owner = $2, held_until = clock.now + $3::bigint * interval '1 microsecond'
FROM (SELECT hub.hub_now() AS now) AS clock
WHERE t.environment = $1
  AND (t.held_until IS NULL OR t.held_until < clock.now)
  AND ($4::date IS NULL OR t.due_at <= clock.now AND (t.done_on IS NULL OR t.done_on < $4))
RETURNING t.lease, clock.now`

// TakeTurn takes the right to reconcile; ErrNoTurn if there is none to have.
func (s *Store) TakeTurn(ctx context.Context, q TurnQuery) (Turn, error) {
	turn := Turn{Environment: q.Environment, For: q.For}
	var today *time.Time
	if !q.Today.IsZero() {
		today = &q.Today
	}
	err := s.pool.QueryRow(ctx, takeTurnSQL, q.Environment, q.Owner, q.For.Microseconds(), today).Scan(&turn.Lease, &turn.Now)
	if errors.Is(err, pgx.ErrNoRows) {
		return Turn{}, ErrNoTurn
	}
	if err != nil {
		return Turn{}, unavailable(err)
	}
	turn.Now = turn.Now.UTC()
	return turn, nil
}

const endTurnSQL = `
UPDATE hub.reconciliation_turn t
SET lease = NULL, owner = NULL, held_until = NULL,
  due_at = clock.now + $3::bigint * interval '1 microsecond',
  done_on = coalesce($4::date, t.done_on),
  succeeded_at = CASE WHEN $5 THEN clock.now ELSE t.succeeded_at END
FROM (SELECT hub.hub_now() AS now) AS clock
WHERE t.environment = $1 AND t.lease = $2`

// EndTurn gives a turn back: complete says that every day was compared to its end, on the Italian
// day done if that is not zero; again is when to try again else.
func (s *Store) EndTurn(ctx context.Context, t Turn, complete bool, done time.Time, again time.Duration) error {
	var day *time.Time
	if complete && !done.IsZero() {
		day = &done
	}
	if _, err := s.pool.Exec(ctx, endTurnSQL, t.Environment, t.Lease, again.Microseconds(), day, complete); err != nil {
		return unavailable(err)
	}
	return nil
}

const prolongTurnSQL = `
UPDATE hub.reconciliation_turn t
SET held_until = hub.hub_now() + $3::bigint * interval '1 microsecond'
-- the fencing token: the row stays locked until what is written under it is committed
WHERE t.environment = $1 AND t.lease = $2`

// underTurn writes in one transaction that proves that the turn is still held.
func (s *Store) underTurn(ctx context.Context, t Turn, write func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, prolongTurnSQL, t.Environment, t.Lease, t.For.Microseconds())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrStaleLease
		}
		return write(tx)
	})
	if err != nil && !errors.Is(err, ErrStaleLease) {
		return unavailable(err)
	}
	return err
}

// DayState is what the last look at a day came to.
type DayState string

// The states of a day and of its types (migration 00013 tells what they mean).
const (
	DayOpen      DayState = "open"
	DayAsking    DayState = "asking"
	DayEqual     DayState = "equal"
	DayKnown     DayState = "known"
	DayDifferent DayState = "different"
)

const dayDueSQL = `
SELECT coalesce((
  SELECT r.state <> 'equal' OR EXISTS (
    SELECT FROM hub.attempt a
    JOIN hub.delivery d ON d.id = a.delivery_id
    -- whoever read the clock just before that look may have committed after it
    WHERE a.started_at >= r.checked_at - interval '10 minutes'
      -- an only attempt after the day cannot be about it
      AND a.number > 1
      AND d.environment = $1 AND d.received_at < $3
  )
  FROM hub.reconciliation_day r WHERE r.environment = $1 AND r.day = $2
), true)`

// DayDue tells whether a day that ended must be compared: it never was, something differed, or a
// delivery that may be of that day was attempted again since.
func (s *Store) DayDue(ctx context.Context, d Day) (due bool, err error) {
	err = s.scanDay(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, dayDueSQL, d.Environment, d.Date, d.To).Scan(&due)
	})
	return due, err
}

const beginDaySQL = `
INSERT INTO hub.reconciliation_day AS r (environment, day, state, checked_at)
SELECT $1, $2, 'open', hub.hub_now()
ON CONFLICT (environment, day) DO UPDATE
-- a difference stays one until the new look has come to its end
SET state = CASE WHEN r.state = 'different' THEN r.state ELSE excluded.state END,
  checked_at = excluded.checked_at
RETURNING r.checked_at`

// BeginDay notes that a day is being looked at, and gives the time of it.
func (s *Store) BeginDay(ctx context.Context, t Turn, d Day) (began time.Time, err error) {
	err = s.underTurn(ctx, t, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, beginDaySQL, d.Environment, d.Date).Scan(&began)
	})
	return began, err
}

const forgottenDifferencesSQL = `
DELETE FROM hub.reconciliation_difference f
USING hub.reconciliation r
WHERE f.environment = $1 AND f.day = $2 AND r.environment = $1 AND r.day = $2 AND r.type = f.type
  AND r.checked_at < $3`

// A type that neither side has any more.
const forgottenTypesSQL = `
DELETE FROM hub.reconciliation r WHERE r.environment = $1 AND r.day = $2 AND r.checked_at < $3`

const endDaySQL = `
UPDATE hub.reconciliation_day r
SET state = CASE WHEN EXISTS (
    SELECT FROM hub.reconciliation t WHERE t.environment = $1 AND t.day = $2 AND t.state = 'different'
  ) THEN 'different' ELSE 'equal' END
WHERE r.environment = $1 AND r.day = $2
RETURNING r.state`

const countDifferencesSQL = `
SELECT f.kind, count(*) FROM hub.reconciliation_difference f
WHERE f.environment = $1 AND f.day = $2 GROUP BY f.kind
UNION ALL
SELECT 'not_ours', coalesce(sum(r.not_ours), 0) FROM hub.reconciliation r
WHERE r.environment = $1 AND r.day = $2`

// EndDay ends the look that began then: all types were written since. entry makes the journal's
// entry, which is committed with it, from what the day came to and how many events differ.
func (s *Store) EndDay(ctx context.Context, t Turn, d Day, began time.Time, entry func(DayState, map[DifferenceKind]int64) journal.Entry) (state DayState, err error) {
	err = s.underTurn(ctx, t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forgottenDifferencesSQL, d.Environment, d.Date, began); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, forgottenTypesSQL, d.Environment, d.Date, began); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, endDaySQL, d.Environment, d.Date).Scan(&state); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, countDifferencesSQL, d.Environment, d.Date)
		if err != nil {
			return err
		}
		found := map[DifferenceKind]int64{}
		var kind DifferenceKind
		var n int64
		if _, err := pgx.ForEachRow(rows, []any{&kind, &n}, func() error {
			found[kind] = n
			return nil
		}); err != nil {
			return err
		}
		return journalIn(ctx, tx, entry(state, found))
	})
	return state, err
}

// journalIn writes one entry and its queue row in a transaction.
func journalIn(ctx context.Context, tx pgx.Tx, e journal.Entry) error {
	_, err := tx.Exec(ctx, journalSQL, uuids{}.add(e.ID), []time.Time{e.At}, []int16{int16(e.Kind)},
		uuids{}.addNullable(e.Message), [][]byte{e.Bytes()})
	return err
}

// TypeCount is what hub and SISS count of one event type on one day.
type TypeCount struct {
	// Type is TipoEvento.
	Type string
	// Ours were delivered on that day for certain, Near on that day or one beside it.
	Ours, Near int32
	// Theirs and Digest are of riepilogo.
	Theirs int32
	Digest [32]byte
}

const typeEqualSQL = `
INSERT INTO hub.reconciliation AS r
  (environment, day, type, ours, near, theirs, their_digest, state, began_at, checked_at)
SELECT $1, $2, $3, $4, $5, $6, $7, 'equal', clock.now, clock.now
FROM (SELECT hub.hub_now() AS now) AS clock
ON CONFLICT (environment, day, type) DO UPDATE
SET ours = excluded.ours, near = excluded.near, theirs = excluded.theirs,
  their_digest = excluded.their_digest, state = 'equal', asked = 0, accepted = 0, not_ours = 0,
  asked_to = '00000000-0000-0000-0000-000000000000', began_at = excluded.began_at,
  checked_at = excluded.checked_at`

const dropDifferencesSQL = `
DELETE FROM hub.reconciliation_difference f
WHERE f.environment = $1 AND f.day = $2 AND f.type = $3
  AND ($4::timestamptz IS NULL OR f.found_at < $4)`

const dropNearSQL = `
DELETE FROM hub.reconciliation_near n WHERE n.environment = $1 AND n.day = $2 AND n.type = $3`

const nearSQL = `
INSERT INTO hub.reconciliation_near (environment, delivery_id, day, type, counted)
SELECT $1, i.id, $2, $3, i.counted FROM unnest($4::uuid[], $5::boolean[]) AS i (id, counted)`

// Near is a delivery that SISS may have received on either of several days.
type Near struct {
	// Delivery is IdTrasmissione.
	Delivery uuid.UUID
	// Counted says that SISS counts it on this day.
	Counted bool
}

// TypeEqual notes that count and digest agree, and which of those near midnight made them agree;
// differences found before are none any more.
func (s *Store) TypeEqual(ctx context.Context, t Turn, d Day, c TypeCount, near []Near) error {
	var ids uuids
	counted := make([]bool, 0, len(near))
	for _, n := range near {
		ids, counted = ids.add(n.Delivery), append(counted, n.Counted)
	}
	return s.underTurn(ctx, t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, typeEqualSQL, d.Environment, d.Date, c.Type, c.Ours, c.Near, c.Theirs, c.Digest[:]); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, dropNearSQL, d.Environment, d.Date, c.Type); err != nil {
			return err
		}
		if len(near) > 0 {
			if _, err := tx.Exec(ctx, nearSQL, d.Environment, d.Date, c.Type, ids, counted); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, dropDifferencesSQL, d.Environment, d.Date, c.Type, nil)
		return err
	})
}

// Asking is how far the asking by id is.
type Asking struct {
	// To is the last id asked about; they go in their order.
	To uuid.UUID
	// Asked and Accepted count them, and those that SISS has.
	Asked, Accepted int32
}

const typeAskingSQL = `
INSERT INTO hub.reconciliation AS r
  (environment, day, type, ours, near, theirs, their_digest, state, began_at, checked_at)
SELECT $1, $2, $3, $4, $5, $6, $7, 'asking', clock.now, clock.now
FROM (SELECT hub.hub_now() AS now) AS clock
ON CONFLICT (environment, day, type) DO UPDATE
SET ours = excluded.ours, near = excluded.near, theirs = excluded.theirs,
  their_digest = excluded.their_digest, state = 'asking', checked_at = excluded.checked_at,
  -- what was interrupted goes on, unless SISS tells something else now
  (began_at, asked_to, asked, accepted) = (
    SELECT CASE WHEN same THEN r.began_at ELSE excluded.began_at END,
      CASE WHEN same THEN r.asked_to ELSE excluded.asked_to END,
      CASE WHEN same THEN r.asked ELSE 0 END, CASE WHEN same THEN r.accepted ELSE 0 END
    FROM (SELECT r.state = 'asking' AND r.their_digest = excluded.their_digest) AS now (same)
  )
RETURNING r.asked_to, r.asked, r.accepted`

// TypeAsking notes that count or digest differ, and tells where the asking goes on.
func (s *Store) TypeAsking(ctx context.Context, t Turn, d Day, c TypeCount) (a Asking, err error) {
	err = s.underTurn(ctx, t, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, dropNearSQL, d.Environment, d.Date, c.Type); err != nil {
			return err
		}
		return tx.QueryRow(ctx, typeAskingSQL, d.Environment, d.Date, c.Type, c.Ours, c.Near, c.Theirs, c.Digest[:]).
			Scan(&a.To, &a.Asked, &a.Accepted)
	})
	return a, err
}

// DifferenceKind says what SISS says of a delivery.
type DifferenceKind string

// The kinds of difference. NotOurs has no rows: what SISS counts and the hub does not know has no id.
const (
	UnknownThere  DifferenceKind = "unknown_there"
	RefusedThere  DifferenceKind = "refused_there"
	AcceptedThere DifferenceKind = "accepted_there"
	NoAnswer      DifferenceKind = "no_answer"
	NotOurs       DifferenceKind = "not_ours"
)

// DifferenceKinds lists all of them, for metrics that must show zeroes.
func DifferenceKinds() []DifferenceKind {
	return []DifferenceKind{UnknownThere, RefusedThere, AcceptedThere, NoAnswer, NotOurs}
}

// Difference is one delivery of which SISS says something else.
type Difference struct {
	// Type is TipoEvento.
	Type string
	// Delivery is IdTrasmissione.
	Delivery uuid.UUID
	// Kind says what.
	Kind DifferenceKind
}

const askedSQL = `
UPDATE hub.reconciliation r
SET asked_to = $4, asked = $5, accepted = $6
WHERE r.environment = $1 AND r.day = $2 AND r.type = $3`

const differencesSQL = `
INSERT INTO hub.reconciliation_difference AS f (environment, day, type, delivery_id, kind, found_at)
SELECT $1, $2, $3, i.id, i.kind, clock.now
FROM unnest($4::uuid[], $5::text[]) AS i (id, kind)
CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
ON CONFLICT (environment, day, type, delivery_id) DO UPDATE SET kind = excluded.kind, found_at = excluded.found_at`

// NoteAsked notes how far the asking is and what it found since the last time.
func (s *Store) NoteAsked(ctx context.Context, t Turn, d Day, eventType string, a Asking, found []Difference) error {
	var ids uuids
	kinds := make([]string, 0, len(found))
	for _, f := range found {
		ids, kinds = ids.add(f.Delivery), append(kinds, string(f.Kind))
	}
	return s.underTurn(ctx, t, func(tx pgx.Tx) error {
		if len(found) > 0 {
			if _, err := tx.Exec(ctx, differencesSQL, d.Environment, d.Date, eventType, ids, kinds); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, askedSQL, d.Environment, d.Date, eventType, a.To, a.Asked, a.Accepted)
		return err
	})
}

const typeAskedSQL = `
UPDATE hub.reconciliation r
-- what the hub may have sent on that day and SISS has cannot explain more than itself
SET not_ours = greatest(0, r.theirs - r.accepted),
  state = CASE WHEN r.theirs > r.accepted OR EXISTS (
      SELECT FROM hub.reconciliation_difference f
      WHERE f.environment = $1 AND f.day = $2 AND f.type = $3 AND f.found_at >= r.began_at
    ) THEN 'different' ELSE 'known' END
WHERE r.environment = $1 AND r.day = $2 AND r.type = $3
RETURNING r.began_at`

// TypeAsked ends the asking: what was found before it and not again is no difference any more.
func (s *Store) TypeAsked(ctx context.Context, t Turn, d Day, eventType string) error {
	return s.underTurn(ctx, t, func(tx pgx.Tx) error {
		var began time.Time
		if err := tx.QueryRow(ctx, typeAskedSQL, d.Environment, d.Date, eventType).Scan(&began); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, dropDifferencesSQL, d.Environment, d.Date, eventType, began)
		return err
	})
}

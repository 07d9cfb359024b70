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

// Day is an Italian day of an environment.
type Day struct {
	// Environment whose deliveries are meant.
	Environment hub.Environment
	// Date is the day, midnight UTC of its date.
	Date time.Time
	// From and To are what SISS's clock may have shown as that day, its first moment and the first one
	// behind it: the day itself and a margin on both sides.
	From, To time.Time
}

// Sent is a delivery that may have been received by SISS on a day.
type Sent struct {
	// ID is IdTrasmissione.
	ID uuid.UUID
	// Type is TipoEvento.
	Type string
	// State of the delivery.
	State hub.DeliveryState
	// First and Last bound when SISS received it, if it did: from the first attempt that sent it to the
	// end of the last one. Last is zero while it is not delivered or refused.
	First, Last time.Time
}

// scanDay reads in a transaction whose plans suit a day and not a few rows: the role's settings are
// for statements that find theirs by a key.
func (s *Store) scanDay(ctx context.Context, read func(pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, scanSettingsSQL); err != nil {
			return err
		}
		return read(tx)
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

const scanSettingsSQL = `
SELECT set_config(name, value, true)
FROM (VALUES ('statement_timeout', '5min'), ('enable_bitmapscan', 'on'), ('enable_hashjoin', 'on'),
  ('plan_cache_mode', 'force_custom_plan')) AS s (name, value)`

const sentSQL = `
WITH tried AS (
  SELECT a.delivery_id FROM hub.attempt a
  -- an attempt lasts a minute or two; what began before and ended on the day must be there
  WHERE a.started_at >= $2::timestamptz - interval '10 minutes' AND a.started_at < $3
  UNION
  -- begun on the day and ended later
  SELECT a.delivery_id FROM hub.attempt a WHERE a.started_at >= $3 AND a.number > 1
  UNION
  -- begun by a process that died before it could settle
  SELECT d.id FROM hub.delivery d
  WHERE d.state NOT IN ('delivered', 'refused') AND d.attempts > 0 AND d.received_at < $3
)
SELECT d.id, e.type, d.state, sent.first, sent.last
FROM tried
JOIN hub.delivery d ON d.id = tried.delivery_id
JOIN hub.event e ON e.id = d.message_id
CROSS JOIN LATERAL (
  SELECT
    -- an attempt without its row was cut short: nobody knows when it sent
    CASE WHEN count(*) < d.attempts THEN d.received_at
      ELSE min(a.started_at) FILTER (WHERE a.digest IS NOT NULL) END AS first,
    CASE WHEN d.state IN ('delivered', 'refused') THEN max(a.started_at + a.took) END AS last
  FROM hub.attempt a
  -- clocks of several machines; the months before are not looked at
  WHERE a.delivery_id = d.id AND a.started_at >= d.received_at - interval '1 hour'
) AS sent
WHERE d.environment = $1 AND d.received_at < $3
  AND sent.first < $3 AND (sent.last IS NULL OR sent.last >= $2)
  AND ($4::text IS NULL OR e.type = $4 AND d.id > $5)
ORDER BY e.type, d.id
LIMIT $6`

// EachSent gives every delivery that SISS may have received on a day to take, ordered by type and
// id. They are never all in memory.
func (s *Store) EachSent(ctx context.Context, d Day, take func(Sent) error) error {
	return s.scanDay(ctx, func(tx pgx.Tx) error {
		return eachSent(ctx, tx, take, sentSQL, d.Environment, d.From, d.To, nil, nil, nil)
	})
}

// SentAfter gives up to limit of these deliveries of a type whose ids are behind one.
func (s *Store) SentAfter(ctx context.Context, d Day, eventType string, after uuid.UUID, limit int) (page []Sent, err error) {
	err = s.scanDay(ctx, func(tx pgx.Tx) error {
		return eachSent(ctx, tx, func(one Sent) error {
			page = append(page, one)
			return nil
		}, sentSQL, d.Environment, d.From, d.To, eventType, after, limit)
	})
	return page, err
}

func eachSent(ctx context.Context, tx pgx.Tx, take func(Sent) error, sql string, args ...any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var one Sent
	var last *time.Time
	_, err = pgx.ForEachRow(rows, []any{&one.ID, &one.Type, &one.State, &one.First, &last}, func() error {
		one.Last = time.Time{}
		if last != nil {
			one.Last = *last
		}
		return take(one)
	})
	return err
}

const elsewhereSQL = `
SELECT n.delivery_id, bool_or(n.counted), count(*)
FROM hub.reconciliation_near n
WHERE n.environment = $1 AND n.delivery_id = ANY ($2::uuid[]) AND n.day <> $3
GROUP BY n.delivery_id`

// Elsewhere is what is known of a delivery from other days than the one that is looked at.
type Elsewhere struct {
	// Counted says that SISS counts it on one of them, Days on how many it is known whether it does.
	Counted bool
	Days    int
}

// Elsewhere tells what comparisons of other days proved about deliveries.
func (s *Store) Elsewhere(ctx context.Context, d Day, deliveries []Sent) (map[uuid.UUID]Elsewhere, error) {
	var ids uuids
	for _, one := range deliveries {
		ids = ids.add(one.ID)
	}
	rows, err := s.pool.Query(ctx, elsewhereSQL, d.Environment, ids, d.Date)
	if err != nil {
		return nil, unavailable(err)
	}
	all := map[uuid.UUID]Elsewhere{}
	var id uuid.UUID
	var e Elsewhere
	if _, err := pgx.ForEachRow(rows, []any{&id, &e.Counted, &e.Days}, func() error {
		all[id] = e
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const settleAskedSQL = `
WITH settled AS (
UPDATE hub.delivery d
SET state = $2, attempts = d.attempts + 1, changed_at = clock.now, settled_at = clock.now,
  due_at = NULL, protocol = coalesce($3, d.protocol), codes = $4
FROM (SELECT hub.hub_now() AS now) AS clock, hub.event e
-- whoever holds it is about to ask, too
WHERE d.id = $1 AND d.state IN ('uncertain', 'dead') AND d.lease IS NULL AND e.id = d.message_id
RETURNING d.id, d.case_id, d.environment, e.participant_id, e.ente_id, e.id AS message_id, e.event_id, d.attempts
), woken AS (
  -- the next of the case was put off until this one would have been tried again
  UPDATE hub.delivery n
  SET due_at = next.now, ready_at = next.now
  FROM (
    SELECT first.id, clock.now
    FROM settled
    CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
    CROSS JOIN LATERAL (
      SELECT e.id, e.state, e.due_at FROM hub.delivery e
      WHERE e.case_id = settled.case_id AND e.state NOT IN ('delivered', 'refused') AND e.id <> settled.id
      ORDER BY e.sequence, e.position LIMIT 1
    ) AS first
    WHERE first.state = 'pending' AND first.due_at > clock.now
  ) AS next
  WHERE n.id = next.id
)
SELECT s.environment, s.participant_id, s.ente_id, s.message_id, s.event_id, s.attempts FROM settled s`

const askedAttemptSQL = `
INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, codes, lease)
VALUES ($1, $2, $3, '0', $4, $5, $6)`

// SettleAsked settles a delivery of which nobody knew whether SISS has it, by what SISS said when it
// was asked: Delivered or Refused. It is an attempt like any other, which sent nothing. False if it
// is in no doubt, or somebody is just attempting it.
func (s *Store) SettleAsked(ctx context.Context, t Turn, answer *Settlement) (settled bool, err error) {
	err = s.underTurn(ctx, t, func(tx pgx.Tx) error {
		e := answer.Entry
		err := tx.QueryRow(ctx, settleAskedSQL, answer.Delivery, answer.State, onlyProtocol(answer.Protocol), joinCodes(answer.Codes)).
			Scan(&e.Environment, &e.Participant, &e.Ente, &e.Message, &e.Event, &e.Attempt)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		settled = true
		e.Kind, e.Delivery, e.Outcome = journal.AttemptSettled, answer.Delivery, string(answer.State)
		if _, err := tx.Exec(ctx, askedAttemptSQL, answer.Delivery, e.Attempt, answer.StartedAt, answer.State,
			joinCodes(answer.Codes), uuid.New()); err != nil {
			return err
		}
		return journalIn(ctx, tx, e)
	})
	return settled && err == nil, err
}

// ReconciledType is what the last look at one event type of a day came to.
type ReconciledType struct {
	// Date is the day, midnight UTC of its date.
	Date time.Time
	// Type is TipoEvento.
	Type string
	// Ours were delivered on that day for certain, Near on that day or one beside it.
	Ours, Near int32
	// Theirs is SISS's count, NotOurs what of it the hub cannot have sent.
	Theirs, NotOurs int32
	// State says how it ended.
	State DayState
	// CheckedAt is when it was compared.
	CheckedAt time.Time
}

const reconciledSQL = `
SELECT r.day, r.type, r.ours, r.near, r.theirs, r.not_ours, r.state, r.checked_at
FROM hub.reconciliation r
WHERE r.environment = $1 AND r.day = $2
ORDER BY r.type`

// Reconciled gives the types of a day.
func (s *Store) Reconciled(ctx context.Context, d Day) ([]ReconciledType, error) {
	rows, err := s.pool.Query(ctx, reconciledSQL, d.Environment, d.Date)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReconciledType])
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const differencesOfDaySQL = `
SELECT f.type, f.delivery_id, f.kind
FROM hub.reconciliation_difference f
WHERE f.environment = $1 AND f.day = $2
ORDER BY f.type, f.delivery_id`

// EachDifference gives every difference of a day to take.
func (s *Store) EachDifference(ctx context.Context, d Day, take func(Difference) error) error {
	rows, err := s.pool.Query(ctx, differencesOfDaySQL, d.Environment, d.Date)
	if err != nil {
		return unavailable(err)
	}
	var one Difference
	var mine error
	if _, err := pgx.ForEachRow(rows, []any{&one.Type, &one.Delivery, &one.Kind}, func() error {
		mine = take(one)
		return mine
	}); err != nil && mine == nil {
		return unavailable(err)
	}
	return mine
}

// Reconciliation is how an environment stands, for the metrics.
type Reconciliation struct {
	// Differences counts events by kind, all days together.
	Differences map[DifferenceKind]int64
	// Days counts the days ever looked at by state.
	Days map[DayState]int64
	// SucceededAt is when every day that was due was last compared to its end; zero for never.
	SucceededAt time.Time
}

const reconciliationSQL = `
SELECT 'kind', f.kind, count(DISTINCT f.delivery_id) FROM hub.reconciliation_difference f WHERE f.environment = $1 GROUP BY f.kind
UNION ALL
SELECT 'kind', 'not_ours', coalesce(sum(r.not_ours), 0) FROM hub.reconciliation r WHERE r.environment = $1
UNION ALL
SELECT 'day', r.state, count(*) FROM hub.reconciliation_day r WHERE r.environment = $1 GROUP BY r.state
UNION ALL
SELECT 'succeeded', '', extract(epoch FROM t.succeeded_at)::bigint FROM hub.reconciliation_turn t
WHERE t.environment = $1 AND t.succeeded_at IS NOT NULL`

// Reconciliation reads how an environment stands.
func (s *Store) Reconciliation(ctx context.Context, env hub.Environment) (r Reconciliation, err error) {
	r = Reconciliation{Differences: map[DifferenceKind]int64{}, Days: map[DayState]int64{}}
	rows, err := s.pool.Query(ctx, reconciliationSQL, env)
	if err != nil {
		return r, unavailable(err)
	}
	var what, which string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&what, &which, &n}, func() error {
		switch what {
		case "kind":
			r.Differences[DifferenceKind(which)] += n
		case "day":
			r.Days[DayState(which)] = n
		default:
			r.SucceededAt = time.Unix(n, 0).UTC()
		}
		return nil
	}); err != nil {
		return r, unavailable(err)
	}
	return r, nil
}

package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// ClaimQuery asks for deliveries that are due.
type ClaimQuery struct {
	// Environment whose deliveries are meant: nothing of TEST reaches the PROD endpoint.
	Environment hub.Environment
	// Owner is the claiming process, for people who look into the table.
	Owner uuid.UUID
	// Limit is how many at most.
	Limit int
	// Lease is how long they are held without being settled.
	Lease time.Duration
}

// Claimed is a delivery held under a lease, with all that the national event is made from.
type Claimed struct {
	// ID is the delivery's id, which is IdTrasmissione.
	ID uuid.UUID
	// Lease is the fencing token: Settle with another one changes nothing.
	Lease uuid.UUID
	// Attempt is the number of this attempt, from 1.
	Attempt int32
	// Spent is how many attempts count against the budget, this one included: all of them, unless an
	// operator gave a fresh budget.
	Spent int32
	// Uncertain says that an earlier attempt may have reached SISS: ask statoTrasmissione first.
	Uncertain bool
	// Environment of the event.
	Environment hub.Environment
	// Participant is the registry's row of the sender.
	Participant int32
	// Ente is the registry's row of whose event it is.
	Ente int32
	// EnteCode is that ente's CodiceEnte, the routing code.
	EnteCode string
	// Region is the ente's in the SINBA list (01-21).
	Region string
	// Message is IdRicevuta, the id of message and event.
	Message uuid.UUID
	// Event is IdEvento.
	Event uuid.UUID
	// Type is TipoEvento.
	Type sinba.EventType
	// Sequence is ProgressivoCartella.
	Sequence int32
	// ReceivedAt is DataOraRicezione.
	ReceivedAt time.Time
	// Subject is the child's random id, which codes derive from.
	Subject uuid.UUID
	// Carried is the acceptance's, nil for a delivery that did not begin with it.
	Carried any
	// Case is the case's random id, which re-keyed ids derive from.
	Case uuid.UUID
	// NationEpoch is the epoch of the key of the child's code, IDsEpoch that of the re-keyed ids: the
	// case's own.
	NationEpoch, IDsEpoch int32
	// MappingVersion is the version of foglie.tsv to use.
	MappingVersion int32
	// Body is the regional event in clear bytes; nil if what is stored cannot be read, which only
	// a person can mend: park it.
	Body []byte
}

// claimTries is how often a claim is tried again that met another one on the same case.
const claimTries = 3

// Claim takes deliveries that are due, oldest first, at most one of each case: none whose case
// has one in flight, or an earlier one (by Sequence, then acceptance) that is not delivered or
// refused. Those whose lease ran out are taken again as Uncertain. Leases run by the database's
// clock. Errors are *hub.Error of kind Unavailable.
func (s *Store) Claim(ctx context.Context, q ClaimQuery) ([]Claimed, error) {
	if s.guard.stalled() {
		return nil, unavailable(errStalled)
	}
	var claimed []Claimed
	var err error
	for range claimTries {
		if claimed, err = s.claimOnce(ctx, q); !raced(err) {
			break
		}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if len(claimed) == 0 || len(claimed) < q.Limit && s.deferring() {
		// All that is due was looked at. What is due but waits for another of its case must not
		// be looked at each time: a day's backlog behind a closed endpoint would cost every claim.
		if err := s.deferBlocked(ctx, q); err != nil {
			s.log.Warn("blocked deliveries not deferred", zapMasked(err))
		}
	}
	return claimed, nil
}

// raced tells whether another claimer was on the same case: the unique index delivery_in_flight
// (23505), or each waited for the other (40P01).
func raced(err error) bool {
	server, ok := errors.AsType[*ServerError](masked(err))
	return ok && (server.State == uniqueViolation || server.State == "40P01")
}

const claimSQL = `
WITH due AS MATERIALIZED (
  SELECT d.id, d.message_id
  FROM hub.delivery d
  WHERE d.environment = $1
    AND d.state IN ('pending', 'sending', 'retrying', 'uncertain')
    -- asked once for the statement, so that the index on due_at serves; a lease that ran out is due
    AND d.due_at <= (SELECT hub.hub_now())
    -- it is the first of its case; a subquery and not an anti-join, because one look into the
    -- index for each candidate beats any plan over the whole backlog
    AND d.id = (
      SELECT e.id FROM hub.delivery e
      WHERE e.case_id = d.case_id AND e.state NOT IN ('delivered', 'refused')
      ORDER BY e.sequence, e.position LIMIT 1
    )
    -- and no later one of its case is in flight, which began before this one was accepted
    AND (
      SELECT e.id FROM hub.delivery e
      WHERE e.case_id = d.case_id AND e.lease IS NOT NULL AND e.id <> d.id LIMIT 1
    ) IS NULL
  ORDER BY d.due_at
  LIMIT $2
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE hub.delivery d
SET state = CASE WHEN d.state IN ('pending', 'retrying') THEN 'sending' ELSE 'uncertain' END,
  changed_at = CASE WHEN d.state = 'uncertain' THEN d.changed_at ELSE clock.now END,
  attempts = d.attempts + 1,
  due_at = clock.now + $3::bigint * interval '1 microsecond',
  lease = gen_random_uuid(),
  owner = $4
FROM due
JOIN hub.event e ON e.id = due.message_id
JOIN hub.ente n ON n.id = e.ente_id
CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
WHERE d.id = due.id
RETURNING d.id, d.lease, d.attempts, d.attempts - d.spared, d.state = 'uncertain', d.environment, e.participant_id,
  e.ente_id, n.code, n.region, e.id, e.event_id, e.type, e.sequence, e.received_at, e.subject_id,
  e.case_id, d.nation_epoch, d.ids_epoch, e.mapping_version, e.body`

// claimOnce claims in one statement. A warning on its COMMIT counts as a failure: what is sent
// although only this server knows of it would be sent again as another event after a failover.
func (s *Store) claimOnce(ctx context.Context, q ClaimQuery) (claimed []Claimed, err error) {
	err = s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if claimed, err = s.claimOn(ctx, conn, q); err != nil {
			return err
		}
		return checkWarning(conn)
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func (s *Store) claimOn(ctx context.Context, conn *pgx.Conn, q ClaimQuery) ([]Claimed, error) {
	rows, err := conn.Query(ctx, claimSQL, q.Environment, q.Limit, q.Lease.Microseconds(), q.Owner)
	if err != nil {
		return nil, err
	}
	var claimed []Claimed
	var c Claimed
	var body []byte
	columns := []any{
		&c.ID, &c.Lease, &c.Attempt, &c.Spent, &c.Uncertain, &c.Environment, &c.Participant,
		&c.Ente, &c.EnteCode, &c.Region, &c.Message, &c.Event, &c.Type, &c.Sequence, &c.ReceivedAt, &c.Subject,
		&c.Case, &c.NationEpoch, &c.IDsEpoch, &c.MappingVersion, &body,
	}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		taken := c
		taken.ReceivedAt = taken.ReceivedAt.UTC()
		var err error
		if taken.Body, err = s2.Decode(nil, body); err != nil {
			taken.Body = nil
			s.log.Error("stored event cannot be read", zap.Stringer("message_id", c.Message))
		}
		claimed = append(claimed, taken)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(claimed, func(a, b Claimed) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	return claimed, nil
}

const deferBlockedSQL = `
WITH blocked AS MATERIALIZED (
  SELECT d.id, first.due_at AS first_due_at, first.waits
  FROM hub.delivery d
  CROSS JOIN LATERAL (
    SELECT e.id, e.due_at,
      -- one in flight ends soon and tells nobody
      e.lease IS NULL AND (e.due_at IS NULL OR e.due_at > (SELECT hub.hub_now())) AS waits
    FROM hub.delivery e
    WHERE e.case_id = d.case_id AND e.state NOT IN ('delivered', 'refused')
    ORDER BY e.sequence, e.position LIMIT 1
  ) AS first
  WHERE d.environment = $1
    AND d.state IN ('pending', 'sending', 'retrying', 'uncertain')
    AND d.due_at <= (SELECT hub.hub_now())
    AND d.lease IS NULL
    AND first.id <> d.id
    -- only a first that surely waits is waited for, or the turn of one that has two before it: that
    -- is woken by the settlement of the second, which cannot miss it
    AND (first.waits OR d.state = 'pending' AND EXISTS (
      SELECT FROM hub.delivery e
      WHERE e.case_id = d.case_id AND e.state NOT IN ('delivered', 'refused')
        AND (e.sequence, e.position) < (d.sequence, d.position)
      OFFSET 1
    ))
  ORDER BY d.due_at
  LIMIT 5000
  FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE hub.delivery d
SET due_at = CASE WHEN NOT blocked.waits THEN clock.now + interval '5 minutes'
    -- dead and parked are never due: their case is looked at once a minute, for when a person acts
    ELSE coalesce(blocked.first_due_at, clock.now + interval '1 minute') END,
  -- what its own case makes it wait is not the receiver's
  ready_at = CASE WHEN blocked.waits THEN coalesce(blocked.first_due_at, clock.now) ELSE d.ready_at END
FROM blocked CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
WHERE d.id = blocked.id`

// deferEvery is how often blocked deliveries are deferred at most while claims find others. To look
// for them costs a fifth of a claim, and to meet a few of them again in the next ones costs less.
const deferEvery = time.Second

// deferring tells whether it is time to defer again, and takes the turn.
func (s *Store) deferring() bool {
	now := time.Since(s.opened)
	last := s.deferred.Load()
	return (last == 0 || now-time.Duration(last) >= deferEvery) && s.deferred.CompareAndSwap(last, max(1, int64(now)))
}

// deferBlocked puts off deliveries that cannot go yet because of others of their case: until the first
// is due, or for five minutes, after which they are looked at again should nothing have woken them.
func (s *Store) deferBlocked(ctx context.Context, q ClaimQuery) error {
	_, err := s.pool.Exec(ctx, deferBlockedSQL, q.Environment)
	return err
}

const releaseSQL = `
UPDATE hub.delivery d
SET state = CASE WHEN d.state = 'uncertain' THEN 'uncertain'
    WHEN d.attempts = 1 THEN 'pending' ELSE 'retrying' END,
  attempts = d.attempts - 1, changed_at = clock.now, due_at = clock.now, lease = NULL, owner = NULL
FROM unnest($1::uuid[], $2::uuid[]) AS i (id, lease)
CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
WHERE d.id = i.id AND d.lease = i.lease`

// Release gives claimed deliveries back unsent, for a process that stops: they are due at once.
// Those held under another lease meanwhile are left alone.
func (s *Store) Release(ctx context.Context, claimed []Claimed) error {
	var ids, leases uuids
	for _, c := range claimed {
		ids, leases = ids.add(c.ID), leases.add(c.Lease)
	}
	if _, err := s.pool.Exec(ctx, releaseSQL, ids, leases); err != nil {
		return unavailable(err)
	}
	return nil
}

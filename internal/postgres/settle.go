package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// ErrStaleLease says that the delivery is no longer held under that lease: another process has
// it or had it, and nothing was changed.
var ErrStaleLease = errors.New("delivery is no longer held under this lease")

// Settlement is the end of one attempt.
type Settlement struct {
	// Delivery is the id of Claimed.
	Delivery uuid.UUID
	// Lease is the token of Claimed.
	Lease uuid.UUID
	// State is one of Delivered, Refused, Retrying, Uncertain, Dead, Parked.
	State hub.DeliveryState
	// RetryIn is when Retrying or Uncertain are due again, by the database's clock.
	RetryIn time.Duration
	// Protocol is ProtocolloNazionale, if SISS gave one; dropped if it is not a CodiceLocaleType.
	Protocol string
	// Codes say why, in words of [A-Za-z0-9_.-] up to 40 characters; any other is kept as "other".
	Codes []string
	// StartedAt is the attempt's begin by the caller's clock.
	StartedAt time.Time
	// Took is how long it lasted.
	Took time.Duration
	// Digest is the SHA-256 of the national event as sent, all zero if nothing was sent.
	Digest [32]byte
	// Sealed are the bytes of the national event as sent, sealed; zero if they are not kept.
	Sealed Sealed
	// Entry is the journal's.
	Entry journal.Entry
}

// errSettlement says that a settlement breaks what its fields promise: a defect of the caller.
var errSettlement = errors.New("settlement is incomplete")

// Settle ends an attempt: state, attempt row, journal entry and its queue row in one transaction
// shared with what waits. It returns ErrStaleLease, or a *hub.Error of kind Unavailable: settle
// again then, which is safe; or let the lease run out.
func (s *Store) Settle(ctx context.Context, t *Settlement) error {
	switch t.State {
	case hub.Delivered, hub.Refused, hub.Retrying, hub.Uncertain, hub.Dead, hub.Parked:
	case hub.Pending, hub.Sending:
		return hub.NewError(hub.Internal, hub.CodeInternal, errSettlement)
	}
	if t.Entry.ID == uuid.Nil || t.StartedAt.IsZero() {
		return hub.NewError(hub.Internal, hub.CodeInternal, errSettlement)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	settled, err := s.settles.Do(ctx, t)
	if err != nil {
		return unavailable(err)
	}
	if !settled {
		return ErrStaleLease
	}
	return nil
}

// settleBatch answers for each whether it is settled by this very settlement.
func (s *Store) settleBatch(ctx context.Context, all []*Settlement) []batch.Result[bool] {
	return runBatch(ctx, s, groupSettle, all,
		func(ctx context.Context, part []*Settlement) ([]batch.Result[bool], error) {
			results, err := s.settleOnce(ctx, part)
			if err == nil && slices.Contains(results, batch.Result[bool]{}) {
				// An earlier try may have committed and its answer been lost: then the lease is gone
				// because of the same settlement.
				err = s.findSettled(ctx, part, results)
			}
			return results, err
		})
}

const settleSQL = `
WITH held AS (
  UPDATE hub.delivery d
  SET state = g.state,
    changed_at = CASE WHEN d.state = g.state THEN d.changed_at ELSE clock.now END,
    due_at = CASE WHEN g.state IN ('retrying', 'uncertain')
      THEN clock.now + g.retry_us * interval '1 microsecond' END,
    settled_at = CASE WHEN g.state NOT IN ('retrying', 'uncertain') THEN clock.now END,
    protocol = coalesce(g.protocol, d.protocol),
    codes = g.codes,
    lease = NULL,
    owner = NULL
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[],
    $7::timestamptz[], $8::bigint[], $9::bytea[], $10::uuid[], $11::timestamptz[], $12::smallint[],
    $13::bytea[], $14::uuid[], $15::bytea[])
    AS g (id, lease, state, retry_us, protocol, codes, started_at, took_us, digest,
      entry_id, entry_at, entry_kind, entry_body, seal_epoch, sealed)
    CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
  -- the fencing token: whoever lost the lease changes nothing
  WHERE d.id = g.id AND d.lease = g.lease
  -- with the token it held: a batch may bring two settlements of one delivery, by the one who lost
  -- the lease and by the one who has it, and only the latter is an attempt that ended. Of a settlement
  -- that comes twice with its token one counts.
  -- All that the rest needs comes along: joined again, each would be held against each.
  RETURNING d.id, g.lease, d.attempts, d.message_id, d.case_id, d.state, d.ready_at, d.codes, g.started_at, g.took_us,
    g.digest, g.entry_id, g.entry_at, g.entry_kind, g.entry_body, g.seal_epoch, g.sealed
), woken AS (
  -- the next of the case was put off, because it had others before it or because this one was
  -- expected to be tried again later
  UPDATE hub.delivery n
  SET due_at = next.now, ready_at = next.ready_at
  FROM (
    SELECT first.id, clock.now,
      -- behind one that SISS took at once the receiver alone made it wait
      CASE WHEN held.attempts = 1 THEN greatest(first.ready_at, held.ready_at) ELSE clock.now END AS ready_at
    FROM held
    CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
    CROSS JOIN LATERAL (
      SELECT e.id, e.state, e.due_at, e.ready_at FROM hub.delivery e
      WHERE e.case_id = held.case_id AND e.state NOT IN ('delivered', 'refused') AND e.id <> held.id
      ORDER BY e.sequence, e.position LIMIT 1
    ) AS first
    WHERE held.state IN ('delivered', 'refused') AND first.state = 'pending' AND first.due_at > clock.now
  ) AS next
  WHERE n.id = next.id
), tried AS (
  INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, codes, digest, lease, seal_epoch, sealed)
  SELECT held.id, held.attempts, held.started_at, held.took_us * interval '1 microsecond', held.state, held.codes,
    held.digest, held.lease, held.seal_epoch, held.sealed
  FROM held
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT held.entry_id, held.entry_at, held.entry_kind, held.message_id, held.entry_body
  FROM held
), queued AS (
  INSERT INTO hub.journal_queue (entry_id, entry_at)
  SELECT held.entry_id, held.entry_at FROM held
)
SELECT held.lease FROM held`

// settleOnce settles what still holds its lease, in one statement that is its own transaction.
func (s *Store) settleOnce(ctx context.Context, part []*Settlement) ([]batch.Result[bool], error) {
	held := make(map[uuid.UUID]bool, len(part))
	err := s.withLane(ctx, s.lanes.settles, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		rows, err := conn.Query(ctx, settleSQL, settleArgs(part)...)
		if err != nil {
			return err
		}
		var lease uuid.UUID
		if _, err := pgx.ForEachRow(rows, []any{&lease}, func() error {
			held[lease] = true
			return nil
		}); err != nil {
			return err
		}
		return checkWarning(conn)
	})
	results := make([]batch.Result[bool], len(part))
	for i, t := range part {
		results[i].Value = held[t.Lease]
	}
	return results, err
}

func settleArgs(part []*Settlement) []any {
	var ids, leases, entryIDs, epochs uuids
	var states []string
	var retries, took []int64
	var protocols, codes []*string
	var started, entryAt []time.Time
	var kinds []int16
	var digests, entries, sealed [][]byte
	for _, t := range part {
		epochs, sealed = epochs.addNullable(t.Sealed.Epoch), append(sealed, t.Sealed.Bytes)
		ids, leases, entryIDs = ids.add(t.Delivery), leases.add(t.Lease), entryIDs.add(t.Entry.ID)
		states = append(states, string(t.State))
		retries, took = append(retries, t.RetryIn.Microseconds()), append(took, t.Took.Microseconds())
		protocols = append(protocols, onlyProtocol(t.Protocol))
		codes = append(codes, joinCodes(t.Codes))
		started, entryAt = append(started, t.StartedAt), append(entryAt, t.Entry.At)
		kinds = append(kinds, int16(t.Entry.Kind))
		digests, entries = append(digests, someDigest(t.Digest)), append(entries, t.Entry.Bytes())
	}
	return []any{
		ids, leases, states, retries, protocols, codes, started, took, digests, entryIDs, entryAt, kinds, entries,
		epochs, sealed,
	}
}

// plain tells whether text is 1 to most ASCII letters, digits and marks.
func plain(text, marks string, most int) bool {
	other := func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z' && r < 0x80
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune(marks, r)
	}
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, other)
}

// onlyProtocol gives NULL for what is not a CodiceLocaleType: SISS's answer must not be able to
// fail a settlement.
func onlyProtocol(text string) *string {
	if !plain(text, "._:/-", 36) {
		return nil
	}
	return &text
}

// joinCodes is the column of codes, NULL for none.
func joinCodes(codes []string) *string {
	if len(codes) == 0 {
		return nil
	}
	text := strings.Join(PlainCodes(codes), " ")
	return &text
}

// PlainCodes are codes as the rows of attempts have them.
func PlainCodes(codes []string) []string {
	kept := make([]string, 0, len(codes))
	for _, code := range codes[:min(len(codes), 100)] {
		if !plain(code, "_.-", 40) {
			code = "other"
		}
		kept = append(kept, code)
	}
	return kept
}

// someDigest is NULL for the zero digest.
func someDigest(digest [32]byte) []byte {
	if digest == [32]byte{} {
		return nil
	}
	return digest[:]
}

const findSettledSQL = `
SELECT a.lease
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS i (id, lease, started_at)
JOIN hub.attempt a ON a.delivery_id = i.id AND a.started_at = i.started_at AND a.lease = i.lease`

// findSettled marks those that an earlier try of the same settlement wrote: its attempt is there,
// begun at the same moment under the same lease.
func (s *Store) findSettled(ctx context.Context, part []*Settlement, results []batch.Result[bool]) error {
	var ids, leases uuids
	var started []time.Time
	for _, t := range part {
		ids, leases, started = ids.add(t.Delivery), leases.add(t.Lease), append(started, t.StartedAt)
	}
	rows, err := s.pool.Query(ctx, findSettledSQL, ids, leases, started)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	for i, t := range part {
		// by the lease: another settlement of the same delivery may stand in the same batch
		results[i].Value = results[i].Value || slices.Contains(found, t.Lease)
	}
	return err
}

// Backlog is how many deliveries stand in a state.
type Backlog struct {
	// State of the deliveries.
	State hub.DeliveryState
	// Count of them.
	Count int64
	// Oldest is the age of the one accepted first; 0 if there is none.
	Oldest time.Duration
}

const backlogSQL = `
SELECT d.state, count(*),
  greatest(0, extract(epoch FROM (SELECT hub.hub_now()) - min(d.received_at)) * 1000000)::bigint
FROM hub.delivery d
WHERE d.environment = $1 AND d.state NOT IN ('delivered', 'refused')
GROUP BY d.state`

// Backlog counts the deliveries of each state that is not delivered or refused, zeroes included.
func (s *Store) Backlog(ctx context.Context, env hub.Environment) ([]Backlog, error) {
	found, err := s.backlogs(ctx, backlogSQL, env)
	if err != nil {
		return nil, err
	}
	var all []Backlog
	for _, state := range hub.DeliveryStates() {
		if state != hub.Delivered && state != hub.Refused {
			all = append(all, Backlog{State: state, Count: found[state].Count, Oldest: found[state].Oldest})
		}
	}
	return all, nil
}

// backlogs runs a query for states, counts and ages of the oldest in microseconds.
func (s *Store) backlogs(ctx context.Context, query string, args ...any) (map[hub.DeliveryState]Backlog, error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	found := map[hub.DeliveryState]Backlog{}
	var b Backlog
	var micros int64
	if _, err := pgx.ForEachRow(rows, []any{&b.State, &b.Count, &micros}, func() error {
		b.Oldest = time.Duration(micros) * time.Microsecond
		found[b.State] = b
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

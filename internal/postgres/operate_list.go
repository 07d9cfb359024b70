package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// DeliveryFilter says which deliveries are meant. Those that were sent again under another id are
// never: the later one stands for the event.
type DeliveryFilter struct {
	// Environment of the deliveries.
	Environment hub.Environment
	// States they stand in; at least one.
	States []hub.DeliveryState
	// Ente is the CodiceEnte; empty for all.
	Ente string
	// Type is TipoEvento; empty for all.
	Type string
	// Code is one of the codes of the last attempt; empty for all.
	Code string
	// From and Before bound DataOraRicezione; zero for no bound.
	From, Before time.Time
}

// ListedDelivery is what an operator sees of a delivery: ids, codes and times, never content, and
// nothing that names a child or a case.
type ListedDelivery struct {
	// ID is IdTrasmissione.
	ID uuid.UUID
	// Message is IdRicevuta.
	Message uuid.UUID
	// Ente is CodiceEnte.
	Ente string
	// Type is TipoEvento.
	Type string
	// State it stands in.
	State hub.DeliveryState
	// ReceivedAt is DataOraRicezione.
	ReceivedAt time.Time
	// Age is the time since then, by the database's clock.
	Age time.Duration
	// ChangedAt is when the state began.
	ChangedAt time.Time
	// DueAt is when it may be claimed, or when the lease of its attempt runs out; zero if it is settled.
	DueAt time.Time
	// Held says that it is under a lease.
	Held bool
	// Attempts made so far.
	Attempts int32
	// Codes are those of the last attempt.
	Codes []string
	// Behind is what it waits behind; its Head is nil if it waits for nothing.
	Behind Waiting
}

// listed are the columns that scanListed reads, of a delivery d with its event and ente.
const listed = `
SELECT d.id, d.message_id, n.code, e.type, d.state, d.received_at,
  greatest(0, extract(epoch FROM (SELECT hub.hub_now()) - d.received_at) * 1000000)::bigint,
  d.changed_at, d.due_at, d.lease IS NOT NULL, d.attempts, coalesce(d.codes, '')`

// meant are the conditions of a DeliveryFilter, with the event e, its ente n and the place after
// which a page begins.
const meant = `
    AND d.state = ANY ($2)
    AND ($3 = '' OR n.code = $3)
    AND ($4 = '' OR e.type = $4)
    AND ($5 = '' OR $5 = ANY (string_to_array(d.codes, ' ')))
    AND d.received_at >= $6 AND d.received_at < $7
    AND (d.received_at, d.message_id) > ($8, $9)
    AND NOT EXISTS (
      SELECT FROM hub.delivery r
      WHERE r.message_id = d.message_id AND r.id <> d.id
        AND d.state = 'refused' AND (r.settled_at IS NULL OR r.settled_at > d.settled_at)
    )`

// picked are the deliveries meant, oldest first, at most $10 of each of three kinds, which have an
// index each: those that wait are few or a backlog, those that stopped are few, and those delivered
// are nearly all and are looked for by ente in the order of their events.
const picked = `
(
  -- read first, whatever the planner believes of values it does not know: it would rather walk
  -- through all events of all enti
  WITH waiting AS MATERIALIZED (
    SELECT w.id, w.received_at, w.message_id, w.state, w.codes, w.settled_at
    FROM hub.delivery w
    WHERE w.environment = $1 AND w.state IN ('pending', 'sending', 'retrying', 'uncertain') AND w.state = ANY ($2)
      AND $2 && '{pending,sending,retrying,uncertain}'::text[]
  )
  SELECT d.id, d.received_at, d.message_id, d.state
  FROM waiting d
  JOIN hub.event e ON e.id = d.message_id
  JOIN hub.ente n ON n.id = e.ente_id
  WHERE true` + meant + `
  ORDER BY d.received_at, d.message_id LIMIT $10
)
UNION ALL
(
  SELECT d.id, d.received_at, d.message_id, d.state
  FROM hub.delivery d
  JOIN hub.event e ON e.id = d.message_id
  JOIN hub.ente n ON n.id = e.ente_id
  WHERE d.environment = $1 AND d.state IN ('refused', 'dead', 'parked')` + meant + `
  ORDER BY d.received_at, d.message_id LIMIT $10
)
UNION ALL
(
  SELECT l.id, l.received_at, l.message_id, l.state
  FROM hub.ente n
  CROSS JOIN LATERAL (
    SELECT d.id, d.received_at, d.message_id, d.state
    FROM hub.event e
    JOIN hub.delivery d ON d.message_id = e.id AND d.state = 'delivered'
    WHERE e.ente_id = n.id AND e.received_at >= $6 AND e.received_at < $7 AND (e.received_at, e.id) > ($8, $9)` + meant + `
    ORDER BY e.received_at, e.id LIMIT $10
  ) AS l
  WHERE n.environment = $1 AND 'delivered' = ANY ($2)
  ORDER BY l.received_at, l.message_id LIMIT $10
)`

const listSQL = listed + `
FROM (SELECT p.id FROM (` + picked + `) AS p ORDER BY p.received_at, p.message_id LIMIT $10) AS page
JOIN hub.delivery d ON d.id = page.id
JOIN hub.event e ON e.id = d.message_id
JOIN hub.ente n ON n.id = e.ente_id
ORDER BY d.received_at, d.message_id`

// ListDeliveries gives up to limit deliveries, oldest first, from the first one after a place, which
// is that of the last one of the page before.
func (s *Store) ListDeliveries(ctx context.Context, f DeliveryFilter, after Place, limit int) ([]ListedDelivery, error) {
	rows, err := s.pool.Query(ctx, listSQL, f.args(after, limit)...)
	if err != nil {
		return nil, unavailable(err)
	}
	page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedDelivery, error) { return scanListed(row) })
	if err != nil {
		return nil, unavailable(err)
	}
	ids := make([]uuid.UUID, 0, len(page))
	for i := range page {
		ids = append(ids, page[i].ID)
	}
	behind, err := s.Behind(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range page {
		page[i].Behind = behind[page[i].ID]
	}
	return page, nil
}

// args are the parameters of picked.
func (f *DeliveryFilter) args(after Place, limit int) []any {
	states := make([]string, 0, len(f.States))
	for _, state := range f.States {
		states = append(states, string(state))
	}
	before := f.Before
	if before.IsZero() {
		before = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
	}
	return []any{
		f.Environment, states, f.Ente, f.Type, f.Code, f.From, before, after.ReceivedAt, after.Receipt, limit,
	}
}

func scanListed(row pgx.Row) (ListedDelivery, error) {
	var d ListedDelivery
	var age int64
	var due *time.Time
	var codes string
	err := row.Scan(&d.ID, &d.Message, &d.Ente, &d.Type, &d.State, &d.ReceivedAt, &age, &d.ChangedAt, &due, &d.Held,
		&d.Attempts, &codes)
	if err != nil {
		return ListedDelivery{}, err
	}
	d.Age = time.Duration(age) * time.Microsecond
	d.ReceivedAt, d.ChangedAt, d.Codes = d.ReceivedAt.UTC(), d.ChangedAt.UTC(), strings.Fields(codes)
	if due != nil {
		d.DueAt = due.UTC()
	}
	return d, nil
}

const countSQL = `
SELECT p.state, count(*),
  greatest(0, extract(epoch FROM (SELECT hub.hub_now()) - min(p.received_at)) * 1000000)::bigint
FROM (` + picked + `) AS p
GROUP BY p.state`

// mostCounted bounds the counting of deliveries of one kind.
const mostCounted = 1_000_000

// CountDeliveries counts the deliveries meant by their states, in the order of hub.DeliveryStates and
// without those that have none; up to a million of each kind.
func (s *Store) CountDeliveries(ctx context.Context, f DeliveryFilter) ([]Backlog, error) {
	found, err := s.backlogs(ctx, countSQL, f.args(Place{}, mostCounted)...)
	if err != nil {
		return nil, err
	}
	var all []Backlog
	for _, state := range hub.DeliveryStates() {
		if b, ok := found[state]; ok {
			all = append(all, b)
		}
	}
	return all, nil
}

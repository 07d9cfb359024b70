package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const ledgerEnteSQL = `
SELECT e.ente_id FROM hub.event e WHERE e.ente_id > $1 ORDER BY e.ente_id LIMIT 1`

// LedgerEnte gives the next ente that has events, of the registry or not; false if there is none.
func (s *Store) LedgerEnte(ctx context.Context, after int32) (ente int32, ok bool, err error) {
	err = s.pool.QueryRow(ctx, ledgerEnteSQL, after).Scan(&ente)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read enti of events: %w", masked(err))
	}
	return ente, true, nil
}

// LedgerStored is an event or a message as it stands, with what it must have.
type LedgerStored struct {
	ID uuid.UUID
	At time.Time
	// Keyed says that an event has its key, Entered that the entry which the key names is there and of
	// this message.
	Keyed, Entered bool
	// Event says that a message has its event.
	Event bool
}

const ledgerEventsSQL = `
SELECT p.id, p.received_at, k.receipt_id IS NOT NULL,
  EXISTS (
    SELECT FROM hub.journal_entry j
    WHERE j.id = k.registration_id AND j.at = k.received_at AND j.message_id = p.id
  )
FROM (
  SELECT e.id, e.received_at, e.environment, e.ente_id, e.event_id FROM hub.event e
  -- the index of the summaries: ids of forged events need not have a time in them
  WHERE e.ente_id = $1 AND e.received_at >= $2 AND e.received_at < $3 AND (e.received_at, e.id) > ($4, $5)
  ORDER BY e.ente_id, e.received_at, e.id
  LIMIT $6
) AS p
LEFT JOIN hub.event_key k ON k.environment = p.environment AND k.ente_id = p.ente_id AND k.event_id = p.event_id
  AND k.receipt_id = p.id
ORDER BY p.received_at, p.id`

// LedgerEvents reads the next events of an ente that were received in a range, behind one.
func (s *Store) LedgerEvents(ctx context.Context, ente int32, from, to time.Time, after LedgerStored, most int) ([]LedgerStored, error) {
	at := after.At
	if at.IsZero() {
		at = from.Add(-time.Microsecond)
	}
	rows, err := s.pool.Query(ctx, ledgerEventsSQL, ente, from, to, at, after.ID, most)
	var all []LedgerStored
	if err == nil {
		var e LedgerStored
		_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.At, &e.Keyed, &e.Entered}, func() error {
			e.At = e.At.UTC()
			all = append(all, e)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read events: %w", masked(err))
	}
	return all, nil
}

const ledgerMessagesSQL = `
SELECT p.id, p.received_at, EXISTS (SELECT FROM hub.event e WHERE e.id = p.id AND e.received_at = p.received_at)
FROM (
  SELECT m.id, m.received_at FROM hub.message m
  WHERE m.received_at >= $1 AND m.received_at < $2 AND m.id > $3 AND ($4 = 0 OR m.ente_id = $4)
  ORDER BY m.id
  LIMIT $5
) AS p
ORDER BY p.id`

// LedgerMessages reads the next messages that were received in a range, behind one, and of one ente if it
// is not 0.
func (s *Store) LedgerMessages(ctx context.Context, ente int32, from, to time.Time, after uuid.UUID, most int) ([]LedgerStored, error) {
	rows, err := s.pool.Query(ctx, ledgerMessagesSQL, from, to, after, ente, most)
	var all []LedgerStored
	if err == nil {
		var m LedgerStored
		_, err = pgx.ForEachRow(rows, []any{&m.ID, &m.At, &m.Event}, func() error {
			m.At = m.At.UTC()
			all = append(all, m)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", masked(err))
	}
	return all, nil
}

const ledgerStartedSQL = `
SELECT a.delivery_id, a.number, a.started_at FROM hub.attempt a
WHERE a.started_at >= $1 AND a.started_at < $2`

// EachAttempt gives the keys of all attempts that began in a range, in no order.
func (s *Store) EachAttempt(ctx context.Context, from, to time.Time, take func(delivery uuid.UUID, number int32, startedAt time.Time) error) error {
	err := s.scanDay(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, ledgerStartedSQL, from, to)
		if err != nil {
			return err
		}
		var delivery uuid.UUID
		var number int32
		var at time.Time
		return each(rows, []any{&delivery, &number, &at}, func() error { return take(delivery, number, at.UTC()) })
	})
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	return nil
}

const ledgerOfSQL = `
SELECT d.id, d.message_id, coalesce(e.ente_id, 0)
FROM hub.delivery d
LEFT JOIN hub.event e ON e.id = d.message_id
WHERE d.id = ANY ($1::uuid[])`

// DeliveryOf is whose a delivery is.
type DeliveryOf struct {
	Message uuid.UUID
	Ente    int32
}

// DeliveriesOf tells of which event and ente deliveries are; one that is not there is left out.
func (s *Store) DeliveriesOf(ctx context.Context, deliveries []uuid.UUID) (map[uuid.UUID]DeliveryOf, error) {
	column := uuidColumn(deliveries)
	found := make(map[uuid.UUID]DeliveryOf, len(deliveries))
	rows, err := s.pool.Query(ctx, ledgerOfSQL, column)
	if err == nil {
		var id uuid.UUID
		var of DeliveryOf
		_, err = pgx.ForEachRow(rows, []any{&id, &of.Message, &of.Ente}, func() error {
			found[id] = of
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", masked(err))
	}
	return found, nil
}

// Months are which months of a class retention has not touched: what is missing in one of these was
// deleted by somebody else.
type Months struct {
	whole map[time.Time]bool
	least int
	now   time.Time
}

// LedgerMonths reads which months of a class are whole at a moment.
func (s *Store) LedgerMonths(ctx context.Context, class RetentionClass, now time.Time) (Months, error) {
	months := Months{whole: map[time.Time]bool{}, least: 1, now: now}
	if class == RetainJournal {
		months.least = 12
	}
	all, err := s.retentionMonths(ctx, class, nil)
	for _, m := range all {
		months.whole[m.Month.UTC()] = !m.Held
	}
	return months, err
}

// Retired tells whether retention may have taken a row of this time.
func (m Months) Retired(at time.Time) bool {
	month := time.Date(at.UTC().Year(), at.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	return !m.whole[month] && !month.AddDate(0, 1+m.least, 0).After(m.now)
}

package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Waiting says what a delivery waits behind: the one of its case that goes first, or is on its way.
type Waiting struct {
	// Head is the delivery that holds the case, Message its IdRicevuta and Event its IdEvento.
	Head, Message, Event uuid.UUID
	// State of the head says why it holds: it is on its way (sending, or uncertain under a lease), is
	// tried again at DueAt (retrying, uncertain), is about to go (pending), or waits for a person
	// (dead, parked).
	State hub.DeliveryState
	// Held says that a process has the head under a lease right now.
	Held bool
	// Codes are those of the head's last attempt.
	Codes []string
	// DueAt is when the head may be claimed, or its lease runs out; zero if a person must act.
	DueAt time.Time
	// Ahead is how many deliveries of the case go before this one, the head among them.
	Ahead int32
}

const behindSQL = `
SELECT w.id, h.id, h.message_id, v.event_id, h.state, h.lease IS NOT NULL, coalesce(h.codes, ''),
  h.due_at, (
    SELECT count(*) FROM hub.delivery e
    WHERE e.case_id = w.case_id AND e.state NOT IN ('delivered', 'refused') AND e.id <> w.id
      AND (e.lease IS NOT NULL OR (e.sequence, e.position) < (w.sequence, w.position))
  )::integer
FROM hub.delivery w
CROSS JOIN LATERAL (
  -- what is on its way holds the case even if it does not go first any more
  SELECT e.id, e.message_id, e.state, e.lease, e.codes, e.due_at FROM hub.delivery e
  WHERE e.case_id = w.case_id AND e.state NOT IN ('delivered', 'refused')
  ORDER BY e.lease IS NULL, e.sequence, e.position LIMIT 1
) AS h
JOIN hub.event v ON v.id = h.message_id
WHERE w.id = ANY ($1) AND h.id <> w.id AND w.state NOT IN ('delivered', 'refused')`

// Behind tells for each of the deliveries that wait behind another of their case which one that is.
// What is final, on its way or first of its case is not in the answer. It is a look at one moment:
// the next attempt may change it.
func (s *Store) Behind(ctx context.Context, deliveries []uuid.UUID) (map[uuid.UUID]Waiting, error) {
	column := uuidColumn(deliveries)
	rows, err := s.pool.Query(ctx, behindSQL, column)
	if err != nil {
		return nil, unavailable(err)
	}
	found := map[uuid.UUID]Waiting{}
	var id uuid.UUID
	var w Waiting
	var codes string
	var due *time.Time
	columns := []any{&id, &w.Head, &w.Message, &w.Event, &w.State, &w.Held, &codes, &due, &w.Ahead}
	if _, err := pgx.ForEachRow(rows, columns, func() error {
		one := w
		one.Codes = strings.Fields(codes)
		if due != nil {
			one.DueAt = due.UTC()
		}
		found[id] = one
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Origin is where an accepted event came from.
type Origin struct {
	// Environment is where it was accepted.
	Environment hub.Environment
	// Participant is the registry's row of the sender.
	Participant int32
	// Ente is the registry's row of the ente it spoke for.
	Ente int32
	// Event is IdEvento.
	Event uuid.UUID
}

const originsSQL = `
SELECT e.id, e.environment, e.participant_id, e.ente_id, e.event_id
FROM hub.event e
WHERE e.id = ANY ($1::uuid[])`

// Origins tells of messages, by IdRicevuta, where they came from; those that were not accepted are
// not there. Errors are *hub.Error of kind Unavailable.
func (s *Store) Origins(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]Origin, error) {
	column := uuidColumn(messages)
	rows, err := s.pool.Query(ctx, originsSQL, column)
	if err != nil {
		return nil, unavailable(err)
	}
	found := make(map[uuid.UUID]Origin, len(messages))
	var id uuid.UUID
	var o Origin
	_, err = pgx.ForEachRow(rows, []any{&id, &o.Environment, &o.Participant, &o.Ente, &o.Event}, func() error {
		found[id] = o
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

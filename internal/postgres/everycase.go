package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// History is a case with all its accepted events, whatever became of them.
type History struct {
	// Case is the case's random id.
	Case uuid.UUID
	// Subject is whose case it is, for codes.
	Subject uuid.UUID
	// Events are in the order of acceptance.
	Events []StoredEvent
}

// StoredEvent is a regional event as it was accepted.
type StoredEvent struct {
	casefile.Event

	// Body is the regional event in clear bytes.
	Body []byte
}

// historiesAtOnce is how many cases are read in one round trip.
const historiesAtOnce = 50

// EachHistory gives every case of an ente to take, one after the other, all from one snapshot. Their
// order says nothing: it is that of a keyed index. Only a few cases are in memory at a time. It ends
// with the first error of take, or with one of its own that holds no content.
func (s *Store) EachHistory(ctx context.Context, env hub.Environment, ente int32, take func(History) error) error {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read cases: %w", masked(err))
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	after := []byte{}
	for {
		page, last, err := histories(ctx, tx, env, ente, after)
		if err != nil {
			return fmt.Errorf("read cases: %w", masked(err))
		}
		if len(page) == 0 {
			return nil
		}
		for _, h := range page {
			if err := take(h); err != nil {
				return err
			}
		}
		after = last
	}
}

const historiesSQL = `
SELECT c.id, c.subject_id, c.case_index, e.event_id, e.refers_to, e.operation, e.type, e.sequence,
  e.position, e.facts, e.body
FROM (
  SELECT f.id, f.subject_id, f.case_index FROM hub.case_file f
  WHERE f.environment = $1 AND f.ente_id = $2 AND f.case_index > $3
  ORDER BY f.case_index LIMIT $4
) AS c
JOIN hub.event e ON e.case_id = c.id
ORDER BY c.case_index, e.position`

// histories reads the next cases behind an index, and the last one's index.
func histories(ctx context.Context, tx pgx.Tx, env hub.Environment, ente int32, after []byte) ([]History, []byte, error) {
	rows, err := tx.Query(ctx, historiesSQL, env, ente, after, historiesAtOnce)
	if err != nil {
		return nil, nil, err
	}
	var all []History
	var file, subject uuid.UUID
	var event StoredEvent
	var refersTo uuid.NullUUID
	var index, facts, body []byte
	columns := []any{
		&file, &subject, &index, &event.ID, &refersTo, &event.Operation, &event.Type, &event.Sequence,
		&event.Position, &facts, &body,
	}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		stored := event
		stored.RefersTo = refersTo.UUID
		var err error
		if stored.Facts, err = casefile.ParseFacts(facts); err != nil {
			return errStored
		}
		if stored.Body, err = s2.Decode(nil, body); err != nil {
			return errStored
		}
		if len(all) == 0 || all[len(all)-1].Case != file {
			all = append(all, History{Case: file, Subject: subject})
		}
		last := &all[len(all)-1]
		last.Events = append(last.Events, stored)
		after = append(after[:0], index...)
		return nil
	})
	return all, after, err
}

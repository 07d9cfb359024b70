package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// The methods here are the opener's: its role, RoleOpener, may run these statements and no others.

const sealedMessagesSQL = `
SELECT e.id, e.participant_id, e.ente_id, e.subject_id, e.received_at, m.sealed
FROM hub.event e
-- the event's time is the message's, so that one partition is looked into
LEFT JOIN hub.message m ON m.id = e.id AND m.received_at = e.received_at AND m.environment = e.environment
WHERE e.id = ANY ($1::uuid[]) AND e.environment = $2`

// SealedMessages gives accepted messages by IdRicevuta. What was never accepted is not there. Errors are
// *hub.Error of kind Unavailable.
func (s *Store) SealedMessages(ctx context.Context, env hub.Environment, ids []uuid.UUID) (map[uuid.UUID]hub.SealedRow, error) {
	return s.sealedOf(ctx, sealedMessagesSQL, env, ids)
}

const sealedOriginsSQL = `
SELECT e.id, e.participant_id, e.ente_id, e.subject_id, e.received_at, NULL::bytea
FROM hub.event e
WHERE e.id = ANY ($1::uuid[]) AND e.environment = $2`

// SealedOrigins gives for whom the events of these IdRicevuta were sealed, without any envelope.
func (s *Store) SealedOrigins(ctx context.Context, env hub.Environment, ids []uuid.UUID) (map[uuid.UUID]hub.SealedRow, error) {
	return s.sealedOf(ctx, sealedOriginsSQL, env, ids)
}

func (s *Store) sealedOf(ctx context.Context, sql string, env hub.Environment, ids []uuid.UUID) (map[uuid.UUID]hub.SealedRow, error) {
	column := uuidColumn(ids)
	found := make(map[uuid.UUID]hub.SealedRow, len(ids))
	rows, err := s.pool.Query(ctx, sql, column, env)
	if err != nil {
		return nil, unavailable(err)
	}
	var r hub.SealedRow
	_, err = pgx.ForEachRow(rows, []any{&r.Message, &r.Participant, &r.Ente, &r.Subject, &r.ReceivedAt, &r.Bytes}, func() error {
		found[r.Message] = r
		r.Bytes = nil // its own array for each row
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

const sealedSentSQL = `
SELECT i.delivery_id, i.attempt, e.id, e.participant_id, e.ente_id, e.subject_id, e.received_at, a.number, a.sealed
FROM unnest($1::uuid[], $2::integer[]) AS i (delivery_id, attempt)
JOIN hub.delivery d ON d.id = i.delivery_id
JOIN hub.event e ON e.id = d.message_id AND e.environment = $3
LEFT JOIN LATERAL (
  SELECT t.number, t.sealed
  FROM hub.attempt t
  WHERE t.delivery_id = i.delivery_id AND t.sealed IS NOT NULL AND (i.attempt = 0 OR t.number = i.attempt)
  ORDER BY t.number DESC
  LIMIT 1
) AS a ON true`

// SealedSent gives what was sent for deliveries. What is no delivery is not there.
func (s *Store) SealedSent(ctx context.Context, env hub.Environment, asked []hub.SentKey) (map[hub.SentKey]hub.SealedRow, error) {
	var ids uuids
	attempts := make([]int32, 0, len(asked))
	for _, k := range asked {
		ids, attempts = ids.add(k.Delivery), append(attempts, k.Attempt)
	}
	found := make(map[hub.SentKey]hub.SealedRow, len(asked))
	rows, err := s.pool.Query(ctx, sealedSentSQL, ids, attempts, env)
	if err != nil {
		return nil, unavailable(err)
	}
	var r hub.SealedRow
	var number pgtype.Int4
	var asking int32
	into := []any{&r.Delivery, &asking, &r.Message, &r.Participant, &r.Ente, &r.Subject, &r.ReceivedAt, &number, &r.Bytes}
	_, err = pgx.ForEachRow(rows, into, func() error {
		r.Attempt = number.Int32
		found[hub.SentKey{Delivery: r.Delivery, Attempt: asking}] = r
		r.Bytes = nil
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

const journalOpeningSQL = `
WITH entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  VALUES ($1, $2, $3, nullif($4, '00000000-0000-0000-0000-000000000000'::uuid), $5)
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
VALUES ($1, $2)`

// JournalOpening writes the entry of an opening, alone and at once. Only nil says that it is durable:
// after any error it may stand there or not, and nothing may be opened for it.
func (s *Store) JournalOpening(ctx context.Context, e journal.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if _, err := conn.Exec(ctx, journalOpeningSQL, e.ID, e.At.Truncate(time.Microsecond), int16(e.Kind), e.Message, e.Bytes()); err != nil {
			return err
		}
		return checkWarning(conn)
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// Communication is a communication of codes as operators see it: no code and no subject.
type Communication struct {
	// ID is IdComunicazione.
	ID uuid.UUID
	// Motive is MotiveRotation, MotiveJoin or MotiveSeparation; Epoch what a rotation leads to, else 0.
	Motive string
	Epoch  int32
	// State is pending, told or refused; Attempts how often it was sent, Pairs how many it has.
	State    string
	Attempts int32
	Pairs    int64
	// CreatedAt is when it was planned, SettledAt when SISS answered; zero while it is pending.
	CreatedAt, SettledAt time.Time
	// Codes are SISS's to the last attempt, or why none was made, separated by blanks.
	Codes string
	// Behind says that it takes joins back that SISS is to be told of before.
	Behind bool
}

// separationWaits says that a communication m takes a join back of which SISS is not told, nor is it unless an
// operator retries what it refused.
const separationWaits = `EXISTS (
      SELECT FROM hub.code_join s
      JOIN hub.code_join u ON u.entry_id = s.entry_id AND u.motive = 'UNIONE'
      JOIN hub.code_message um ON um.id = u.message_id AND um.state <> 'told'
      WHERE s.message_id = m.id AND s.motive = 'SEPARAZIONE')`

const communicationsSQL = `
SELECT m.id, m.motive, coalesce(m.to_epoch, 0), m.state, m.attempts,
  (SELECT count(*) FROM hub.code_change g WHERE g.message_id = m.id) + (SELECT count(*) FROM hub.code_join j WHERE j.message_id = m.id),
  m.created_at, m.settled_at, coalesce(m.codes, ''), m.state = 'pending' AND ` + separationWaits + `
FROM hub.code_message m
WHERE m.environment = $1 AND m.state = ANY ($2::text[])
ORDER BY m.created_at, m.id
LIMIT $3`

// Communications lists those in given states, oldest first, at most so many.
func (s *Store) Communications(ctx context.Context, env hub.Environment, states []string, most int) ([]Communication, error) {
	rows, err := s.pool.Query(ctx, communicationsSQL, env, states, most)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Communication, err error) {
		var settled *time.Time
		err = row.Scan(&c.ID, &c.Motive, &c.Epoch, &c.State, &c.Attempts, &c.Pairs, &c.CreatedAt, &settled, &c.Codes, &c.Behind)
		if settled != nil {
			c.SettledAt = *settled
		}
		return c, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const retryCodesSQL = `
UPDATE hub.code_message m
SET state = 'pending', settled_at = NULL, due_at = hub.hub_now()
WHERE m.environment = $1 AND m.id = $2 AND m.state = 'refused'`

// RetryCodes makes a communication that SISS refused due again, the same under the same IdComunicazione, and
// writes the entry with it. False: there is none such, or it is not refused.
func (s *Store) RetryCodes(ctx context.Context, env hub.Environment, id uuid.UUID, entry journal.Entry) (done bool, err error) {
	err = s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, retryCodesSQL, env, [16]byte(id))
		if err == nil && tag.RowsAffected() == 0 {
			return errNothing
		}
		return err
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("retry a communication of codes: %w", err)
	}
	return true, nil
}

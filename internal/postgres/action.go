package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Why a signed action is not taken. Nothing was written then.
var (
	ErrActionTaken = errors.New("this signed action was done already: each is good for one run of a command")
	ErrActionTime  = errors.New("the clocks of this machine and of the database are more than ten minutes apart: set this machine's, and run the command again")
)

const takeActionSQL = `
INSERT INTO hub.action (environment, action_id, person, verb, action, entry_id)
SELECT $1::smallint, $2::uuid, p.name, $4::text, $5::text, $6::uuid
FROM hub.person p
-- whoever was retired since the people were read
WHERE p.environment = $1::smallint AND p.name = $3::text AND p.retired_at IS NULL
  -- what was signed and then kept for another day is not good
  AND $7::timestamptz BETWEEN hub.hub_now() - interval '10 minutes' AND hub.hub_now() + interval '10 minutes'`

const personSignsSQL = `
SELECT EXISTS (SELECT FROM hub.person p WHERE p.environment = $1 AND p.name = $2 AND p.retired_at IS NULL)`

// TakeAction stores what somebody signed and writes its entry, both or neither, once: whoever calls it has
// verified the signature. ErrActionTaken, ErrActionTime or ticket.ErrActionPerson mean that nothing was
// written; after any other error nothing may be done for it.
func (s *Store) TakeAction(ctx context.Context, a ticket.SignedAction, entry journal.Entry) error {
	var why error
	err := s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, takeActionSQL, a.Environment, [16]byte(a.ID), a.Person, string(a.Verb), string(a.Bytes()), [16]byte(entry.ID), a.At)
		if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == uniqueViolation {
			why = ErrActionTaken
			return errNothing
		}
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		var signs bool
		if err := tx.QueryRow(ctx, personSignsSQL, a.Environment, a.Person).Scan(&signs); err != nil {
			return err
		}
		if why = ErrActionTime; !signs {
			why = ticket.ErrActionPerson
		}
		return errNothing
	})
	if errors.Is(err, errNothing) {
		return why
	}
	return err
}

const actionSQL = `
SELECT a.action FROM hub.action a WHERE a.environment = $1 AND a.entry_id = $2`

// Action is what was signed for an entry of kind ActionSigned, as TakeAction stored it; empty if there is none.
func (s *Store) Action(ctx context.Context, env hub.Environment, entry uuid.UUID) (text string, err error) {
	err = s.pool.QueryRow(ctx, actionSQL, env, [16]byte(entry)).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", unavailable(err)
	}
	return text, nil
}

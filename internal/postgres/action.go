package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

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
		if isUniqueViolation(err) {
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

const actionsSQL = `
SELECT a.action, j.body
FROM hub.action a
-- an entry that retention took leaves the text, which still proves itself
LEFT JOIN hub.journal_entry j ON j.id = a.entry_id
WHERE a.environment = $1 AND a.taken_at >= $2 AND a.taken_at < $3
ORDER BY a.taken_at, a.action_id`

// StoredAction is what somebody signed, as it is kept, with its entry, the zero one if that is gone.
type StoredAction struct {
	Text  string
	Entry journal.Entry
}

// Actions are what was signed in a range of time.
func (s *Store) Actions(ctx context.Context, env hub.Environment, from, to time.Time) ([]StoredAction, error) {
	rows, err := s.pool.Query(ctx, actionsSQL, env, from, to)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a StoredAction, err error) {
		var body []byte
		if err = row.Scan(&a.Text, &body); err == nil && body != nil {
			a.Entry, err = journal.Parse(body)
		}
		return a, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

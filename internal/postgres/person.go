package postgres

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Why the people or a ticket stay as they are.
var (
	ErrPersonTaken = errors.New("this name or this key is, or was, another registered person's: names and keys are never given again")
	ErrNoPerson    = errors.New("no registered person has this name, or they were retired already")
	ErrTicketDone  = errors.New("the ticket was revoked already")
)

// RegisteredPerson is a row of the people.
type RegisteredPerson struct {
	ticket.Person

	// AddedAt is when; RetiredAt is zero for who may sign.
	AddedAt, RetiredAt time.Time
}

const addPersonSQL = `
INSERT INTO hub.person (environment, name, roles, public_key, added_entry)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING`

// AddPerson registers a person and journals it. ErrPersonTaken if somebody has or had the name or the key.
func (s *Store) AddPerson(ctx context.Context, env hub.Environment, p ticket.Person, entry journal.Entry) error {
	return s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, addPersonSQL, env, p.Name, p.Roles, []byte(p.Key), [16]byte(entry.ID))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrPersonTaken
		}
		return err
	})
}

const retirePersonSQL = `
UPDATE hub.person SET retired_at = hub.hub_now(), retired_entry = $3
WHERE environment = $1 AND name = $2 AND retired_at IS NULL`

// RetirePerson ends a person's right to sign, also of what was signed and not used, and journals it.
func (s *Store) RetirePerson(ctx context.Context, env hub.Environment, name string, entry journal.Entry) error {
	return s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, retirePersonSQL, env, name, [16]byte(entry.ID))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNoPerson
		}
		return err
	})
}

const peopleSQL = `
SELECT name, roles, public_key, added_at, retired_at
FROM hub.person
WHERE environment = $1
ORDER BY name`

// People are all that were ever registered, by name.
func (s *Store) People(ctx context.Context, env hub.Environment) ([]RegisteredPerson, error) {
	rows, err := s.pool.Query(ctx, peopleSQL, env)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p RegisteredPerson, err error) {
		var retired *time.Time
		var key []byte
		err = row.Scan(&p.Name, &p.Roles, &key, &p.AddedAt, &retired)
		p.Key = ed25519.PublicKey(key)
		if retired != nil {
			p.RetiredAt = *retired
		}
		return p, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const signersSQL = `
SELECT name, roles, public_key
FROM hub.person
WHERE environment = $1 AND retired_at IS NULL
ORDER BY name`

// Signers are the people who may sign now. The opener's role may run it.
func (s *Store) Signers(ctx context.Context, env hub.Environment) ([]ticket.Person, error) {
	rows, err := s.pool.Query(ctx, signersSQL, env)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ticket.Person, err error) {
		var key []byte
		err = row.Scan(&p.Name, &p.Roles, &key)
		p.Key = ed25519.PublicKey(key)
		return p, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const revokeTicketSQL = `
INSERT INTO hub.ticket_use (environment, ticket_id, purpose, requester, approver, expires_at, ticket, revoked_at, revoked_entry)
VALUES ($1, $2, $3, $4, $5, $6, $7, hub.hub_now(), $8)
-- one that is in use opens nothing further
ON CONFLICT (environment, ticket_id) DO UPDATE SET revoked_at = excluded.revoked_at, revoked_entry = excluded.revoked_entry
WHERE ticket_use.revoked_at IS NULL`

// RevokeTicket takes a ticket back, before its use or in its course, and journals it.
func (s *Store) RevokeTicket(ctx context.Context, t ticket.Signed, entry journal.Entry) error {
	return s.act(ctx, entry, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, revokeTicketSQL, t.Environment, [16]byte(t.ID), string(t.Purpose), t.Requester, t.Approver(), t.Expires,
			string(t.Bytes()), [16]byte(entry.ID))
		if err == nil && tag.RowsAffected() == 0 {
			return ErrTicketDone
		}
		return err
	})
}

const peopleEntriesSQL = `
SELECT j.body, u.ticket
FROM hub.journal_entry j
LEFT JOIN hub.ticket_use u ON u.environment = $1 AND u.used_entry = j.id
WHERE j.kind IN (15, 16, 17, 18, 25, 26, 27) AND j.at >= $2 AND j.at < $3
ORDER BY j.at, j.id`

// PeopleEntry is an entry about people or tickets, with the ticket it was for, if that was used.
type PeopleEntry struct {
	journal.Entry

	// Ticket is the file; empty if none was used for the entry.
	Ticket string
}

// PeopleEntries are the entries of kinds PersonChanged, SubjectReidentified, TicketRefused, TicketRevoked,
// SubjectErased, SubjectLooked and SubjectsSeparated of a range of time.
func (s *Store) PeopleEntries(ctx context.Context, env hub.Environment, from, to time.Time) ([]PeopleEntry, error) {
	rows, err := s.pool.Query(ctx, peopleEntriesSQL, env, from, to)
	if err != nil {
		return nil, unavailable(err)
	}
	var all []PeopleEntry
	var body []byte
	var file *string
	_, err = pgx.ForEachRow(rows, []any{&body, &file}, func() error {
		e, err := journal.Parse(body)
		if err != nil || e.Environment != env {
			return err
		}
		one := PeopleEntry{Entry: e}
		if file != nil {
			one.Ticket = *file
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

const ticketsOnPseudonymsSQL = `
SELECT j.body, u.ticket
FROM hub.ticket_use u
JOIN hub.journal_entry j ON j.id = u.used_entry
WHERE u.environment = $1 AND u.used_at IS NOT NULL AND u.purpose IN ('reidentify', 'report', 'erase', 'unjoin')
ORDER BY u.used_at, u.ticket_id`

// TicketsOnPseudonyms gives the entry of each used ticket whose scope is a pseudonym, with the ticket, to take.
func (s *Store) TicketsOnPseudonyms(ctx context.Context, env hub.Environment, take func(PeopleEntry) error) error {
	return s.long(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, ticketsOnPseudonymsSQL, env)
		if err != nil {
			return err
		}
		var body []byte
		var file string
		_, err = pgx.ForEachRow(rows, []any{&body, &file}, func() error {
			e, err := journal.Parse(body)
			if err != nil {
				return err
			}
			return take(PeopleEntry{Entry: e, Ticket: file})
		})
		return err
	})
}

const useTicketSQL = `
WITH used AS (
  INSERT INTO hub.ticket_use (environment, ticket_id, purpose, requester, approver, expires_at, ticket, used_at, used_entry)
  SELECT $6::smallint, $7::uuid, $8::text, $9::text, $10::text, $12::timestamptz, $13::text, clock.now, $1::uuid
  FROM (SELECT hub.hub_now() AS now) AS clock
  WHERE clock.now >= $11::timestamptz AND clock.now < $12::timestamptz
    -- whoever was retired since the opener read the people
    AND (SELECT count(*) FROM hub.person p
         WHERE p.environment = $6::smallint AND p.name IN ($9::text, $10::text) AND p.retired_at IS NULL) = 2
  -- one of two at once waits for the other here, and then writes nothing
  ON CONFLICT (environment, ticket_id) DO NOTHING
  RETURNING ticket_id
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT $1::uuid, $2::timestamptz, $3::smallint, nullif($4, '00000000-0000-0000-0000-000000000000'::uuid), $5::bytea FROM used
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
SELECT $1::uuid, $2::timestamptz FROM used`

const whyNotUsedSQL = `
SELECT u.used_at IS NOT NULL, coalesce(u.revoked_at IS NOT NULL, false), clock.now < $3::timestamptz, clock.now >= $4::timestamptz
FROM (SELECT hub.hub_now() AS now) AS clock
LEFT JOIN hub.ticket_use u ON u.environment = $1 AND u.ticket_id = $2`

// UseTicket takes a ticket and writes the entry of its use, both or neither. Only nil says that it is
// durable, and then nobody uses the ticket again. Why it may not be used, which is one of ErrUsed,
// ErrRevoked, ErrExpired, ErrEarly and ErrPerson of package ticket, means that nothing was written; after
// any other error it may be used or not, and nothing may be opened for it.
func (s *Store) UseTicket(ctx context.Context, t ticket.Signed, e journal.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var why error
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		tag, err := conn.Exec(ctx, useTicketSQL, [16]byte(e.ID), e.At.Truncate(time.Microsecond), int16(e.Kind), [16]byte(e.Message), e.Bytes(),
			t.Environment, [16]byte(t.ID), string(t.Purpose), t.Requester, t.Approver(), t.NotBefore, t.Expires, string(t.Bytes()))
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return checkWarning(conn)
		}
		if why, err = stateOf(ctx, conn, t); err == nil && why == nil {
			why = ticket.ErrPerson
		}
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return why
}

// stateOf is why a ticket may not be used now, as far as its own row and time say.
func stateOf(ctx context.Context, conn *pgx.Conn, t ticket.Signed) (why, err error) {
	var used, revoked, living, begun bool
	if err := conn.QueryRow(ctx, whyNotUsedSQL, t.Environment, [16]byte(t.ID), t.Expires, t.NotBefore).Scan(&used, &revoked, &living, &begun); err != nil {
		return nil, err
	}
	switch {
	case revoked:
		return ticket.ErrRevoked, nil
	case used:
		return ticket.ErrUsed, nil
	case !living:
		return ticket.ErrExpired, nil
	case !begun:
		return ticket.ErrEarly, nil
	}
	return nil, nil
}

// TicketState tells whether a ticket could be used now, as UseTicket would, without using it; whose
// signatures it has is not looked at.
func (s *Store) TicketState(ctx context.Context, t ticket.Signed) error {
	var why error
	err := s.withConn(ctx, func(conn *pgx.Conn) (err error) {
		why, err = stateOf(ctx, conn, t)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return why
}

const journalUnderTicketSQL = `
WITH allowed AS (
  SELECT u.ticket_id
  FROM hub.ticket_use u
  WHERE u.environment = $6 AND u.ticket_id = $7 AND u.used_at IS NOT NULL AND u.revoked_at IS NULL
    AND u.expires_at > (SELECT hub.hub_now())
    AND (SELECT count(*) FROM hub.person p
         WHERE p.environment = $6 AND p.name IN (u.requester, u.approver) AND p.retired_at IS NULL) = 2
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT $1::uuid, $2::timestamptz, $3::smallint, nullif($4, '00000000-0000-0000-0000-000000000000'::uuid), $5::bytea FROM allowed
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
SELECT $1::uuid, $2::timestamptz FROM allowed`

// JournalUnderTicket writes the entry of a part of a run, as JournalOpening does, if the run's ticket still
// holds: else nothing is written and the error is ErrExpired of package ticket.
func (s *Store) JournalUnderTicket(ctx context.Context, env hub.Environment, id uuid.UUID, e journal.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	held := true
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		tag, err := conn.Exec(ctx, journalUnderTicketSQL, [16]byte(e.ID), e.At.Truncate(time.Microsecond), int16(e.Kind), [16]byte(e.Message), e.Bytes(),
			env, [16]byte(id))
		if err != nil {
			return err
		}
		held = tag.RowsAffected() == 1
		return checkWarning(conn)
	})
	if err != nil {
		return unavailable(err)
	}
	if !held {
		return ticket.ErrExpired
	}
	return nil
}

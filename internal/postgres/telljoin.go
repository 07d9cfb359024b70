package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// The motives of a communication (codMotivoComunicazione).
const (
	// MotiveRotation says that a code continues another one, MotiveJoin that two are of one child,
	// MotiveSeparation that they are not after all.
	MotiveRotation   = "ROTAZIONE"
	MotiveJoin       = "UNIONE"
	MotiveSeparation = "SEPARAZIONE"
)

// JoinedPair is two subjects that were found to be one child, and the entry of that.
type JoinedPair struct{ Entry, One, Other uuid.UUID }

// The epoch of the code that SISS was told last of a subject u, NULL if it was told of none.
const lastToldSQL = `SELECT max(g.to_epoch) FROM hub.code_change g JOIN hub.code_message m ON m.id = g.message_id AND m.state = 'told'
     WHERE g.subject_id = u.id`

// The code that SISS has of a subject: the one that it was told last, or else the first that an event bears,
// which later ones continue. One of which no event goes to SISS has none, and its join waits.
const planJoinsSQL = `
WITH pair AS MATERIALIZED (
  SELECT i.entry_id, i.one, i.other
  FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS i (entry_id, one, other)
), subject AS MATERIALIZED (
  SELECT u.id, coalesce(
    (` + lastToldSQL + `),
    (SELECT min(d.nation_epoch) FROM hub.case_file c
     JOIN hub.event e ON e.case_id = c.id
     JOIN hub.delivery d ON d.message_id = e.id
     WHERE c.subject_id = u.id AND c.environment = $1)) AS epoch
  FROM (SELECT one FROM pair UNION SELECT other FROM pair) AS u (id)
), known AS MATERIALIZED (
  SELECT p.entry_id, p.one, a.epoch AS one_epoch, p.other, b.epoch AS other_epoch
  FROM pair p
  JOIN subject a ON a.id = p.one AND a.epoch IS NOT NULL
  JOIN subject b ON b.id = p.other AND b.epoch IS NOT NULL
), fresh AS MATERIALIZED (
  SELECT k.entry_id, k.one, k.one_epoch, k.other, k.other_epoch FROM known k
  -- nor one that was taken back meanwhile
  WHERE NOT EXISTS (SELECT FROM hub.code_join j WHERE j.entry_id = k.entry_id)
), message AS (
  INSERT INTO hub.code_message (id, environment, motive, state, due_at, created_at)
  SELECT $5, $1, $6, 'pending', clock.now, clock.now
  FROM (SELECT hub.hub_now() AS now) AS clock
  WHERE EXISTS (SELECT FROM fresh)
), planned AS (
  INSERT INTO hub.code_join (entry_id, motive, message_id, subject_id, subject_epoch, joined_id, joined_epoch)
  SELECT f.entry_id, $6, $5, f.one, f.one_epoch, f.other, f.other_epoch FROM fresh f
)
SELECT k.entry_id FROM known k`

// PlanJoins makes one communication of joins that SISS was not told of, with the codes that it has of them. It
// gives back those that it is, or was before, told of; the others are of a subject that it does not know.
func (s *Store) PlanJoins(ctx context.Context, env hub.Environment, pairs []JoinedPair) (planned []uuid.UUID, err error) {
	var entries, ones, others uuids
	for _, p := range pairs {
		entries, ones, others = entries.add(p.Entry), ones.add(p.One), others.add(p.Other)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, planLockSQL, int64(env)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, planJoinsSQL, env, entries, ones, others, [16]byte(uuid.New()), MotiveJoin)
		if err != nil {
			return err
		}
		planned, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("plan the telling of joins: %w", masked(err))
	}
	return planned, nil
}

const separateSQL = `
WITH pair AS MATERIALIZED (
  SELECT i.entry_id, i.one, i.other
  FROM unnest($2::uuid[], $3::uuid[], $4::uuid[]) AS i (entry_id, one, other)
  WHERE NOT EXISTS (SELECT FROM hub.code_join j WHERE j.entry_id = i.entry_id AND j.motive = 'SEPARAZIONE')
), subject AS MATERIALIZED (
  SELECT u.id, (` + lastToldSQL + `) AS epoch FROM (SELECT one FROM pair UNION SELECT other FROM pair) AS u (id)
), told AS MATERIALIZED (
  SELECT p.entry_id, p.one, p.other, greatest(j.subject_epoch, a.epoch) AS subject_epoch, greatest(j.joined_epoch, b.epoch) AS joined_epoch
  FROM pair p
  LEFT JOIN hub.code_join j ON j.entry_id = p.entry_id AND j.motive = 'UNIONE'
  LEFT JOIN subject a ON a.id = j.subject_id
  LEFT JOIN subject b ON b.id = j.joined_id
), message AS (
  INSERT INTO hub.code_message (id, environment, motive, state, due_at, created_at)
  SELECT $5, $1, 'SEPARAZIONE', 'pending', clock.now, clock.now
  FROM (SELECT hub.hub_now() AS now) AS clock
  WHERE EXISTS (SELECT FROM told t WHERE t.subject_epoch IS NOT NULL)
)
INSERT INTO hub.code_join (entry_id, motive, message_id, subject_id, subject_epoch, joined_id, joined_epoch)
SELECT t.entry_id, 'SEPARAZIONE', CASE WHEN t.subject_epoch IS NOT NULL THEN $5::uuid END, t.one, t.subject_epoch, t.other, t.joined_epoch
FROM told t`

// Separate journals that joins were undone, and has SISS told of those that it was told of, or is about to be:
// the same codes, or those that it was told since continue them, SEPARAZIONE. Repeated, it writes the entry alone.
func (s *Store) Separate(ctx context.Context, env hub.Environment, pairs []JoinedPair, entry journal.Entry) error {
	var entries, ones, others uuids
	for _, p := range pairs {
		entries, ones, others = entries.add(p.Entry), ones.add(p.One), others.add(p.Other)
	}
	return s.act(ctx, entry, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, planLockSQL, int64(env)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, separateSQL, env, entries, ones, others, [16]byte(uuid.New()))
		return err
	})
}

const frozenSQL = `
SELECT u.id,
  EXISTS (SELECT FROM hub.adoption a JOIN hub.case_file c ON c.id = a.case_id WHERE c.subject_id = u.id),
  EXISTS (SELECT FROM hub.others_check q JOIN hub.event e ON e.id = q.message_id WHERE e.subject_id = u.id)
FROM unnest($1::uuid[]) AS u (id)`

// Freeze is what is known of whether subjects were adopted.
type Freeze struct {
	// Frozen are those that were, as any case of theirs says, annulled or not.
	Frozen map[uuid.UUID]bool
	// Unknown are those of which an event was accepted just now that is still to be looked at (LookAcross).
	Unknown map[uuid.UUID]bool
}

// Frozen tells which of the subjects were adopted.
func (s *Store) Frozen(ctx context.Context, subjects []uuid.UUID) (Freeze, error) {
	f := Freeze{Frozen: map[uuid.UUID]bool{}, Unknown: map[uuid.UUID]bool{}}
	rows, err := s.pool.Query(ctx, frozenSQL, uuidColumn(subjects))
	if err != nil {
		return f, unavailable(err)
	}
	var id uuid.UUID
	var adopted, waits bool
	_, err = pgx.ForEachRow(rows, []any{&id, &adopted, &waits}, func() error {
		if adopted {
			f.Frozen[id] = true
		} else if waits {
			f.Unknown[id] = true
		}
		return nil
	})
	if err != nil {
		return f, unavailable(err)
	}
	return f, nil
}

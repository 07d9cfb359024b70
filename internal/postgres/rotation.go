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

// KeyState is what has become of an epoch of a key (hub.key_epoch).
type KeyState string

// The states, in the order in which an epoch has them. Telling is of a domain's codes only.
const (
	KeyMade      KeyState = "made"
	KeyTelling   KeyState = "telling"
	KeyActive    KeyState = "active"
	KeyFormer    KeyState = "former"
	KeyDestroyed KeyState = "destroyed"
)

// KeyEpoch is one epoch of a key.
type KeyEpoch struct {
	// Name is the key's, as pseudonym has it, or journal.
	Name  string
	Epoch int32
	State KeyState
	// MadeAt and the times below are when it came into each state; zero if it did not.
	MadeAt, ActiveAt, FormerAt, DestroyedAt time.Time
	// ToldAt is when everybody who has to know of a domain's new codes knew.
	ToldAt time.Time
}

// ErrKeyState says that an epoch of a key is in another state than a command goes on from.
var ErrKeyState = errors.New("the key's epoch is in another state meanwhile: see keys status")

const keyEpochsSQL = `
SELECT k.name, k.epoch, k.state, k.made_at, k.active_at, k.former_at, k.destroyed_at, k.told_at
FROM hub.key_epoch k
WHERE k.environment = $1
ORDER BY k.name, k.epoch`

// KeyEpochs lists the epochs that the database knows. A key that never was rotated has none: its first is
// in use.
func (s *Store) KeyEpochs(ctx context.Context, env hub.Environment) ([]KeyEpoch, error) {
	rows, err := s.pool.Query(ctx, keyEpochsSQL, env)
	if err != nil {
		return nil, fmt.Errorf("read epochs of keys: %w", masked(err))
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k KeyEpoch, err error) {
		var active, former, destroyed, told *time.Time
		err = row.Scan(&k.Name, &k.Epoch, &k.State, &k.MadeAt, &active, &former, &destroyed, &told)
		for from, to := range map[*time.Time]*time.Time{active: &k.ActiveAt, former: &k.FormerAt, destroyed: &k.DestroyedAt, told: &k.ToldAt} {
			if from != nil {
				*to = *from
			}
		}
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("read epochs of keys: %w", masked(err))
	}
	return all, nil
}

// FirstEpoch is the one in use of a key that never was rotated: it gets its row with the first step of another.
const FirstEpoch int32 = 1

// KeyStep is a step of an epoch from one state into another. It stands in the journal with it.
type KeyStep struct {
	Environment hub.Environment
	Name        string
	Epoch       int32
	// From is empty for an epoch that the database does not know.
	From, To KeyState
	// FirstMade is when FirstEpoch was made, zero if nothing tells.
	FirstMade time.Time
	Entry     journal.Entry
}

const firstEpochSQL = `
INSERT INTO hub.key_epoch (environment, name, epoch, state, made_at, active_at)
SELECT $1, $2, $3, 'active', c.made, c.made
FROM (SELECT least($4::timestamptz, hub.hub_now()) AS made) c
WHERE NOT EXISTS (SELECT FROM hub.key_epoch k WHERE k.environment = $1 AND k.name = $2)`

const makeEpochSQL = `
INSERT INTO hub.key_epoch (environment, name, epoch, state, made_at)
VALUES ($1, $2, $3, 'made', hub.hub_now())
ON CONFLICT DO NOTHING`

const retireEpochSQL = `
UPDATE hub.key_epoch k
SET state = 'former', former_at = hub.hub_now()
WHERE k.environment = $1 AND k.name = $2 AND k.state = 'active'`

const stepEpochSQL = `
UPDATE hub.key_epoch k
SET state = $5,
  active_at = CASE WHEN $5 = 'active' THEN hub.hub_now() ELSE k.active_at END,
  destroyed_at = CASE WHEN $5 = 'destroyed' THEN hub.hub_now() END
WHERE k.environment = $1 AND k.name = $2 AND k.epoch = $3 AND k.state = $4`

// StepKey takes an epoch a step further and writes its entry, both or neither. The one in use becomes
// former when another one does. ErrKeyState if the epoch is not where the step begins.
func (s *Store) StepKey(ctx context.Context, step KeyStep) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var made *time.Time
	if !step.FirstMade.IsZero() {
		made = &step.FirstMade
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, firstEpochSQL, step.Environment, step.Name, FirstEpoch, made); err != nil {
			return err
		}
		if step.To == KeyActive {
			if _, err := tx.Exec(ctx, retireEpochSQL, step.Environment, step.Name); err != nil {
				return err
			}
		}
		sql, args := stepEpochSQL, []any{step.Environment, step.Name, step.Epoch, step.From, step.To}
		if step.From == "" {
			sql, args = makeEpochSQL, args[:3]
		}
		tag, err := tx.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() != 1 {
			return ErrKeyState
		}
		if err != nil {
			return err
		}
		e := step.Entry
		_, err = tx.Exec(ctx, journalOpeningSQL, e.ID, e.At.Truncate(time.Microsecond), int16(e.Kind), e.Message, e.Bytes())
		return err
	})
	if errors.Is(err, ErrKeyState) {
		return ErrKeyState
	}
	if err != nil {
		return fmt.Errorf("change the state of a key: %w", masked(err))
	}
	return nil
}

// Held is what one running instance says of its keys.
type Held struct {
	Environment hub.Environment
	Instance    uuid.UUID
	// Epochs are those it holds by the key's name, InUse the one it uses.
	Epochs map[string][]int32
	InUse  map[string]int32
}

const holdKeysSQL = `
WITH i AS MATERIALIZED (
  SELECT u.name, u.epoch, u.in_use FROM unnest($3::text[], $4::integer[], $5::boolean[]) AS u (name, epoch, in_use)
), gone AS (
  -- what this instance holds no more, and instances that ended long ago
  DELETE FROM hub.key_holder h
  WHERE h.environment = $1 AND (
    h.instance = $2 AND NOT EXISTS (SELECT FROM i WHERE i.name = h.name AND i.epoch = h.epoch)
    OR h.seen_at < hub.hub_now() - interval '1 day')
)
INSERT INTO hub.key_holder AS h (environment, instance, name, epoch, in_use, seen_at)
SELECT $1, $2, i.name, i.epoch, i.in_use, hub.hub_now() FROM i
ON CONFLICT (environment, instance, name, epoch) DO UPDATE SET in_use = EXCLUDED.in_use, seen_at = EXCLUDED.seen_at`

// HoldKeys says which keys an instance holds and uses. With none it says that the instance has ended.
func (s *Store) HoldKeys(ctx context.Context, h Held) error {
	var names []string
	var epochs []int32
	var used []bool
	for name, all := range h.Epochs {
		for _, epoch := range all {
			names, epochs, used = append(names, name), append(epochs, epoch), append(used, h.InUse[name] == epoch)
		}
	}
	if _, err := s.pool.Exec(ctx, holdKeysSQL, h.Environment, [16]byte(h.Instance), names, epochs, used); err != nil {
		return fmt.Errorf("say which keys are held: %w", masked(err))
	}
	return nil
}

// Holders is how many running instances hold an epoch, and use it, of how many.
type Holders struct{ Running, Holding, Using int }

const holdersSQL = `
SELECT count(DISTINCT h.instance),
  count(DISTINCT h.instance) FILTER (WHERE h.name = $2 AND h.epoch = $3),
  count(DISTINCT h.instance) FILTER (WHERE h.name = $2 AND h.epoch = $3 AND h.in_use)
FROM hub.key_holder h
WHERE h.environment = $1 AND h.seen_at > hub.hub_now() - $4::bigint * interval '1 microsecond'`

// KeyHolders counts the instances that said something within a time.
func (s *Store) KeyHolders(ctx context.Context, env hub.Environment, name string, epoch int32, within time.Duration) (h Holders, err error) {
	err = s.pool.QueryRow(ctx, holdersSQL, env, name, epoch, within.Microseconds()).Scan(&h.Running, &h.Holding, &h.Using)
	if err != nil {
		return h, fmt.Errorf("count the holders of a key: %w", masked(err))
	}
	return h, nil
}

// Dependents is what an epoch of a domain's codes is needed for.
type Dependents struct {
	// Events are those whose regional or, of SISS's codes, whose delivery's bytes may have to be made again;
	// Cases have ids or facts made with it.
	Events, Cases int64
	// Codes are pairs that SISS is still to be told of or refused, and joins that only a code of this epoch
	// could take back.
	Codes int64
}

// No part reads on behind the number that is enough, and of an epoch without rows none reads more than the
// summaries of blocks and what came since they were made (BRIN).
const regionDependentsSQL = `
SELECT (SELECT count(*) FROM
    (SELECT FROM hub.event e WHERE e.environment = $1 AND e.region_epoch = $2 LIMIT $3) AS needing),
  (SELECT count(*) FROM
    (SELECT FROM hub.case_file c WHERE c.environment = $1 AND c.facts_epoch = $2 LIMIT $3) AS needing), 0`

// A communication is rows: its codes are made when it is sent, in each attempt.
const nationDependentsSQL = `
SELECT (SELECT count(*) FROM
    (SELECT FROM hub.delivery d WHERE d.environment = $1 AND (d.nation_epoch = $2 OR d.ids_epoch = $2) LIMIT $3) AS needing),
  (SELECT count(*) FROM
    (SELECT FROM hub.case_file c WHERE c.environment = $1 AND c.nation_epoch = $2 LIMIT $3) AS needing),
  (SELECT count(*) FROM (
    SELECT FROM hub.code_message m JOIN hub.code_change g ON g.message_id = m.id
    WHERE m.environment = $1 AND m.state <> 'told' AND $2 IN (g.from_epoch, g.to_epoch)
    UNION ALL
    SELECT FROM hub.code_message m JOIN hub.code_join j ON j.message_id = m.id
    WHERE m.environment = $1 AND m.state <> 'told' AND $2 IN (j.subject_epoch, j.joined_epoch)
    UNION ALL
    SELECT FROM hub.code_message m
    JOIN hub.code_join j ON j.message_id = m.id AND j.motive = 'UNIONE'
    CROSS JOIN LATERAL (VALUES (j.subject_id, j.subject_epoch), (j.joined_id, j.joined_epoch)) AS u (id, epoch)
    WHERE m.environment = $1 AND m.state = 'told'
      AND NOT EXISTS (SELECT FROM hub.code_join s WHERE s.entry_id = j.entry_id AND s.motive = 'SEPARAZIONE')
      AND $2 = greatest(u.epoch, (` + lastToldSQL + `))
    LIMIT $3) AS needing)`

// CodesDependents counts what an epoch of a domain's codes is needed for, of each kind at most so many.
func (s *Store) CodesDependents(ctx context.Context, env hub.Environment, name string, epoch int32, most int) (d Dependents, err error) {
	sql := nationDependentsSQL
	if name == "code-region" {
		sql = regionDependentsSQL
	}
	if err = s.pool.QueryRow(ctx, sql, env, epoch, most).Scan(&d.Events, &d.Cases, &d.Codes); err != nil {
		return d, fmt.Errorf("count what depends on a key: %w", masked(err))
	}
	return d, nil
}

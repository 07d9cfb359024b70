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

// CodeChange is one pair of codes: a subject's of an epoch, and of a later one; of a join, the two subjects'.
type CodeChange struct {
	Subject, Next uuid.UUID
	From, To      int32
}

// CodeMessage is one communication of changed codes, held under a lease.
type CodeMessage struct {
	// ID is IdComunicazione.
	ID       uuid.UUID
	Lease    uuid.UUID
	Attempts int32
	// Motive is why: MotiveRotation, MotiveJoin or MotiveSeparation.
	Motive string
	// Changes are its pairs in their order, the same in every attempt.
	Changes []CodeChange
}

// MostChanges is how many pairs a communication has at most (ComunicazioneCodiciType).
const MostChanges = 1000

const tellingSQL = `
SELECT k.epoch
FROM hub.key_epoch k
WHERE k.environment = $1 AND k.name = 'code-nation' AND k.state IN ('telling', 'active') AND k.epoch > 1
  -- also when a straggler was planned behind the others
  AND (k.told_at IS NULL OR EXISTS (SELECT FROM hub.code_message m WHERE m.environment = $1 AND m.state = 'pending'))
ORDER BY k.epoch DESC
LIMIT 1`

// Telling is the epoch of SISS's codes that it is being told of, 0 for none.
func (s *Store) Telling(ctx context.Context, env hub.Environment) (epoch int32, err error) {
	err = s.pool.QueryRow(ctx, tellingSQL, env).Scan(&epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for codes to tell: %w", masked(err))
	}
	return epoch, nil
}

// One process at a time plans: two would give one subject to two communications.
const planLockSQL = `
SELECT pg_advisory_xact_lock(hashtextextended('sinbahub/codes', $1))`

// Whose code SISS may have under an earlier epoch and was not told the new one for. From is the last code
// that it had or was told.
const planSQL = `
WITH fresh AS MATERIALIZED (
  SELECT c.subject_id, max(d.nation_epoch) AS used
  FROM hub.case_file c
  JOIN hub.event e ON e.case_id = c.id
  JOIN hub.delivery d ON d.message_id = e.id AND d.nation_epoch < $2
  WHERE c.environment = $1 AND c.subject_id > $4
    AND NOT EXISTS (SELECT FROM hub.code_change g WHERE g.subject_id = c.subject_id AND g.to_epoch >= $2)
  GROUP BY c.subject_id
  ORDER BY c.subject_id
  LIMIT $5
), message AS (
  INSERT INTO hub.code_message (id, environment, to_epoch, state, due_at, created_at)
  SELECT $3, $1, $2, 'pending', clock.now, clock.now
  FROM (SELECT hub.hub_now() AS now) AS clock
  WHERE EXISTS (SELECT FROM fresh)
), planned AS (
  INSERT INTO hub.code_change (subject_id, to_epoch, from_epoch, message_id)
  SELECT f.subject_id, $2, greatest(f.used, coalesce(
    (SELECT max(g.to_epoch) FROM hub.code_change g WHERE g.subject_id = f.subject_id), 0)), $3
  FROM fresh f
  RETURNING subject_id
)
SELECT p.subject_id FROM planned p ORDER BY p.subject_id DESC`

// PlanCodes makes one communication of subjects after a given one whose codes changed with an epoch. It
// returns how many there are, and the last of them: the next call goes on behind it.
func (s *Store) PlanCodes(ctx context.Context, env hub.Environment, epoch int32, after uuid.UUID) (n int, last uuid.UUID, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, planLockSQL, int64(env)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, planSQL, env, epoch, [16]byte(uuid.New()), [16]byte(after), MostChanges)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		if n = len(all); n > 0 {
			last = all[0]
		}
		return err
	})
	if err != nil {
		return 0, uuid.Nil, fmt.Errorf("plan the telling of codes: %w", masked(err))
	}
	return n, last, nil
}

const codePlannedSQL = `
SELECT coalesce((
  SELECT k.epoch
  FROM hub.key_epoch k
  WHERE k.environment = $1 AND k.name = 'code-nation' AND k.state = 'active' AND k.epoch > $3
    AND NOT EXISTS (SELECT FROM hub.code_change g WHERE g.subject_id = $2 AND g.to_epoch >= k.epoch)
), 0)`

// From is as in planSQL.
const planOneSQL = `
WITH message AS (
  INSERT INTO hub.code_message (id, environment, to_epoch, state, due_at, created_at)
  SELECT $5, $1, $3, 'pending', clock.now, clock.now
  FROM (SELECT hub.hub_now() AS now) AS clock
  WHERE NOT EXISTS (SELECT FROM hub.code_change g WHERE g.subject_id = $2 AND g.to_epoch >= $3)
  RETURNING id
)
INSERT INTO hub.code_change (subject_id, to_epoch, from_epoch, message_id)
SELECT $2, $3, greatest($4, coalesce((SELECT max(g.to_epoch) FROM hub.code_change g WHERE g.subject_id = $2), 0)), m.id
FROM message m`

// PlanCode makes a communication of its own for a subject of whom an event with the code of an earlier epoch
// than the one in use is about to leave, unless one says already which code continues it. Of most it does.
func (s *Store) PlanCode(ctx context.Context, env hub.Environment, subject uuid.UUID, from int32) error {
	var epoch int32
	err := s.pool.QueryRow(ctx, codePlannedSQL, env, [16]byte(subject), from).Scan(&epoch)
	if err == nil && epoch != 0 {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, planLockSQL, int64(env)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, planOneSQL, env, [16]byte(subject), epoch, from, [16]byte(uuid.New()))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("plan the telling of a code: %w", masked(err))
	}
	return nil
}

const claimCodesSQL = `
UPDATE hub.code_message m
SET lease = gen_random_uuid(), attempts = m.attempts + 1, due_at = hub.hub_now() + $2::bigint * interval '1 microsecond'
FROM (
  SELECT m.id FROM hub.code_message m
  WHERE m.environment = $1 AND m.state = 'pending' AND m.due_at <= hub.hub_now()
    -- a separation goes out behind the join that it takes back
    AND NOT ` + separationWaits + `
  ORDER BY m.due_at
  LIMIT 1
  FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE m.id = due.id
RETURNING m.id, m.lease, m.attempts, m.motive`

const codesOfSQL = `
SELECT g.subject_id, g.subject_id AS next_id, g.from_epoch, g.to_epoch
FROM hub.code_change g
WHERE g.message_id = $1
UNION ALL
SELECT j.subject_id, j.joined_id, j.subject_epoch, j.joined_epoch
FROM hub.code_join j
WHERE j.message_id = $1
ORDER BY 1, 2`

// ClaimCodes takes a communication that is due under a lease; nil if none is.
func (s *Store) ClaimCodes(ctx context.Context, env hub.Environment, lease time.Duration) (*CodeMessage, error) {
	m := &CodeMessage{}
	err := s.pool.QueryRow(ctx, claimCodesSQL, env, lease.Microseconds()).Scan(&m.ID, &m.Lease, &m.Attempts, &m.Motive)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nothing is due
	}
	if err == nil {
		var rows pgx.Rows
		if rows, err = s.pool.Query(ctx, codesOfSQL, m.ID); err == nil {
			m.Changes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c CodeChange, err error) {
				err = row.Scan(&c.Subject, &c.Next, &c.From, &c.To)
				return c, err
			})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim codes to tell: %w", masked(err))
	}
	return m, nil
}

// ToldCodes is what became of an attempt to tell.
type ToldCodes struct {
	Message *CodeMessage
	// State is told, refused, or pending for another attempt after RetryIn.
	State   string
	RetryIn time.Duration
	// Codes are SISS's, separated by blanks.
	Codes string
	Entry journal.Entry
}

const settleCodesSQL = `
WITH settled AS (
  UPDATE hub.code_message m
  SET state = $3, lease = NULL, codes = nullif($4, ''),
    due_at = hub.hub_now() + $5::bigint * interval '1 microsecond',
    settled_at = CASE WHEN $3 <> 'pending' THEN hub.hub_now() END
  WHERE m.id = $1 AND m.lease = $2
  RETURNING m.id
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, body)
  SELECT $6, $7, $8, $9 FROM settled
  RETURNING id, at
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
SELECT entered.id, entered.at FROM entered`

// SettleCodes writes what became of an attempt with its entry. A lease that is over settles nothing.
func (s *Store) SettleCodes(ctx context.Context, t ToldCodes) error {
	e := t.Entry
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		_, err := conn.Exec(ctx, settleCodesSQL, t.Message.ID, t.Message.Lease, t.State, t.Codes, t.RetryIn.Microseconds(),
			e.ID, e.At.Truncate(time.Microsecond), int16(e.Kind), e.Bytes())
		if err != nil {
			return err
		}
		return checkWarning(conn)
	})
	if err != nil {
		return fmt.Errorf("settle codes that were told: %w", masked(err))
	}
	return nil
}

const toldSQL = `
SELECT EXISTS (
    SELECT FROM hub.code_change g JOIN hub.code_message m ON m.id = g.message_id
    WHERE g.subject_id = $2 AND g.to_epoch >= $3 AND m.state = 'told'
  -- or nobody accepts under an earlier epoch any more, and nobody did of this subject
  ) OR NOT EXISTS (
    SELECT FROM hub.key_holder h
    WHERE h.environment = $1 AND h.name = 'code-nation' AND h.in_use AND h.epoch < $3
      AND h.seen_at > hub.hub_now() - $4::bigint * interval '1 microsecond'
  ) AND NOT EXISTS (
    SELECT FROM hub.case_file c
    JOIN hub.event e ON e.case_id = c.id
    JOIN hub.delivery d ON d.message_id = e.id
    WHERE c.subject_id = $2 AND c.environment = $1 AND d.nation_epoch < $3
  )`

// CodeTold tells whether SISS may get an event with a subject's code of an epoch: it was told which earlier
// code that continues, or there is no earlier one and, of the instances that said something within a time,
// none makes one.
func (s *Store) CodeTold(ctx context.Context, env hub.Environment, subject uuid.UUID, epoch int32, within time.Duration) (told bool, err error) {
	if err = s.pool.QueryRow(ctx, toldSQL, env, [16]byte(subject), epoch, within.Microseconds()).Scan(&told); err != nil {
		return false, fmt.Errorf("look for a told code: %w", masked(err))
	}
	return told, nil
}

// TellingProgress is how far the telling of an epoch is: subjects by what became of their communications.
type TellingProgress struct{ Told, Waiting, Refused int64 }

const tellingProgressSQL = `
SELECT count(*) FILTER (WHERE m.state = 'told'), count(*) FILTER (WHERE m.state = 'pending'), count(*) FILTER (WHERE m.state = 'refused')
FROM hub.code_message m
JOIN hub.code_change g ON g.message_id = m.id
WHERE m.environment = $1 AND m.to_epoch = $2`

// TellingProgress counts.
func (s *Store) TellingProgress(ctx context.Context, env hub.Environment, epoch int32) (p TellingProgress, err error) {
	if err = s.pool.QueryRow(ctx, tellingProgressSQL, env, epoch).Scan(&p.Told, &p.Waiting, &p.Refused); err != nil {
		return p, fmt.Errorf("count told codes: %w", masked(err))
	}
	return p, nil
}

const retellSQL = `
UPDATE hub.code_message m
SET state = 'pending', settled_at = NULL, due_at = hub.hub_now()
WHERE m.environment = $1 AND m.to_epoch = $2 AND m.state = 'refused'`

// TellAgain makes communications that SISS refused due again, as they are.
func (s *Store) TellAgain(ctx context.Context, env hub.Environment, epoch int32) error {
	if _, err := s.pool.Exec(ctx, retellSQL, env, epoch); err != nil {
		return fmt.Errorf("tell codes again: %w", masked(err))
	}
	return nil
}

const allToldSQL = `
UPDATE hub.key_epoch k
SET told_at = hub.hub_now()
WHERE k.environment = $1 AND k.name = 'code-nation' AND k.epoch = $2 AND k.state = 'active'
  AND NOT EXISTS (SELECT FROM hub.code_message m WHERE m.environment = $1 AND m.to_epoch = $2 AND m.state <> 'told')`

// AllTold notes that SISS knows every code that changed with an epoch; false if it does not.
func (s *Store) AllTold(ctx context.Context, env hub.Environment, epoch int32) (bool, error) {
	tag, err := s.pool.Exec(ctx, allToldSQL, env, epoch)
	if err != nil {
		return false, fmt.Errorf("note that codes were told: %w", masked(err))
	}
	return tag.RowsAffected() == 1, nil
}

const unplannedSQL = `
SELECT EXISTS (
  SELECT FROM hub.case_file c
  JOIN hub.event e ON e.case_id = c.id
  JOIN hub.delivery d ON d.message_id = e.id AND d.nation_epoch < $2
  WHERE c.environment = $1
    AND c.created_at < (SELECT k.made_at FROM hub.key_epoch k WHERE k.environment = $1 AND k.name = 'code-nation' AND k.epoch = $2)
    AND NOT EXISTS (SELECT FROM hub.code_change g WHERE g.subject_id = c.subject_id AND g.to_epoch >= $2)
)`

// CodesUnplanned tells whether there is a subject, known before an epoch was made, whose code changes with it
// and that stands in no communication. Those who come later are told of once the epoch is in use.
func (s *Store) CodesUnplanned(ctx context.Context, env hub.Environment, epoch int32) (left bool, err error) {
	if err = s.pool.QueryRow(ctx, unplannedSQL, env, epoch).Scan(&left); err != nil {
		return false, fmt.Errorf("look for codes to tell: %w", masked(err))
	}
	return left, nil
}

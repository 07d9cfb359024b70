package pseudonym

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Pair is a join with its subjects, for who tells the recipients of their codes.
type Pair struct {
	// Entry is the id of the journal's entry, and the join's name.
	Entry uuid.UUID
	// One and Other are the subjects; their order says nothing.
	One, Other uuid.UUID
}

const untoldSQL = `
SELECT j.entry_id, j.subject_id, j.joined_id
FROM vault.subject_join j
JOIN vault.subject a ON a.id = j.subject_id
WHERE j.told_at IS NULL AND j.undone_at IS NULL AND j.journaled_at IS NOT NULL AND a.environment = $1 AND j.entry_id > $2
ORDER BY j.entry_id
LIMIT $3`

const toldJoinsSQL = `
UPDATE vault.subject_join
SET told_at = vault.now()
WHERE entry_id = ANY ($1::uuid[]) AND told_at IS NULL`

// TellJoins gives every join that stands in the journal and was not taken over yet to plan, which gives back
// those that it will tell of, and must tolerate repetition: a process that ends in between repeats it.
func (v *Vault) TellJoins(ctx context.Context, plan func(context.Context, []Pair) ([]uuid.UUID, error)) error {
	var after uuid.UUID
	for {
		pairs, err := v.untold(ctx, after)
		if err != nil {
			return unavailable(err)
		}
		if len(pairs) == 0 {
			return nil
		}
		after = pairs[len(pairs)-1].Entry
		planned, err := plan(ctx, pairs)
		if err != nil {
			return unavailable(err)
		}
		if len(planned) == 0 {
			continue
		}
		marking, cancel := context.WithTimeout(ctx, patience)
		_, err = v.pool.Exec(marking, toldJoinsSQL, plain(planned))
		cancel()
		if err != nil {
			return unavailable(err)
		}
	}
}

func (v *Vault) untold(ctx context.Context, after uuid.UUID) ([]Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, untoldSQL, v.environment.String(), [16]byte(after), sweepPage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanPair)
}

const wasJoinedSQL = `
SELECT EXISTS (
  SELECT FROM vault.subject_join j
  JOIN vault.subject s ON s.id = $1 AND s.environment = $2
  WHERE s.id IN (j.subject_id, j.joined_id)
)`

// WasJoined tells whether a subject is, or was, joined to another.
func (v *Vault) WasJoined(ctx context.Context, subject uuid.UUID) (joined bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := v.pool.QueryRow(ctx, wasJoinedSQL, [16]byte(subject), v.environment.String()).Scan(&joined); err != nil {
		return false, unavailable(err)
	}
	return joined, nil
}

const unjoinSQL = `
UPDATE vault.subject_join j
SET undone_at = coalesce(j.undone_at, vault.now())
FROM vault.subject s
WHERE s.id = $1 AND s.environment = $2 AND s.id IN (j.subject_id, j.joined_id)
RETURNING j.entry_id, j.subject_id, j.joined_id`

// Unjoin takes a subject apart from all that it is joined to directly, for good: no later claim joins them
// again. Each of them has its own identities and events still, as joining moves none. It gives the joins that
// are undone, those of before with them, so that it may be repeated.
func (v *Vault) Unjoin(ctx context.Context, subject uuid.UUID) ([]Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, unjoinSQL, [16]byte(subject), v.environment.String())
	if err != nil {
		return nil, unavailable(err)
	}
	pairs, err := pgx.CollectRows(rows, scanPair)
	if err != nil {
		return nil, unavailable(err)
	}
	return pairs, nil
}

func scanPair(row pgx.CollectableRow) (p Pair, err error) {
	err = row.Scan((*[16]byte)(&p.Entry), (*[16]byte)(&p.One), (*[16]byte)(&p.Other))
	return p, err
}

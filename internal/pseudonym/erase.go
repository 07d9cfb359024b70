package pseudonym

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const sameChildSQL = `
WITH RECURSIVE same (id) AS (
    SELECT s.id FROM vault.subject s WHERE s.id = $1 AND s.environment = $2
    UNION
    SELECT CASE WHEN j.subject_id = same.id THEN j.joined_id ELSE j.subject_id END
    FROM same JOIN vault.subject_join j ON same.id IN (j.subject_id, j.joined_id) AND j.undone_at IS NULL
)
SELECT id FROM same ORDER BY id`

// SameChild gives a subject and all that are joined to it, directly or by others, in the order of their ids;
// none if the vault does not hold it.
func (v *Vault) SameChild(ctx context.Context, subject uuid.UUID) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, sameChildSQL, [16]byte(subject), v.environment.String())
	if err != nil {
		return nil, unavailable(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out, nil
}

const knownSQL = `
SELECT l.subject_id
FROM vault.subject_link l JOIN vault.subject s ON s.id = l.subject_id
WHERE l.link_index = ANY ($1::bytea[]) AND s.environment = $2
-- while a key is rotated an identity may have two rows of one subject
LIMIT 1`

// Known gives the subject that an identity stands for, ErrNoSubject if it stands for none. It
// is for a person's question that was journalled.
func (v *Vault) Known(ctx context.Context, index LinkIndex) (uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var id [16]byte
	err := v.pool.QueryRow(ctx, knownSQL, index.sums(), v.environment.String()).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, ErrNoSubject
	}
	if err != nil {
		return uuid.Nil, unavailable(err)
	}
	return id, nil
}

const lockErasedSQL = `
SELECT id
FROM vault.subject
WHERE id = ANY ($1::uuid[]) AND environment = $2
FOR UPDATE SKIP LOCKED`

const remainingSQL = `
SELECT count(*) FROM vault.subject s WHERE s.id = ANY ($1::uuid[]) AND s.environment = $2`

// eraseAgain is how long an erasure steps back from a row that somebody else holds.
const eraseAgain = 20 * time.Millisecond

// Erase destroys subjects: the secret without which nothing sealed for them can be opened, the links that
// lead to them, the identities sealed with these, and their joins. Like the sweep it waits for no lock, so
// that it can be part of no deadlock: it comes again, until ctx ends, to a subject that an acceptance holds.
// It tells how many were there; those that are not, or of another environment, are left alone, so that it
// may be repeated.
func (v *Vault) Erase(ctx context.Context, subjects []uuid.UUID) (erased int, err error) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return erased, ctx.Err()
		case <-again.C:
		}
		var left int
		err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, lockErasedSQL, plain(subjects), v.environment.String())
			if err != nil {
				return err
			}
			locked, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
			if err != nil {
				return err
			}
			n, err := deleteLocked(ctx, tx, locked)
			erased += n
			return errors.Join(err, tx.QueryRow(ctx, remainingSQL, plain(subjects), v.environment.String()).Scan(&left))
		})
		if err != nil {
			return erased, unavailable(err)
		}
		if left == 0 {
			return erased, nil
		}
		again.Reset(eraseAgain)
	}
}

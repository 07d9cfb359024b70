package pseudonym

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// sweepAge is how long a subject may be pending without an event. It is far above the time
	// a request may wait for its COMMIT.
	sweepAge = 10 * time.Minute
	// sweepPage is how many subjects one round of the sweep looks at.
	sweepPage = 500
)

// Exists tells which of the subjects have an event. It is asked of the store, which the vault's
// role cannot see.
type Exists func(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]bool, error)

// Sweep looks at the subjects whose last reservation is older than ten minutes by the
// database's clock: those with an event are confirmed, the others deleted with their links.
// Several processes may sweep at once. It returns how many were deleted, also beside an error.
func (v *Vault) Sweep(ctx context.Context, exists Exists) (deleted int, err error) {
	var after uuid.UUID
	for {
		ids, err := v.stale(ctx, after)
		if err != nil {
			return deleted, unavailable(err)
		}
		if len(ids) == 0 {
			return deleted, nil
		}
		after = ids[len(ids)-1]
		n, err := v.sweepPage(ctx, ids, exists)
		deleted += n
		if err != nil {
			return deleted, unavailable(err)
		}
	}
}

const staleSQL = `
SELECT id
FROM vault.subject
WHERE state = 'pending' AND environment = $1 AND id > $2
    AND reserved_at < (SELECT vault.now()) - $3::interval
ORDER BY id
LIMIT $4`

// stale lists the next subjects to look at.
func (v *Vault) stale(ctx context.Context, after uuid.UUID) ([]uuid.UUID, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, staleSQL, v.environment.String(), [16]byte(after), sweepAge, sweepPage)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out, err
}

// sweepPage confirms those that have an event and deletes the others.
func (v *Vault) sweepPage(ctx context.Context, ids []uuid.UUID, exists Exists) (deleted int, err error) {
	has, err := exists(ctx, ids)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var confirmed, without []uuid.UUID
	for _, id := range ids {
		if has[id] {
			confirmed = append(confirmed, id)
		} else {
			without = append(without, id)
		}
	}
	if len(confirmed) > 0 {
		if _, err := v.confirmIDs(ctx, confirmed); err != nil {
			return 0, err
		}
	}
	if len(without) == 0 {
		return 0, nil
	}
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		deleted, err = deleteStale(ctx, tx, without)
		return err
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// The sweep waits for nobody, so it can be part of no deadlock: a subject or link that somebody
// has locked is being reserved or confirmed, and is left for another time. The age is judged
// again on the locked row: a reservation made since the subject was listed keeps it.
const lockStaleSQL = `
SELECT id
FROM vault.subject
WHERE id = ANY ($1::uuid[]) AND state = 'pending'
    AND reserved_at < (SELECT vault.now()) - $2::interval
FOR UPDATE SKIP LOCKED`

const lockLinksSQL = `
SELECT link_index
FROM vault.subject_link
WHERE subject_id = ANY ($1::uuid[])
FOR UPDATE SKIP LOCKED`

// A subject goes only with all its links.
const deleteLinksSQL = `
DELETE FROM vault.subject_link l
WHERE l.link_index = ANY ($1::bytea[])
    AND NOT EXISTS (
        SELECT FROM vault.subject_link o
        WHERE o.subject_id = l.subject_id AND o.link_index <> ALL ($1::bytea[])
    )`

const deleteSubjectsSQL = `
DELETE FROM vault.subject s
WHERE s.id = ANY ($1::uuid[])
    AND NOT EXISTS (SELECT FROM vault.subject_link l WHERE l.subject_id = s.id)`

// deleteStale deletes, of the given subjects, those that are still stale and free.
func deleteStale(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (int, error) {
	rows, err := tx.Query(ctx, lockStaleSQL, plain(ids), sweepAge)
	if err != nil {
		return 0, err
	}
	locked, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return 0, err
	}
	return deleteLocked(ctx, tx, locked)
}

// deleteLocked deletes those of the subjects, whose rows the transaction holds, that have no link which somebody
// else holds.
func deleteLocked(ctx context.Context, tx pgx.Tx, locked [][16]byte) (int, error) {
	rows, err := tx.Query(ctx, lockLinksSQL, locked)
	if err != nil {
		return 0, err
	}
	links, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, deleteLinksSQL, links); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, deleteSubjectsSQL, locked)
	return int(tag.RowsAffected()), err
}

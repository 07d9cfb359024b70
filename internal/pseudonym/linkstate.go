package pseudonym

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// ErrLinksNeeded says that rows of a key of the link index are still needed.
var ErrLinksNeeded = errors.New("vault: this key of the link index decides, or is coming into use")

// MostCounted bounds what is counted of the rows that need a key: whether there are any matters, and that
// they are many.
const MostCounted = 1000

// A row of a key that does not decide is needed if its subject has none of the key that does. Rows of a key
// that decides all are, so that no more than $3 of them are read; of a former key each part reads an index
// in which those that are not needed do not stand between.
const linkDependentsSQL = `
SELECT count(*) FROM (
    SELECT FROM vault.link_state st
    CROSS JOIN LATERAL (
        SELECT l.subject_id FROM vault.subject_link l
        WHERE l.key_epoch = $2 AND l.reindexed_epoch IS NULL
        UNION ALL
        SELECT l.subject_id FROM vault.subject_link l
        WHERE l.key_epoch = $2 AND l.reindexed_epoch < st.active_epoch
        UNION ALL
        SELECT l.subject_id FROM vault.subject_link l
        WHERE l.key_epoch = $2 AND l.reindexed_epoch > st.active_epoch
        UNION ALL
        SELECT l.subject_id FROM vault.subject_link l
        WHERE l.key_epoch = $2 AND l.reindexed_epoch = st.active_epoch AND (st.active_epoch = $2 OR st.next_epoch = $2)
    ) AS n
    JOIN vault.subject s ON s.id = n.subject_id AND s.environment = $1
    WHERE st.environment = $1
    LIMIT $3
) AS needing`

// LinkDependents counts the identities that would not be found any more without an epoch of the key, up to
// one more than MostCounted.
func LinkDependents(ctx context.Context, pool *pgxpool.Pool, env hub.Environment, epoch int32) (n int64, err error) {
	if err = pool.QueryRow(ctx, linkDependentsSQL, env.String(), epoch, MostCounted+1).Scan(&n); err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

const sealDependentsSQL = `
SELECT count(*) FROM (
    SELECT FROM vault.epoch_key k WHERE k.environment = $1 AND k.opener_epoch = $2 LIMIT $3
) AS needing`

// SealDependents counts the epoch keys that only a private half of the opener opens, up to one more than
// MostCounted.
func SealDependents(ctx context.Context, pool *pgxpool.Pool, env hub.Environment, epoch int32) (n int64, err error) {
	if err = pool.QueryRow(ctx, sealDependentsSQL, env.String(), epoch, MostCounted+1).Scan(&n); err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

// errPairClosed says that an epoch key was sealed to a pair that was destroyed meanwhile.
var errPairClosed = errors.New("vault: the opener's pair of this epoch key was destroyed: take in which one is in use")

// ErrPairNeeded says that epoch keys are sealed to a pair that would be closed.
var ErrPairNeeded = errors.New("vault: epoch keys are still sealed to this pair of the opener: seal them again first")

const closePairSQL = `
UPDATE vault.seal_state st
SET oldest_epoch = greatest(st.oldest_epoch, $2::integer + 1), changed_at = vault.now()
WHERE st.environment = $1`

// ClosePair has no epoch key recorded for a pair of the opener, or an earlier one, any more. ErrPairNeeded,
// and no change, if one stands: what was sealed under it would be lost with the pair.
func ClosePair(ctx context.Context, pool *pgxpool.Pool, env hub.Environment, epoch int32) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, closePairSQL, env.String(), epoch); err != nil {
			return err
		}
		// A statement of its own: its snapshot has what was recorded before the row was locked.
		var n int64
		if err := tx.QueryRow(ctx, sealDependentsSQL, env.String(), epoch, 1).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ErrPairNeeded
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrPairNeeded) {
		return unavailable(err)
	}
	return err
}

// In pages: nobody waits for long. Only what was indexed under the key that decides goes.
const deleteLinksOfSQL = `
DELETE FROM vault.subject_link l
USING (
    SELECT o.link_index
    FROM vault.subject_link o
    JOIN vault.subject s ON s.id = o.subject_id AND s.environment = $1
    JOIN vault.link_state st ON st.environment = $1
    WHERE o.key_epoch = $2 AND st.active_epoch > $2 AND st.next_epoch IS NULL
        AND o.reindexed_epoch = st.active_epoch
    LIMIT 1000
    FOR UPDATE OF o SKIP LOCKED
) AS page
WHERE l.link_index = page.link_index`

// DeleteLinks deletes the rows of an epoch that does not decide any more. ErrLinksNeeded, and whatever is
// not needed is gone, if some are.
func DeleteLinks(ctx context.Context, pool *pgxpool.Pool, env hub.Environment, epoch int32) error {
	for {
		tag, err := pool.Exec(ctx, deleteLinksOfSQL, env.String(), epoch)
		if err != nil {
			return unavailable(err)
		}
		if tag.RowsAffected() > 0 {
			continue
		}
		n, err := LinkDependents(ctx, pool, env, epoch)
		if err == nil && n > 0 {
			err = ErrLinksNeeded
		}
		return err
	}
}

// LinkState is which key of the link index decides, and which one comes into use (0: none).
type LinkState struct{ Active, Next int32 }

const linkStateSQL = `
SELECT active_epoch, coalesce(next_epoch, 0) FROM vault.link_state WHERE environment = $1`

// ReadLinkState reads it.
func ReadLinkState(ctx context.Context, pool *pgxpool.Pool, env hub.Environment) (s LinkState, err error) {
	if err = pool.QueryRow(ctx, linkStateSQL, env.String()).Scan(&s.Active, &s.Next); err != nil {
		return s, unavailable(err)
	}
	return s, nil
}

// goAloneSQL waits for the transactions that go by the keys as they are, and keeps others out.
const goAloneSQL = `
SELECT pg_advisory_xact_lock(hashtextextended('sinbahub/link', $1))`

const nextEpochSQL = `
UPDATE vault.link_state
SET next_epoch = $2, changed_at = vault.now()
WHERE environment = $1 AND active_epoch < $2 AND next_epoch IS NULL`

const switchEpochSQL = `
UPDATE vault.link_state st
SET active_epoch = $2, next_epoch = NULL, changed_at = vault.now()
WHERE st.environment = $1 AND st.next_epoch = $2
    AND NOT EXISTS (
        SELECT FROM vault.subject_link l
        JOIN vault.subject s ON s.id = l.subject_id AND s.environment = $1
        WHERE l.key_epoch = st.active_epoch AND l.reindexed_epoch IS NULL
    )`

// ErrLinkState says that the link index is not where a step begins: another key is coming into use, or not
// every identity is indexed under the new one.
var ErrLinkState = errors.New("vault: another key of the link index is coming into use, or identities are not indexed under it yet")

// change runs one statement alone.
func (v *OpenerVault) change(ctx context.Context, sql string, epoch int32) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, goAloneSQL, lockOf(v.environment)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sql, v.environment.String(), epoch)
		changed = err == nil && tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, unavailable(err)
	}
	return changed, nil
}

// BeginReindex has every identity that comes from now on indexed under an epoch of the key, too. It may be
// repeated. done says that the epoch decides already.
func (v *OpenerVault) BeginReindex(ctx context.Context, epoch int32) (done bool, err error) {
	if _, err := v.change(ctx, nextEpochSQL, epoch); err != nil {
		return false, err
	}
	state, err := ReadLinkState(ctx, v.pool, v.environment)
	switch {
	case err != nil:
		return false, err
	case state.Active == epoch:
		return true, nil
	case state.Next != epoch:
		return false, ErrLinkState
	}
	return false, nil
}

// EndReindex makes the epoch the one that decides. ErrLinkState if an identity lacks its index.
func (v *OpenerVault) EndReindex(ctx context.Context, epoch int32) error {
	changed, err := v.change(ctx, switchEpochSQL, epoch)
	if err == nil && !changed {
		state, err := ReadLinkState(ctx, v.pool, v.environment)
		if err == nil && state.Active != epoch {
			err = ErrLinkState
		}
		return err
	}
	return err
}

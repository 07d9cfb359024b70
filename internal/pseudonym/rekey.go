package pseudonym

import (
	"context"
	"crypto/hpke"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// SealedLink is an identity's link as the opener indexes it anew.
type SealedLink struct {
	// Old is the index that stands, Index the new one.
	Old, Index [32]byte
	// Subject is who the identity is sealed for, with the subject's Secret.
	Subject  uuid.UUID
	Secret   Secret
	Identity []byte
	// Epoch is the epoch key that it is sealed under, as its header says.
	Epoch uuid.UUID
}

const linksToIndexSQL = `
SELECT l.link_index, l.subject_id, s.secret, l.sealed_identity
FROM vault.link_state st
JOIN vault.subject_link l ON l.key_epoch = st.active_epoch AND l.reindexed_epoch IS NULL
JOIN vault.subject s ON s.id = l.subject_id AND s.environment = $1
WHERE st.environment = $1 AND st.next_epoch IS NOT NULL
ORDER BY l.link_index
LIMIT $2`

// LinksToIndex gives links that the key coming into use has not indexed yet.
func (v *OpenerVault) LinksToIndex(ctx context.Context, most int) ([]SealedLink, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, linksToIndexSQL, v.environment.String(), most)
	if err != nil {
		return nil, unavailable(err)
	}
	links, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l SealedLink, err error) {
		var index, secret []byte
		if err = row.Scan(&index, (*[16]byte)(&l.Subject), &secret, &l.Identity); err == nil {
			copy(l.Old[:], index)
			l.Secret, _ = secretOf(secret)
			clear(secret)
		}
		return l, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return links, nil
}

// A link that somebody has locked is being reserved, or goes with its subject: another time. What is gone
// meanwhile stays gone.
const indexLinksSQL = `
WITH i AS MATERIALIZED (
    SELECT l.link_index, t.fresh, l.subject_id, l.sealed_identity
    FROM unnest($2::bytea[], $3::bytea[]) AS t (link_index, fresh)
    JOIN vault.subject_link l ON l.link_index = t.link_index AND l.reindexed_epoch IS NULL
    ORDER BY l.link_index
    FOR NO KEY UPDATE OF l SKIP LOCKED
), marked AS (
    UPDATE vault.subject_link l SET reindexed_epoch = $1 FROM i WHERE l.link_index = i.link_index
    RETURNING l.link_index
), fresh AS (
    INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
    SELECT i.fresh, $1, i.subject_id, i.sealed_identity, vault.now() FROM i ORDER BY i.fresh
    ON CONFLICT (link_index) DO NOTHING
)
SELECT count(*) FROM marked`

// IndexLinks writes links' index under an epoch, and that they have it, both or neither, and says of how
// many: others are locked at the moment. It goes by the keys as they are: after the epoch's turn has passed
// nothing is written.
func (v *OpenerVault) IndexLinks(ctx context.Context, epoch int32, links []SealedLink) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	old, fresh := make([][]byte, len(links)), make([][]byte, len(links))
	for i := range links {
		old[i], fresh[i] = links[i].Old[:], links[i].Index[:]
	}
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, goBySQL, lockOf(v.environment)); err != nil {
			return err
		}
		var next int32
		if err := tx.QueryRow(ctx, comingSQL, v.environment.String()).Scan(&next); err != nil || next != epoch {
			return err
		}
		return tx.QueryRow(ctx, indexLinksSQL, epoch, old, fresh).Scan(&done)
	})
	if err != nil {
		return 0, unavailable(err)
	}
	return done, nil
}

const comingSQL = `
SELECT coalesce(next_epoch, 0) FROM vault.link_state WHERE environment = $1`

const keysToSealSQL = `
SELECT id, opener_epoch, sealed_key
FROM vault.epoch_key
WHERE environment = $1 AND opener_epoch < $2
ORDER BY opener_epoch, id
LIMIT $3`

// KeysToSeal gives epoch keys that are sealed to an earlier pair of the opener.
func (v *OpenerVault) KeysToSeal(ctx context.Context, epoch int32, most int) ([]SealedEpochKey, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, keysToSealSQL, v.environment.String(), epoch, most)
	if err != nil {
		return nil, unavailable(err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k SealedEpochKey, err error) {
		err = row.Scan((*[16]byte)(&k.ID), &k.Opener, &k.Bytes)
		return k, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return keys, nil
}

// Resealed is an epoch key sealed to another pair than it was.
type Resealed struct {
	SealedEpochKey

	// Was is the pair before.
	Was int32
}

const sealKeysSQL = `
UPDATE vault.epoch_key k
SET opener_epoch = $1, sealed_key = t.sealed_key
FROM unnest($2::uuid[], $3::integer[], $4::bytea[]) AS t (id, was, sealed_key)
WHERE k.id = t.id AND k.opener_epoch = t.was AND k.environment = $5`

// SealKeys replaces epoch keys that are still as they were read.
func (v *OpenerVault) SealKeys(ctx context.Context, keys []Resealed) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ids, was, sealed := make([][16]byte, len(keys)), make([]int32, len(keys)), make([][]byte, len(keys))
	for i := range keys {
		ids[i], was[i], sealed[i] = keys[i].ID, keys[i].Was, keys[i].Bytes
	}
	if _, err := v.pool.Exec(ctx, sealKeysSQL, keys[0].Opener, ids, was, sealed, v.environment.String()); err != nil {
		return unavailable(err)
	}
	return nil
}

// Opens tells whether the opener has the pair of an epoch.
func (o *OpenerKeys) Opens(epoch int32) bool { return o.keys[epoch] != nil }

// Indexes tells whether the opener has the key of the link index of an epoch.
func (o *OpenerKeys) Indexes(epoch int32) bool { return o.link[epoch].hashes != nil }

// Index is the link index of an identity's bytes under an epoch that the opener has.
func (o *OpenerKeys) Index(epoch int32, identity []byte) [32]byte { return o.link[epoch].sum(identity) }

// Reseal seals a stored epoch key to the pair of another epoch.
func (o *OpenerKeys) Reseal(sealed SealedEpochKey, epoch int32) (Resealed, error) {
	key, err := o.EpochKey(sealed)
	if err != nil {
		return Resealed{}, err
	}
	defer key.Forget()
	private, ok := o.keys[epoch]
	if !ok {
		return Resealed{}, ErrUnknownEpoch
	}
	info := epochKeyInfo(o.environment, epoch, sealed.ID)
	text, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), info, key.key[:])
	if err != nil {
		return Resealed{}, ErrSealed
	}
	return Resealed{SealedEpochKey{ID: sealed.ID, Opener: epoch, Bytes: text}, sealed.Opener}, nil
}

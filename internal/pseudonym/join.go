package pseudonym

import (
	"bytes"
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

const linkSQL = `
INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
VALUES ($1, $2, $3, $4, vault.now())
ON CONFLICT (link_index) DO UPDATE SET link_index = excluded.link_index
RETURNING subject_id`

const joinSQL = `
INSERT INTO vault.subject_join (subject_id, joined_id, created_at)
SELECT least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid), vault.now()
WHERE $1::uuid <> $2::uuid
ON CONFLICT (subject_id, joined_id) DO NOTHING`

// Link gives a subject one more identity: an event said that the child has it from now on.
// sealedIdentity is Identity.Bytes sealed for the subject. If the identity stands for another
// subject already, the two are joined: each keeps its codes and its events, and SamePerson knows.
// It may be repeated. The answer and its time are the same in both cases.
func (v *Vault) Link(ctx context.Context, index LinkIndex, subject Subject, sealedIdentity []byte) error {
	if subject.secret.IsZero() || len(sealedIdentity) == 0 {
		return hub.NewError(hub.Internal, hub.CodeInternal, errors.New("vault: nothing to link"))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		var standing [16]byte
		err := tx.QueryRow(ctx, linkSQL, index[:], v.linkEpoch, [16]byte(subject.ID), sealedIdentity).Scan(&standing)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, joinSQL, [16]byte(subject.ID), standing)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// Everybody whom joins connect with the first: a child may have been joined more than once.
const samePersonSQL = `
WITH RECURSIVE person AS (
    SELECT $1::uuid AS id
    UNION
    SELECT CASE j.subject_id WHEN p.id THEN j.joined_id ELSE j.subject_id END
    FROM person p
    JOIN vault.subject_join j ON j.subject_id = p.id OR j.joined_id = p.id
)
SELECT EXISTS (SELECT FROM person WHERE id = $2)`

// SamePerson tells whether two subjects are one child, as far as events said so.
func (v *Vault) SamePerson(ctx context.Context, a, b uuid.UUID) (bool, error) {
	if bytes.Equal(a[:], b[:]) {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var same bool
	if err := v.pool.QueryRow(ctx, samePersonSQL, [16]byte(a), [16]byte(b)).Scan(&same); err != nil {
		return false, unavailable(err)
	}
	return same, nil
}

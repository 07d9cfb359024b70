package pseudonym

import (
	"context"
	"errors"

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
// subject already, the two are joined: each keeps its codes and its events, and the privacy officer
// can see it.
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

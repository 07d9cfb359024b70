package pseudonym

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// OpenerVault is the vault as the opener sees it: secrets and sealed epoch keys, and no identity. Its
// pool logs in as hub_opener. Every error is a *hub.Error without content.
type OpenerVault struct {
	pool        *pgxpool.Pool
	environment hub.Environment
}

// NewOpenerVault makes the opener's sight of one environment's vault.
func NewOpenerVault(pool *pgxpool.Pool, env hub.Environment) *OpenerVault {
	return &OpenerVault{pool: pool, environment: env}
}

const sealedForSQL = `
SELECT id, secret
FROM vault.subject
WHERE id = ANY ($1::uuid[]) AND environment = $2`

// Secrets gives subjects' secrets. One that was erased is not there.
func (v *OpenerVault) Secrets(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, sealedForSQL, plain(subjects), v.environment.String())
	if err != nil {
		return nil, unavailable(err)
	}
	found := make(map[uuid.UUID]Secret, len(subjects))
	var id [16]byte
	var bytes []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &bytes}, func() error {
		if secret, ok := secretOf(bytes); ok {
			found[id] = secret
		}
		clear(bytes)
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

const epochKeysSQL = `
SELECT id, opener_epoch, sealed_key
FROM vault.epoch_key
WHERE id = ANY ($1::uuid[]) AND environment = $2`

// EpochKeys gives sealed epoch keys by their ids. One that was destroyed is not there.
func (v *OpenerVault) EpochKeys(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]SealedEpochKey, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rows, err := v.pool.Query(ctx, epochKeysSQL, plain(ids), v.environment.String())
	if err != nil {
		return nil, unavailable(err)
	}
	found := make(map[uuid.UUID]SealedEpochKey, len(ids))
	var id [16]byte
	var k SealedEpochKey
	_, err = pgx.ForEachRow(rows, []any{&id, &k.Opener, &k.Bytes}, func() error {
		k.ID = id
		found[k.ID] = k
		k.Bytes = nil
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

package pseudonym

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Mark is a checkpoint of the journal as the vault remembers it.
type Mark struct {
	// Size is how many leaves the journal had.
	Size int64
	// Root is the hash of its tree.
	Root [32]byte
}

// marker is a pool or a connection with the vault's role.
type marker interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const markSQL = `
INSERT INTO vault.journal_mark AS m (environment, size, root, marked_at)
VALUES ($1, $2, $3, vault.now())
ON CONFLICT (environment) DO UPDATE SET size = EXCLUDED.size, root = EXCLUDED.root, marked_at = EXCLUDED.marked_at
-- another instance may have published a later one meanwhile
WHERE m.size < EXCLUDED.size OR $4`

// SetMark remembers a checkpoint, but never an earlier one than it has, unless it is to replace it.
func SetMark(ctx context.Context, q marker, env hub.Environment, m Mark, replace bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := q.Exec(ctx, markSQL, env.String(), m.Size, m.Root[:], replace); err != nil {
		return unavailable(err)
	}
	return nil
}

const markedSQL = `
SELECT size, root FROM vault.journal_mark WHERE environment = $1`

// LastMark is what the vault remembers; ok is false if it remembers nothing.
func LastMark(ctx context.Context, q marker, env hub.Environment) (m Mark, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var root []byte
	err = q.QueryRow(ctx, markedSQL, env.String()).Scan(&m.Size, &root)
	if errors.Is(err, pgx.ErrNoRows) {
		return Mark{}, false, nil
	}
	if err != nil {
		return Mark{}, false, unavailable(err)
	}
	m.Root = [32]byte(root)
	return m, true, nil
}

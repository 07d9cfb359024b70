package pseudonym

import (
	"context"

	"github.com/google/uuid"
)

const releaseSQL = `
UPDATE vault.subject s
SET state = 'pending', confirmed_at = NULL, reserved_at = vault.now()
WHERE s.id = ANY ($1::uuid[]) AND s.environment = $2 AND s.state = 'confirmed'`

// Release makes subjects whose last case was deleted pending again: the sweep deletes each with its secret
// and its links ten minutes later, unless an event of it is there by then, and confirms it else. So an
// event that comes at this very moment loses nothing. Subjects of another environment, or that are not
// there, are left alone.
func (v *Vault) Release(ctx context.Context, subjects []uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := v.pool.Exec(ctx, releaseSQL, plain(subjects), v.environment.String()); err != nil {
		return unavailable(err)
	}
	return nil
}

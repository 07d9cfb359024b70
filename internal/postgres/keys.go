package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// ErrOtherKeys says that the database was written with other keys than those loaded.
var ErrOtherKeys = errors.New("the database was written with other keys: restore the folder of keys that belongs to it")

const recordKeySQL = `
INSERT INTO hub.key_fingerprint AS k (environment, name, fingerprint, first_used_at)
VALUES ($1, $2, $3, hub.hub_now())
-- a no-op update, because only that gives the row back that stood first
ON CONFLICT (environment, name) DO UPDATE SET name = k.name
RETURNING k.fingerprint`

// CheckKeys binds keys to the database: each fingerprint is recorded at its first use and must
// be the same ever after. The error names the keys that differ and is ErrOtherKeys.
func (s *Store) CheckKeys(ctx context.Context, env hub.Environment, fingerprints map[string][32]byte) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(fingerprints)) {
		want := fingerprints[name]
		var have []byte
		if err := s.pool.QueryRow(ctx, recordKeySQL, env, name, want[:]).Scan(&have); err != nil {
			return fmt.Errorf("record a key's fingerprint: %w", masked(err))
		}
		if !bytes.Equal(have, want[:]) {
			faults = append(faults, fmt.Errorf("key %s: %w", name, ErrOtherKeys))
		}
	}
	return errors.Join(faults...)
}

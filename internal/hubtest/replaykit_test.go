//go:build e2e || smoke

package hubtest_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	replaying "github.com/sinbahub/sinbahub/internal/replay"
)

// insider opens what is sealed inside the test, as the opener does in its own process.
type insider struct {
	db    *pgx.Conn
	keys  *pseudonym.OpenerKeys
	vault *pseudonym.Vault
	known map[uuid.UUID]pseudonym.EpochKey
}

func (i *insider) Open(ctx context.Context, asked []replaying.Sealed) ([]replaying.Opened, error) {
	// A query that is cut off would close the connection for all that follow.
	ctx = context.WithoutCancel(ctx)
	opened := make([]replaying.Opened, len(asked))
	for n, a := range asked {
		envelope := a.Origin
		var subject, epoch uuid.UUID
		var sealed []byte
		if err := i.db.QueryRow(ctx, `SELECT e.subject_id, m.seal_epoch, m.sealed FROM hub.event e
			JOIN hub.message m ON m.id = e.id WHERE e.id = $1`, a.Message).Scan(&subject, &epoch, &sealed); err != nil {
			return nil, err
		}
		if envelope == nil {
			envelope = sealed
		}
		head, err := pseudonym.ParseHeader(envelope)
		if err != nil {
			return nil, err
		}
		key, ok := i.known[head.Epoch]
		if !ok {
			stored := pseudonym.SealedEpochKey{ID: head.Epoch}
			if err := i.db.QueryRow(ctx, "SELECT opener_epoch, sealed_key FROM vault.epoch_key WHERE id = $1", head.Epoch).
				Scan(&stored.Opener, &stored.Bytes); err != nil {
				return nil, err
			}
			if key, err = i.keys.EpochKey(stored); err != nil {
				return nil, err
			}
			i.known[head.Epoch] = key
		}
		secrets, err := i.vault.SecretsOf(ctx, []uuid.UUID{subject})
		if err != nil {
			return nil, err
		}
		_, opened[n].Plain, opened[n].Err = key.Open(subject, secrets[0], envelope)
	}
	return opened, nil
}

// replayer opens the parts of a replay of a hub.
func replayer(t *testing.T, h *hubtest.Hub) *replaying.Parts {
	t.Helper()
	cfg, err := config.Load("", []string{"SINBAHUB_VAR=" + h.Var})
	if err != nil {
		t.Fatal(err)
	}
	parts, closeAll, err := app.ReplayParts(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeAll)
	if parts.Opener, err = newInsider(t, h, parts); err != nil {
		t.Fatal(err)
	}
	return parts
}

func newInsider(t *testing.T, h *hubtest.Hub, parts *replaying.Parts) (replaying.Opener, error) {
	t.Helper()
	keys, err := pseudonym.LoadOpenerKeys(filepath.Join(h.Var, "keys", "opener"), hub.Prod)
	return &insider{h.Superuser(), keys, parts.Vault, map[uuid.UUID]pseudonym.EpochKey{}}, err
}

// everything is the range of all entries.
func everything(t *testing.T, parts *replaying.Parts) replaying.Range {
	t.Helper()
	now := parts.Now()
	entries, err := parts.Store.Entries(t.Context(), postgres.EntryRange{
		From: now.AddDate(-1, 0, 0), To: now.AddDate(0, 0, 1), Kinds: []journal.Kind{journal.EventAccepted},
	}, 10_000)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	return replaying.Range{From: entries[0].At, To: now.AddDate(0, 0, 1)}
}

// instantOf is how the command line takes an instant.
func instantOf(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// purpose is what a command does with the database.
type purpose bool

const (
	// reading looks at whatever database is there.
	reading purpose = false
	// writing must not be done in a database that lacks what was acknowledged: the act would be lost
	// with the database, or stand on what is not so.
	writing purpose = true
)

// remembering is how long a command waits at its end for the place in the log that it reached.
const remembering = 5 * time.Second

// openStore connects a command to the configured database, which must be of this binary's version, or
// to the embedded one. That is attached to if it runs, and else runs for as long as the command. Who
// writes is refused by the same servers as serve.
func openStore(ctx context.Context, cfg config.Config, use purpose) (store *postgres.Store, closeStore func(), err error) {
	store, _, closeStore, err = openBoth(ctx, cfg, use)
	return store, closeStore, err
}

// openBoth is openStore that also tells where the vault is, for its role.
func openBoth(ctx context.Context, cfg config.Config, use purpose) (store *postgres.Store, vaultURL string, closeStore func(), err error) {
	var undo []func()
	end := func() {
		for _, one := range slices.Backward(undo) {
			one()
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	url := cfg.Database.URL.Reveal()
	vaultURL = cfg.Database.VaultURL.Reveal()
	if cfg.Embedded() {
		cluster, err := borrowCluster(ctx, cfg.Var, use)
		if err != nil {
			return nil, "", nil, err
		}
		url, vaultURL = cluster.AppDSN(), cluster.VaultDSN()
		if !cluster.Attached() {
			undo = append(undo, func() { _ = cluster.Stop(context.WithoutCancel(ctx)) })
		}
	}
	var guard *postgres.Guard
	if use == writing && positionKept(cfg) {
		if guard, err = postgres.OpenGuard(positionDir(cfg), zap.NewNop()); err != nil {
			return nil, "", nil, fmt.Errorf("open last known position: %w", err)
		}
		undo = append(undo, func() { _ = guard.Close() })
	}
	if store, err = postgres.Open(ctx, postgres.Config{DSN: url, Connections: 2, Guard: guard}); err != nil {
		return nil, "", nil, fmt.Errorf("open store: %w", err)
	}
	undo = append(undo, store.Close)
	if err := store.CheckVersion(ctx); err != nil {
		return nil, "", nil, fmt.Errorf("check database: %w", err)
	}
	if guard != nil {
		undo = append(undo, func() {
			// What was done is done: without this a server that lacks it is found by the next receipt only.
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), remembering)
			defer cancel()
			_ = store.Remember(ending)
		})
	}
	return store, vaultURL, end, nil
}

// borrowCluster starts the embedded cluster for a command, or attaches to it. It migrates only what
// nobody else runs and the command writes into: the tables of a running serve are of its version, and
// who only looks changes nothing.
func borrowCluster(ctx context.Context, varDir string, use purpose) (*postgres.Cluster, error) {
	cluster, err := postgres.StartCluster(ctx, clusterConfig(varDir, zap.NewNop()))
	if err != nil {
		return nil, fmt.Errorf("start embedded database: %w", err)
	}
	if cluster.Attached() || use == reading {
		return cluster, nil
	}
	if err := cluster.Migrate(ctx, migrations()...); err != nil {
		_ = cluster.Stop(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("migrate embedded database: %w", err)
	}
	return cluster, nil
}

// positionKept tells whether a serve ever ran here and remembered how far its database was. Elsewhere
// nothing is known that a server could be held against, and nothing would read what a command knew.
func positionKept(cfg config.Config) bool {
	_, err := os.Stat(positionDir(cfg))
	return !errors.Is(err, fs.ErrNotExist)
}

// withStore runs a command on openStore's store.
func withStore(ctx context.Context, cfg config.Config, use purpose, do func(*postgres.Store) error) error {
	store, closeStore, err := openStore(ctx, cfg, use)
	if err != nil {
		return err
	}
	defer closeStore()
	return do(store)
}

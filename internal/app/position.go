package app

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// positionDir is where every serve of an environment remembers how far the database was.
func positionDir(cfg config.Config) string {
	return filepath.Join(cfg.Var, "position", cfg.Env().String())
}

// openGuard opens what is known of the database.
func (s *server) openGuard() error {
	guard, err := postgres.OpenGuard(positionDir(s.cfg), s.log)
	if err != nil {
		return fmt.Errorf("open last known position: %w", err)
	}
	s.guard = guard
	s.onClose(func() { _ = guard.Close() })
	return nil
}

// AcceptDatabase takes the configured database for the right one although it has less than serve
// knew, as after a restore. What was acknowledged beyond it is gone from the hub. The output names
// all that a record of it needs: reason, what was known and what is there now.
func AcceptDatabase(ctx context.Context, cfg config.Config, out io.Writer, reason string) error {
	if err := checkWhy(reason); err != nil {
		return err
	}
	url, vaultURL := cfg.Database.URL.Reveal(), cfg.Database.VaultURL.Reveal()
	if cfg.Embedded() {
		cluster, err := borrowCluster(ctx, cfg.Var, reading)
		if err != nil {
			return err
		}
		url, vaultURL = cluster.AppDSN(), cluster.VaultDSN()
		if !cluster.Attached() {
			defer func() { _ = cluster.Stop(context.WithoutCancel(ctx)) }()
		}
	}
	adoption, err := postgres.Adopt(ctx, url, positionDir(cfg))
	if err != nil {
		return fmt.Errorf("accept the database: %w", err)
	}
	for _, p := range adoption.Before {
		say(out, "known     system %d timeline %d log %X last receipt %s\n", p.System, p.Timeline, p.WAL, p.Receipt)
	}
	say(out, "accepted  system %d timeline %d log %X\n", adoption.After.System, adoption.After.Timeline, adoption.After.WAL)
	say(out, "reason    %q\n", reason)
	return acceptJournal(ctx, cfg, vaultURL, out, reason)
}

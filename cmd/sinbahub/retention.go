package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type retentionCmd struct {
	Run retentionRunCmd `cmd:"" help:"Delete what is beyond its period (retention in the configuration), now; serve does it daily."`
}

type retentionRunCmd struct {
	DryRun bool   `help:"Only tell what would be deleted, by class and month, with the oldest."`
	JSON   bool   `help:"One JSON line a step instead of a table."`
	Reason string `help:"Why, for the journal; only a dry run needs none."`

	signFlags
}

// Run runs retention.
func (c *retentionRunCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.RunRetention(ctx, cfg, app.RetentionOptions{DryRun: c.DryRun, JSON: c.JSON, Who: c.because(c.Reason)}, os.Stdout)
}

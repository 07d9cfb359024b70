package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type acceptDatabaseCmd struct {
	Reason string `help:"Why events that were acknowledged may be missing." required:""`
}

// Run accepts the database as it is.
func (c *acceptDatabaseCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.AcceptDatabase(ctx, cfg, os.Stdout, c.Reason)
}

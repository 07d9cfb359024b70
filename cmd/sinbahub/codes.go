package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type codesCmd struct {
	List  codesListCmd  `cmd:"" help:"List communications, oldest first: without --state all that SISS has not taken."`
	Retry codesRetryCmd `cmd:"" help:"Tell SISS again what it refused, the same under the same IdComunicazione."`
}

type codesListCmd struct {
	State []string `help:"Only in these states (pending, told, refused)."`
	JSON  bool     `name:"json" help:"One JSON line each instead of a table."`
}

// Run lists.
func (c *codesListCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ListCodes(ctx, cfg, app.CodesOptions{States: c.State, JSON: c.JSON}, os.Stdout)
}

type codesRetryCmd struct {
	reasonFlags

	IDs  []string `arg:"" name:"id" help:"IdComunicazione of those that SISS refused."`
	JSON bool     `name:"json" help:"One JSON line each."`
}

// Run makes them due.
func (c *codesRetryCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.RetryCodes(ctx, cfg, app.CodesOptions{Who: c.who(), IDs: c.IDs, JSON: c.JSON}, os.Stdout)
}

package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type openerCmd struct{}

// Run opens for others until a signal.
func (*openerCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Opener(ctx, cfg, version, os.Stderr)
}

type openCmd struct {
	ID      string `arg:"" help:"IdRicevuta: the message as it came. IdTrasmissione: what was sent to SISS."`
	Reason  string `help:"Why, for the journal; nothing of a person." required:""`
	Actor   string `help:"Who looks, for the journal; default: this account."`
	Attempt int32  `help:"Of an IdTrasmissione: the number of the attempt; default: the last one kept."`
	Print   bool   `help:"Show it even on a terminal."`
}

// Run opens one message.
func (c *openCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.OpenSealed(ctx, cfg, app.OpenOptions{ID: c.ID, Attempt: c.Attempt, Actor: c.Actor, Reason: c.Reason, Print: c.Print}, os.Stdout)
}

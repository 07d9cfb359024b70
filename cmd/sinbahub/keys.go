package main

import (
	"context"
	"os"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type keysStatusCmd struct {
	Key  string `arg:"" optional:"" help:"link, code-region, code-nation, seal or journal; without it all."`
	JSON bool   `help:"One JSON line an epoch instead of a table."`
}

// Run tells.
func (c *keysStatusCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.KeyStatus(ctx, cfg, app.KeyOptions{Name: c.Key, JSON: c.JSON}, os.Stdout)
}

type keysRotateCmd struct {
	reasonFlags

	Name   string        `arg:"" name:"key" help:"link, code-region, code-nation, seal or journal."`
	Ticket string        `help:"File of a ticket that two people signed, for what the opener does: link needs rotate link EPOCH, seal needs reseal seal EPOCH." type:"existingfile"`
	Wait   time.Duration `help:"How long to wait for running instances, or for SISS." default:"30s"`
}

// Run rotates.
func (c *keysRotateCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.RotateKey(ctx, cfg, app.KeyOptions{Name: c.Name, Who: c.who(), Ticket: c.Ticket, Wait: c.Wait}, os.Stdout)
}

type keysDestroyCmd struct {
	reasonFlags

	Name  string `arg:"" name:"key" help:"link, code-region, code-nation, seal or journal."`
	Epoch int32  `arg:"" help:"The epoch that keys status shows."`
}

// Run destroys.
func (c *keysDestroyCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.DestroyKey(ctx, cfg, app.KeyOptions{Name: c.Name, Epoch: c.Epoch, Who: c.who()}, os.Stdout)
}

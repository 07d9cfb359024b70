package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type maintenanceCmd struct {
	On   maintenanceOnCmd   `cmd:"" help:"Take no new events, on any instance, and say why; what is asked and repeated is still answered."`
	Off  maintenanceOffCmd  `cmd:"" help:"Take events again."`
	Show maintenanceShowCmd `cmd:"" help:"Tell whether a maintenance is in force."`
}

type maintenanceOnCmd struct {
	Text   string `help:"What senders are told, at most 100 characters; nothing of a person." required:""`
	Until  string `help:"When it ends by itself: a duration (2h) or an instant (2026-11-22T14:30, this machine's zone). Without it only 'off' ends it."`
	Reason string `help:"Why, for the journal; default: the text."`

	signFlags
}

// Run begins a maintenance.
func (c *maintenanceOnCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.BeginMaintenance(ctx, cfg, app.MaintenanceOptions{Text: c.Text, Until: c.Until, Who: c.because(c.Reason)}, os.Stdout)
}

type maintenanceOffCmd struct {
	Reason string `help:"Why, for the journal."`

	signFlags
}

// Run ends it.
func (c *maintenanceOffCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.EndMaintenance(ctx, cfg, app.MaintenanceOptions{Who: c.because(c.Reason)}, os.Stdout)
}

type maintenanceShowCmd struct{}

// Run tells.
func (*maintenanceShowCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ShowMaintenance(ctx, cfg, os.Stdout)
}

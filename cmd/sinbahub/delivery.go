package main

import (
	"context"
	"os"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type deliveryCmd struct {
	List      deliveryListCmd      `cmd:"" help:"List deliveries, oldest first: without --state all that SISS has not confirmed."`
	Show      deliveryShowCmd      `cmd:"" help:"Show one delivery: its attempts, what it waits behind, what operators did."`
	Retry     deliveryRetryCmd     `cmd:"" help:"Make retrying, uncertain or dead deliveries due at once; a dead one gets a fresh budget. What may have arrived is asked about first."`
	Park      deliveryParkCmd      `cmd:"" help:"Set deliveries aside that are not settled; their cases wait."`
	Unpark    deliveryUnparkCmd    `cmd:"" help:"Give parked deliveries their turn again, with a fresh budget."`
	Redeliver deliveryRedeliverCmd `cmd:"" help:"Send delivered or refused ones again under the same IdTrasmissione."`
}

// filterFlags are the flags by which deliveries are found.
type filterFlags struct {
	State []string      `help:"Only in these states (pending, sending, retrying, uncertain, delivered, refused, dead, parked)."`
	Ente  string        `help:"Only of this CodiceEnte."`
	Type  string        `help:"Only of this TipoEvento."`
	Code  string        `help:"Only whose last attempt ended with this code."`
	Older time.Duration `help:"Only accepted longer ago than this, as in 2h."`
	Newer time.Duration `help:"Only accepted in the last so long, as in 24h."`
}

func (f filterFlags) filter() app.DeliveryFilter {
	return app.DeliveryFilter{States: f.State, Ente: f.Ente, Type: f.Type, Code: f.Code, Older: f.Older, Newer: f.Newer}
}

type deliveryListCmd struct {
	filterFlags

	Limit int    `help:"Deliveries of a page." default:"100"`
	After string `help:"Begin the page behind this delivery."`
	Count bool   `help:"Only how many there are in each state."`
	JSON  bool   `name:"json" help:"One JSON line each instead of a table."`
}

// Run lists.
func (c *deliveryListCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ListDeliveries(ctx, cfg, app.ListOptions{
		DeliveryFilter: c.filter(), Limit: c.Limit, After: c.After, Count: c.Count, JSON: c.JSON,
	}, os.Stdout)
}

type deliveryShowCmd struct {
	ID   string `arg:"" help:"IdTrasmissione of the delivery, or IdRicevuta."`
	JSON bool   `name:"json" help:"One JSON line."`
}

// Run shows.
func (c *deliveryShowCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ShowDelivery(ctx, cfg, c.ID, c.JSON, os.Stdout)
}

// actFlags are what every changing verb takes.
type actFlags struct {
	filterFlags
	reasonFlags

	IDs    []string      `arg:"" optional:"" name:"id" help:"IdTrasmissione of the deliveries, or IdRicevuta; without any, all that the flags find."`
	Yes    bool          `help:"Go on without asking, for scripts."`
	Wait   time.Duration `help:"Wait so long for the end of an attempt under way, for each delivery." default:"0s"`
	Batch  int           `help:"Pause after so many of the deliveries that the flags find." default:"100"`
	Pause  time.Duration `help:"How long to pause between two batches." default:"0s"`
	DryRun bool          `help:"Only tell how many the flags find."`
	JSON   bool          `name:"json" help:"One JSON line each."`
}

// run acts.
func (f *actFlags) run(ctx context.Context, root *cli, verb app.Verb, corrections bool) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.OperateDeliveries(ctx, cfg, app.ActOptions{
		DeliveryFilter: f.filter(), Verb: verb, IDs: f.IDs, Who: f.who(), Yes: f.Yes,
		Corrections: corrections, Wait: f.Wait, Batch: f.Batch, Pause: f.Pause, DryRun: f.DryRun, JSON: f.JSON,
		Interactive: app.IsTerminal(os.Stdin) && app.IsTerminal(os.Stderr),
		In:          os.Stdin, Out: os.Stdout, Progress: os.Stderr,
	})
}

type deliveryRetryCmd struct{ actFlags }

// Run makes deliveries due.
func (c *deliveryRetryCmd) Run(ctx context.Context, root *cli) error {
	return c.run(ctx, root, app.VerbRetry, false)
}

type deliveryParkCmd struct{ actFlags }

// Run sets deliveries aside.
func (c *deliveryParkCmd) Run(ctx context.Context, root *cli) error {
	return c.run(ctx, root, app.VerbPark, false)
}

type deliveryUnparkCmd struct{ actFlags }

// Run gives parked deliveries their turn.
func (c *deliveryUnparkCmd) Run(ctx context.Context, root *cli) error {
	return c.run(ctx, root, app.VerbUnpark, false)
}

type deliveryRedeliverCmd struct {
	actFlags

	NewID           bool `name:"new-id" help:"Send refused ones under a new IdTrasmissione."`
	WithCorrections bool `help:"Send the delivered corrections and annulments of the event again, too, behind it."`
}

// Run sends again.
func (c *deliveryRedeliverCmd) Run(ctx context.Context, root *cli) error {
	verb := app.VerbRedeliver
	if c.NewID {
		verb = app.VerbRenew
	}
	return c.run(ctx, root, verb, c.WithCorrections)
}

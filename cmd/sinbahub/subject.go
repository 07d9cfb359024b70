package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type subjectCmd struct {
	Find     subjectFindCmd     `cmd:"" help:"Read a codice fiscale, provisional, STP or ENI code from standard input and print the child's code, which the other commands take."`
	Report   subjectReportCmd   `cmd:"" help:"Tell what is held of a child and who looked at it (GDPR art. 15)."`
	Erase    subjectEraseCmd    `cmd:"" help:"Forget a child (GDPR art. 17): nothing leads to it afterwards, and what was sealed for it cannot be opened any more."`
	Unjoin   subjectUnjoinCmd   `cmd:"" help:"Take a child apart from those that it was joined to: they are several children after all."`
	Erasures subjectErasuresCmd `cmd:"" help:"List erasures, and how far each has come."`
}

type subjectFindCmd struct {
	reasonFlags
}

// Run finds a child's code.
func (c *subjectFindCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.FindSubject(ctx, cfg, c.who(), os.Stdin, os.Stdout)
}

type subjectReportCmd struct {
	Code   string `arg:"" optional:"" help:"The code that the ticket must be about."`
	Ticket string `help:"File of the ticket: report region|nation CODE, signed by two people." type:"path"`
	JSON   bool   `help:"One JSON document instead of a table."`
}

// Run tells what is held of a child.
func (c *subjectReportCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ReportSubject(ctx, cfg, app.ChildOptions{Ticket: c.Ticket, Code: c.Code, JSON: c.JSON}, os.Stdout)
}

type subjectEraseCmd struct {
	Code    string `arg:"" optional:"" help:"The code that the ticket must be about; of --dry-run, the child's code, as SISS or the regional events have it."`
	Ticket  string `help:"File of the ticket: erase region|nation CODE, signed by two people." type:"path"`
	DryRun  bool   `help:"Only tell what would be erased: needs no ticket."`
	Despite bool   `name:"despite-undelivered" help:"Erase although events of the child still wait for SISS: they go out later, and no copy of what was sent is kept."`
	JSON    bool   `help:"One JSON document instead of a table."`
}

// Run forgets a child.
func (c *subjectEraseCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	child := app.ChildOptions{Ticket: c.Ticket, Code: c.Code, JSON: c.JSON}
	o := app.EraseOptions{ChildOptions: child, DryRun: c.DryRun, Despite: c.Despite}
	return app.EraseSubject(ctx, cfg, o, os.Stdout)
}

type subjectErasuresCmd struct {
	JSON bool `help:"One JSON line an erasure instead of a table."`
}

// Run lists erasures.
func (c *subjectErasuresCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ListErasures(ctx, cfg, c.JSON, os.Stdout)
}

type subjectUnjoinCmd struct {
	Code   string `arg:"" optional:"" help:"The code that the ticket must be about."`
	Ticket string `help:"File of the ticket: unjoin region|nation CODE, signed by two people." type:"path"`
	JSON   bool   `help:"One JSON document instead of a line."`
}

// Run takes a child apart from others.
func (c *subjectUnjoinCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.UnjoinSubject(ctx, cfg, app.ChildOptions{Ticket: c.Ticket, Code: c.Code, JSON: c.JSON}, os.Stdout)
}

package main

import (
	"context"
	"os"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type replayCmd struct {
	WhatIf replayWhatIfCmd `cmd:"" name:"what-if" help:"Run accepted messages under another schema, rule set, mapping or reference data, and report what would be otherwise, without any effect."`
	Verify replayVerifyCmd `cmd:"" help:"Run accepted messages again with what was recorded; the result must be what was recorded. Exit code 0 all equal, 2 differences, 3 something could not be replayed, 4 not done."`
}

// replayFlags are the flags of every replay.
type replayFlags struct {
	From   time.Time `help:"Only messages received from this instant on." format:"2006-01-02T15:04:05Z07:00" placeholder:"2026-03-01T00:00:00Z"`
	To     time.Time `help:"Only messages received before this instant; without it, before now." format:"2006-01-02T15:04:05Z07:00" placeholder:"2026-04-01T00:00:00Z"`
	Ente   string    `help:"Only of this CodiceEnte."`
	IDs    string    `name:"ids" help:"Only the messages of this file, one IdRicevuta a line, whenever they were received." type:"existingfile"`
	Reason string    `help:"Why; it stands in the journal for ever and must name no person." required:""`
	Actor  string    `help:"Who replays; without it the account on this machine."`
	Resume string    `help:"File that remembers how far the replay is: the same command goes on there after an interruption." type:"path"`
	Lists  []string  `help:"Folder with dated lists of a former time (reference.dir as it was); may be given again." type:"existingdir"`
}

// options are what the flags say.
func (f *replayFlags) options() app.ReplayOptions {
	o := app.ReplayOptions{
		From: f.From, To: f.To, Ente: f.Ente, IDs: f.IDs, Actor: f.Actor, Reason: f.Reason, Resume: f.Resume,
		References: f.Lists, Version: version, Out: os.Stdout,
	}
	if app.IsTerminal(os.Stderr) {
		o.Progress = os.Stderr
	}
	return o
}

type replayVerifyCmd struct {
	replayFlags

	JSON bool `name:"json" help:"The report as one JSON document."`
}

// Run replays.
func (c *replayVerifyCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return &app.ExitError{Code: exitUnreachable, Err: err}
	}
	o := c.options()
	o.JSON = c.JSON
	return app.ReplayVerify(ctx, cfg, o)
}

type replayWhatIfCmd struct {
	replayFlags

	XSD        string `name:"xsd" help:"Another schema of events." type:"existingfile"`
	Mapping    string `help:"Another leaf table (foglie.tsv)." type:"existingfile"`
	Severities string `help:"Another configuration of the rules: YAML with cut_off and warning_only." type:"existingfile"`
	Reference  string `help:"Folder with other dated lists." type:"existingdir"`
	CSV        string `name:"csv" help:"File for the report as CSV; without a file it goes to standard output." type:"path"`
	HTML       string `name:"html" help:"File for the report as one HTML page." type:"path"`
}

// Run tries.
func (c *replayWhatIfCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return &app.ExitError{Code: exitUnreachable, Err: err}
	}
	return app.ReplayWhatIf(ctx, cfg, app.WhatIfOptions{
		ReplayOptions: c.options(), XSD: c.XSD, Mapping: c.Mapping, Severities: c.Severities, Reference: c.Reference, CSV: c.CSV, HTML: c.HTML,
	})
}

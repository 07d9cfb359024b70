package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type replayCmd struct {
	WhatIf replayWhatIfCmd `cmd:"" name:"what-if" help:"Run accepted messages under another schema, rule set, mapping or reference data, and report what would be otherwise, without any effect."`
	Verify replayVerifyCmd `cmd:"" help:"Hold rows and journal against each other, and run accepted messages again with what was recorded; the result must be what was recorded. Exit code 0 all equal or erased lawfully, 2 differences, 3 something could not be replayed, 4 not done, 5 nothing to verify."`
}

// replayFlags are the flags of every replay.
type replayFlags struct {
	From   string   `help:"Only messages received from then on: a day in Italy (2026-03-01) or an instant (2026-03-01T08:00:00Z); without it, --to and --ids, the ticket's range."`
	To     string   `help:"Only messages received until then: a day, which is meant whole, or before an instant; without it, before now or the end of the ticket's range."`
	Ente   string   `help:"Only of this CodiceEnte."`
	IDs    string   `name:"ids" help:"Only the messages of this file, one IdRicevuta a line, whenever they were received." type:"existingfile"`
	Ticket string   `help:"File of a replay ticket that two people signed: who, why, and what may be opened. It is good for one run." required:"" type:"existingfile"`
	Resume string   `help:"File that remembers how far the replay is: the same command goes on there after an interruption." type:"path"`
	Lists  []string `help:"Folder with dated lists of a former time (reference.dir as it was); may be given again." type:"existingdir"`
}

// options are what the flags say.
func (f *replayFlags) options() app.ReplayOptions {
	o := app.ReplayOptions{
		From: f.From, To: f.To, Ente: f.Ente, IDs: f.IDs, Ticket: f.Ticket, Resume: f.Resume,
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

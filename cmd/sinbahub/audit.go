package main

import (
	"context"
	"os"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type auditCmd struct {
	Export auditExportCmd `cmd:"" help:"Write a bundle of evidence for an auditor, which sinbaverify checks offline."`
}

type auditExportCmd struct {
	reasonFlags

	From  string `help:"Begin of the range: a day in Italy (2026-03-01) or an instant (2026-03-01T08:00:00Z)." required:""`
	To    string `help:"End of the range: a day, which is meant whole, or an instant." required:""`
	Ente  string `help:"Only the entries of this CodiceEnte, with proofs in the place of the tree."`
	Out   string `short:"o" help:"File to write (BUNDLE.zip)." type:"path" required:""`
	Force bool   `help:"Replace a file of that name."`

	RetiredAt string  `name:"retired-at" help:"Leave out what retention did after this instant, for the bytes of an export made then."`
	Prove     []int64 `help:"Size of a checkpoint from before the range that somebody keeps, to be proven part of this history; may be repeated."`
	AsFound   bool    `name:"as-found" help:"Export from a database that is refused as restored. The bundle says so, and the journal does not have the export."`
}

// Run exports.
func (c *auditExportCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ExportEvidence(ctx, cfg, app.AuditOptions{
		From: c.From, To: c.To, Ente: c.Ente, Out: c.Out, Force: c.Force, Who: c.who(),
		RetiredAt: c.RetiredAt, Prove: c.Prove, AsFound: c.AsFound,
		Interactive: app.IsTerminal(os.Stderr), Progress: os.Stderr,
	}, os.Stdout)
}

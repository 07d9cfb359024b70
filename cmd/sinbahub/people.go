package main

import (
	"context"
	"os"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

type personCmd struct {
	Add    personAddCmd    `cmd:"" help:"Register a person with a public key; nothing opens before the opener trusts it."`
	Trust  personTrustCmd  `cmd:"" help:"Put a registered person on the opener's own list, by the fingerprint they told you. Runs with the opener's configuration."`
	List   personListCmd   `cmd:"" help:"List all people and the fingerprints of their keys."`
	Retire personRetireCmd `cmd:"" help:"End a person's right to sign, for ever."`
	Orders personOrdersCmd `cmd:"" help:"Verify what people signed for the verbs that they ran. Exit code 3: at least one is not good."`
}

type personAddCmd struct {
	Reason string `help:"Why; it stands in the journal for ever and must name no child." required:""`

	As         string `help:"The registered person who registers this one and signs for it; default: operator.person. The first operator needs nobody."`
	SigningKey string `help:"File of that person's Ed25519 private key; default: operator.key_file." placeholder:"FILE"`

	Name string   `arg:"" help:"A short name, never given again."`
	Role []string `help:"operator, auditor or privacy-officer; may be given again." required:""`
	Key  string   `help:"File of an Ed25519 public key: PEM, or a line of OpenSSH." required:"" type:"path"`
}

// Run registers.
func (c *personAddCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.AddPerson(ctx, cfg, app.PersonOptions{Name: c.Name, Roles: c.Role, Key: c.Key, Who: signFlags{As: c.As, KeyFile: c.SigningKey}.because(c.Reason)}, os.Stdout)
}

type personTrustCmd struct {
	Reason      string `help:"Why; it stands in the journal for ever and must name no child." required:""`
	Name        string `arg:"" help:"The person's name."`
	Fingerprint string `help:"What the person told you of the key, as ssh-keygen -l shows it." required:""`
}

// Run trusts.
func (c *personTrustCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.TrustPerson(ctx, cfg, app.PersonOptions{Name: c.Name, Fingerprint: c.Fingerprint, Who: app.Who{Reason: c.Reason}}, os.Stdout)
}

type personListCmd struct{}

// Run lists.
func (*personListCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.ListPeople(ctx, cfg, os.Stdout)
}

type personOrdersCmd struct {
	From string `help:"Begin of the range: a day in Italy (2026-03-01) or an instant (2026-03-01T08:00:00Z)." required:""`
	To   string `help:"End of the range: a day, which is meant whole, or an instant." required:""`
	Text bool   `help:"All that was signed, with the signatures, for tools of your own."`
}

// Run verifies.
func (c *personOrdersCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Orders(ctx, cfg, app.OrderOptions{From: c.From, To: c.To, Text: c.Text}, os.Stdout)
}

type personRetireCmd struct {
	reasonFlags

	Name string `arg:"" help:"The person's name."`
}

// Run retires.
func (c *personRetireCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.RetirePerson(ctx, cfg, app.PersonOptions{Name: c.Name, Who: c.who()}, os.Stdout)
}

type ticketCmd struct {
	New     ticketNewCmd     `cmd:"" help:"Write a ticket for two people to sign; needs no database."`
	Sign    ticketSignCmd    `cmd:"" help:"Sign the request, on the requester's own machine."`
	Approve ticketApproveCmd `cmd:"" help:"Sign the approval, on the approver's own machine."`
	Show    ticketShowCmd    `cmd:"" help:"Print a ticket and who is said to have signed it."`
	Check   ticketCheckCmd   `cmd:"" help:"Tell whether a ticket would be good now."`
	Revoke  ticketRevokeCmd  `cmd:"" help:"Take a ticket back, before its use or in its course."`
}

type ticketNewCmd struct {
	Purpose string        `arg:"" help:"open, reidentify, replay, rotate, reseal, erase, report or unjoin."`
	Scope   []string      `arg:"" help:"For open the id (IdRicevuta or IdTrasmissione); for reidentify, erase, report and unjoin region|nation and a code; for replay two days or instants; for rotate and reseal the name of a key and an epoch."`
	As      string        `help:"The person who will sign the request." required:""`
	Reason  string        `help:"Why; it stands in the journal for ever and must name no child." required:""`
	Hub     string        `help:"The origin of the hub's journal; default: that of the configuration."`
	Life    time.Duration `help:"How long it holds." default:"24h"`
	Out     string        `short:"o" help:"File to write; it must not exist." required:"" type:"path"`
}

// Run writes.
func (c *ticketNewCmd) Run(root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.NewTicket(cfg, app.NewTicketOptions{
		Purpose: c.Purpose, Scope: c.Scope, As: c.As, Reason: c.Reason, Hub: c.Hub, Life: c.Life, Out: c.Out,
	}, os.Stdout)
}

type ticketSignCmd struct {
	File string `arg:"" help:"The ticket; it is replaced by the signed one." type:"existingfile"`
	Key  string `help:"File of the Ed25519 private key (PKCS #8 or OpenSSH, without a passphrase); - reads it from standard input." required:""`
}

// Run signs.
func (c *ticketSignCmd) Run() error {
	return app.SignTicket(app.SignTicketOptions{File: c.File, Key: c.Key}, os.Stdout)
}

type ticketApproveCmd struct {
	File string `arg:"" help:"The ticket; it is replaced by the signed one." type:"existingfile"`
	As   string `help:"Who approves." required:""`
	Key  string `help:"File of the Ed25519 private key (PKCS #8 or OpenSSH, without a passphrase); - reads it from standard input." required:""`
}

// Run signs.
func (c *ticketApproveCmd) Run() error {
	return app.SignTicket(app.SignTicketOptions{File: c.File, Key: c.Key, As: c.As}, os.Stdout)
}

type ticketShowCmd struct {
	File string `arg:"" help:"The ticket." type:"existingfile"`
}

// Run shows.
func (c *ticketShowCmd) Run() error { return app.ShowTicket(c.File, os.Stdout) }

type ticketCheckCmd struct {
	File string `arg:"" help:"The ticket." type:"existingfile"`
}

// Run checks.
func (c *ticketCheckCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.CheckTicket(ctx, cfg, c.File, os.Stdout)
}

type ticketRevokeCmd struct {
	reasonFlags

	File string `arg:"" help:"The ticket." type:"existingfile"`
}

// Run revokes.
func (c *ticketRevokeCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.RevokeTicket(ctx, cfg, c.File, c.who(), os.Stdout)
}

// showFlags are where a child's data go.
type showFlags struct {
	Ticket string `help:"File of a ticket that two people signed; it is good for one use." required:"" type:"existingfile"`
	Print  bool   `help:"Show it on this terminal."`
	Out    string `short:"o" help:"New file to write it to, which only you can read." type:"path"`
}

type openCmd struct {
	showFlags

	Attempt int32 `help:"Of an IdTrasmissione: the number of the attempt; default: the last one kept."`
}

// Run opens one message.
func (c *openCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.OpenSealed(ctx, cfg, app.ShowOptions{Ticket: c.Ticket, Attempt: c.Attempt, Print: c.Print, Out: c.Out}, os.Stdout)
}

type reidentifyCmd struct{ showFlags }

// Run asks who is behind a pseudonym.
func (c *reidentifyCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Reidentify(ctx, cfg, app.ShowOptions{Ticket: c.Ticket, Print: c.Print, Out: c.Out}, os.Stdout)
}

type reidentificationsCmd struct {
	Month string `help:"The month, in UTC; default: the last whole one." placeholder:"YYYY-MM"`
	JSON  bool   `name:"json" help:"One JSON line each."`
}

// Run lists.
func (c *reidentificationsCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Reidentifications(ctx, cfg, app.ReidentificationsOptions{Month: c.Month, JSON: c.JSON}, os.Stdout)
}

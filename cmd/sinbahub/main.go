// Command sinbahub is the hub: the gateway and the delivery (serve) and the verbs of its
// operators. Each verb only reads its flags and calls internal/app.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
)

// version is set by the build.
var version = "dev"

// The exit codes of send (contract, "The command line"). flusso ends with exitRefused when it left
// incomplete records out, reconcile when hub and SISS differ.
const (
	exitFailed      = 1
	exitRefused     = 3
	exitUnreachable = 4
)

// cli is the command line.
type cli struct {
	Config string `help:"Configuration file (YAML); without it the embedded default." type:"path"`

	Serve       serveCmd       `cmd:"" help:"Run the gateway and the delivery."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the database to this binary's version."`
	Keys        keysCmd        `cmd:"" help:"Manage keysets."`
	Participant participantCmd `cmd:"" help:"Manage participants."`
	Reference   referenceCmd   `cmd:"" help:"Manage the dated lists that codes are held against."`
	Maintenance maintenanceCmd `cmd:"" help:"Close the door to new events with a text, and open it again."`
	Send        sendCmd        `cmd:"" help:"Send event documents to a hub."`
	Reconcile   reconcileCmd   `cmd:"" help:"Compare with SISS what was delivered, now; tell every difference."`
	Flusso      flussoCmd      `cmd:"" help:"Write the national SINBA flow of an ente's cases."`
	Delivery    deliveryCmd    `cmd:"" help:"List deliveries to SISS, and retry, park or send them again."`
	Codes       codesCmd       `cmd:"" help:"List what SISS was told of changed and joined codes, and tell again what it refused."`
	Person      personCmd      `cmd:"" help:"Manage the people who sign tickets."`
	Ticket      ticketCmd      `cmd:"" help:"Write, sign and check tickets: what two people allow."`
	Open        openCmd        `cmd:"" help:"Show a stored message under a ticket; who looked, who approved, and why, is journalled before."`
	Reidentify  reidentifyCmd  `cmd:"" help:"Show who is behind a pseudonym, under a ticket."`
	Opener      openerCmd      `cmd:"" help:"Run the opener: the only process that can open what was sealed."`
	Retention   retentionCmd   `cmd:"" help:"Delete what is beyond its period."`
	Subject     subjectCmd     `cmd:"" help:"What is held of one child, who looked, and erasure."`
	Audit       auditCmd       `cmd:"" help:"Export evidence for auditors."`
	Replay      replayCmd      `cmd:"" help:"Run stored messages again; nothing is sent or changed."`
	Demo        demoCmd        `cmd:"" help:"Run hub, simulator and samples on this machine."`
	Version     versionCmd     `cmd:"" help:"Print the version."`

	Reidentifications reidentificationsCmd `cmd:"" help:"List a month's re-identifications and refused tickets, for the privacy officer."`

	AcceptDatabase acceptDatabaseCmd `cmd:"" help:"Let serve use a database that lacks what was acknowledged, as after a restore."`
}

type serveCmd struct {
	Addresses string `help:"Write the listeners' addresses to this file once ready (JSON)." type:"path"`
	Jail      string `help:"Instead of jail.mode: auto runs the validator with the walls the system allows, require refuses to start with less than all." enum:"auto,require," default:""`
}

// Run serves until a signal or a failure.
func (c *serveCmd) Run(ctx context.Context, root *cli) error {
	load := func() (config.Config, error) {
		cfg, err := config.Load(root.Config, os.Environ())
		if err == nil && c.Jail != "" {
			cfg.Jail.Mode = c.Jail
		}
		return cfg, err
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	return app.Serve(ctx, cfg, app.ServeOptions{Version: version, AddressesFile: c.Addresses, Log: os.Stderr, Reload: load})
}

type migrateCmd struct {
	AdminURLFile string `help:"File with the URL of a superuser or owner of the database; without it the embedded cluster." type:"path"`
}

// Run migrates once.
func (c *migrateCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Migrate(ctx, cfg, c.AdminURLFile, os.Stderr)
}

type keysCmd struct {
	Init    keysInitCmd    `cmd:"" help:"Make the keysets of this environment; never overwrites."`
	Status  keysStatusCmd  `cmd:"" help:"Tell of every epoch of every key: in use, held by which instances, needed by how many rows."`
	Rotate  keysRotateCmd  `cmd:"" help:"Make a new epoch of a key and bring it into use while traffic flows; given again it goes on."`
	Destroy keysDestroyCmd `cmd:"" help:"Destroy an epoch of a key that nothing depends on."`
}

type keysInitCmd struct{}

// Run makes the keysets.
func (*keysInitCmd) Run(_ context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.InitKeys(cfg)
}

type participantCmd struct {
	Load participantLoadCmd `cmd:"" help:"Load participants, enti and products from a file; makes a password file for each new one."`
}

type participantLoadCmd struct {
	File      string `arg:"" help:"YAML file of participants." type:"existingfile"`
	Passwords string `help:"Folder for the password files." type:"path" required:""`
}

// Run loads the file into the registry.
func (c *participantLoadCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.LoadParticipants(ctx, cfg, c.File, c.Passwords)
}

type referenceCmd struct {
	Check referenceCheckCmd `cmd:"" help:"Tell what a folder of lists would change, and every fault in it; change nothing."`
	Load  referenceLoadCmd  `cmd:"" help:"Check a folder of lists and put them in force."`
	ANPR  referenceANPRCmd  `cmd:"" name:"anpr" help:"Turn the ANPR archive of municipalities (CSV) into comuni.tsv on standard output."`
}

type referenceCheckCmd struct {
	Dir string `arg:"" help:"Folder with all lists that shall be in force beside those in the binary." type:"existingdir"`
	All bool   `help:"Tell every row that changes."`
}

// Run checks.
func (c *referenceCheckCmd) Run(root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.CheckReference(cfg, os.Stdout, c.Dir, c.All)
}

type referenceLoadCmd struct {
	Dir string `arg:"" help:"Folder with all lists that shall be in force beside those in the binary." type:"existingdir"`
	All bool   `help:"Tell every row that changes."`
}

// Run checks and loads.
func (c *referenceLoadCmd) Run(root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.LoadReference(cfg, os.Stdout, c.Dir, c.All)
}

type referenceANPRCmd struct {
	Archive string `arg:"" help:"ANPR_archivio_comuni.csv." type:"existingfile"`
}

// Run converts.
func (c *referenceANPRCmd) Run() error { return app.ConvertANPR(os.Stdout, os.Stderr, c.Archive) }

type sendCmd struct {
	Files        []string `arg:"" help:"Event documents (InviaEventoRichiesta)." type:"existingfile"`
	URL          string   `help:"Address of the service; default: that of var/run.json."`
	User         string   `help:"API user; default: the demo's participant of the ente in each document."`
	PasswordFile string   `help:"File with the API password." type:"path"`
	JSON         bool     `help:"One JSON line a document instead of a table."`
	Verify       bool     `help:"Only ask what would become of it (verificaEvento)." xor:"how"`
	Lot          bool     `help:"Send them as lots of up to 100 events (inviaLotto); what a lot cannot settle is sent again a few times." xor:"how"`
}

// Run sends the documents.
func (c *sendCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Send(ctx, os.Stdout, app.SendOptions{
		URL: c.URL, User: c.User, PasswordFile: c.PasswordFile, JSON: c.JSON, Verify: c.Verify, Lot: c.Lot, Var: cfg.Var,
	}, c.Files)
}

type flussoCmd struct {
	Ente          string    `help:"CodiceEnte whose cases are meant." required:""`
	Riferimento   time.Time `help:"Reference date." format:"2006-01-02" placeholder:"YYYY-MM-DD" required:""`
	Out           string    `short:"o" help:"File to write; it must not exist. Without it only --metrics is written." type:"path"`
	Metrics       string    `help:"File for the figures of completeness, for Prometheus's textfile collector (FILE.prom); it is replaced." type:"path"`
	Denominazione string    `help:"The ente's name, told in the flow."`
	Indirizzo     string    `help:"The ente's address, told in the flow."`
	OperatoreFile string    `help:"File with the CFOperatore, told in the flow." type:"path"`
}

// Run writes the flow.
func (c *flussoCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Flow(ctx, cfg, app.FlowOptions{
		Ente: c.Ente, Reference: c.Riferimento, Out: c.Out, Metrics: c.Metrics, Name: c.Denominazione, Address: c.Indirizzo, OperatorFile: c.OperatoreFile,
	}, os.Stdout)
}

type reconcileCmd struct {
	Day  time.Time `help:"The Italian day to compare; without it the last days that are not known to be equal." format:"2006-01-02" placeholder:"YYYY-MM-DD"`
	JSON bool      `help:"One JSON line a day instead of tables."`
}

// Run compares.
func (c *reconcileCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.Reconcile(ctx, cfg, app.ReconcileOptions{Day: c.Day, JSON: c.JSON}, os.Stdout, os.Stderr)
}

type demoCmd struct {
	Run  demoRunCmd  `cmd:"" help:"Start everything, send the samples, stay until Ctrl-C."`
	Up   demoUpCmd   `cmd:"" help:"Start everything in the background; starts only what is not running."`
	Down demoDownCmd `cmd:"" help:"Stop everything."`
}

type demoRunCmd struct{}

// Run runs the demo in the foreground.
func (*demoRunCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.DemoRun(ctx, cfg, os.Stdout)
}

type demoUpCmd struct{}

// Run starts the demo in the background.
func (*demoUpCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.DemoUp(ctx, cfg, os.Stdout)
}

type demoDownCmd struct{}

// Run stops the demo.
func (*demoDownCmd) Run(ctx context.Context, root *cli) error {
	cfg, err := config.Load(root.Config, os.Environ())
	if err != nil {
		return err
	}
	return app.DemoDown(ctx, cfg, os.Stdout)
}

type versionCmd struct{}

// Run prints the version.
func (*versionCmd) Run() error {
	fmt.Println(version)
	return nil
}

func main() { os.Exit(run()) }

// run gives the exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer startProfile()()
	root := &cli{}
	parsed := kong.Parse(root, kong.Name("sinbahub"), kong.Description("The regional gateway between case-file products and SISS."), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(root))
	err := parsed.Run()
	if err == nil {
		return 0
	}
	if errors.Is(err, app.ErrRefused) || errors.Is(err, app.ErrIncomplete) || errors.Is(err, app.ErrDifferent) {
		return exitRefused
	}
	exit, ends := errors.AsType[*app.ExitError](err)
	if ends && exit.Err == nil {
		return exit.Code
	}
	fmt.Fprintln(os.Stderr, "sinbahub:", err)
	if ends {
		return exit.Code
	}
	if errors.Is(err, app.ErrUnreachable) {
		return exitUnreachable
	}
	return exitFailed
}

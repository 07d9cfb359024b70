// Command sinbaverify checks the hub's evidence offline: a bundle given to an auditor, or the proofs that
// a vendor stored with its receipts. It needs nothing but the files: no network, no database, no hub.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// version is set by the build.
var version = "dev"

const usage = `sinbaverify checks the evidence of a S.In.Ba. hub, offline.

  sinbaverify bundle  [--key FILE] [--checkpoint FILE]... [--json] BUNDLE
      Recompute a bundle from its entries to the signed root.
      --key         your own copy of the journal's public key; without it the one in the bundle
      --checkpoint  a signed checkpoint that you or somebody else kept, or a vendor's whole stored
                    answer (statoEvento with Prova, or a receipt); may be repeated

  sinbaverify receipt  --key FILE [--receipt FILE]... [--json] STATO...
      Check the proofs in stored answers of statoEvento (SOAP envelope or its bare body).
      --key         the journal's public key
      --receipt     the stored answer of inviaEvento or inviaLotto; may be repeated

  sinbaverify version
  sinbaverify --help

Exit codes:
  0  good        everything was recomputed and agrees
  2  tampered    something is not what was signed; the member and the leaf are named
  3  incomplete  what is there agrees, and something is missing that retention does not account for
  4  unusable    not evidence, unreadable, no key, or a command line that is not one of these
`

// mostFile is the largest file beside a bundle that is read.
const mostFile = 64 << 20

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run gives the exit code.
func run(args []string, out, trouble io.Writer) int {
	if len(args) == 0 {
		_, _ = fmt.Fprint(trouble, usage)
		return int(verify.Unusable)
	}
	var report *verify.Report
	var asJSON bool
	var err error
	switch args[0] {
	case "bundle":
		report, asJSON, err = bundle(args[1:])
	case "receipt":
		report, asJSON, err = receipt(args[1:])
	case "version", "--version":
		_, _ = fmt.Fprintln(out, version)
		return 0
	case "help", "--help", "-help", "-h":
		_, _ = fmt.Fprint(out, usage)
		return 0
	default:
		err = fmt.Errorf("%w: there is no %q", errUsage, args[0])
	}
	if errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprint(out, usage)
		return 0
	}
	if errors.Is(err, errUsage) {
		_, _ = fmt.Fprintf(trouble, "sinbaverify: %v\n\n%s", err, usage)
		return int(verify.Unusable)
	}
	if err == nil {
		err = write(report, out, asJSON)
	}
	if err != nil {
		_, _ = fmt.Fprintln(trouble, "sinbaverify:", err)
		return int(verify.Unusable)
	}
	return report.Exit
}

func write(report *verify.Report, out io.Writer, asJSON bool) error {
	if asJSON {
		return report.JSON(out)
	}
	return report.Text(out)
}

var (
	errUsage = errors.New("the command line is not one of these")
	errTwice = errors.New("given twice")
)

// files is a flag that may be repeated.
type files []string

// String is what flag asks for.
func (f *files) String() string { return "" }

// Set adds a file.
func (f *files) Set(name string) error {
	*f = append(*f, name)
	return nil
}

// once is a flag that is given at most once: of two keys neither is dropped unseen.
type once string

// String is what flag asks for.
func (o *once) String() string { return "" }

// Set takes the value.
func (o *once) Set(value string) error {
	if *o != "" {
		return errTwice
	}
	*o = once(value)
	return nil
}

// parse reads flags and the arguments between and behind them.
func parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, flag.ErrHelp
		} else if err != nil {
			return nil, fmt.Errorf("%w: %v", errUsage, err) //nolint:errorlint // its words are enough
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}

func bundle(args []string) (report *verify.Report, asJSON bool, err error) {
	flags := flag.NewFlagSet("bundle", flag.ContinueOnError)
	var checkpoints files
	flags.Var(&checkpoints, "checkpoint", "")
	var key once
	flags.Var(&key, "key", "")
	flags.BoolVar(&asJSON, "json", false, "")
	rest, err := parse(flags, args)
	if err != nil {
		return nil, false, err
	}
	if len(rest) != 1 {
		return nil, false, fmt.Errorf("%w: bundle wants one file, and there are %d", errUsage, len(rest))
	}
	var options verify.BundleOptions
	if key != "" {
		d, err := read(string(key))
		if err != nil {
			return nil, false, err
		}
		options.Key = &d
	}
	if options.Checkpoints, err = readAll(checkpoints); err != nil {
		return nil, false, err
	}
	file, err := os.Open(rest[0])
	if err != nil {
		return nil, false, fmt.Errorf("open the bundle: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("open the bundle: %w", err)
	}
	return verify.Bundle(file, info.Size(), options), asJSON, nil
}

func receipt(args []string) (report *verify.Report, asJSON bool, err error) {
	flags := flag.NewFlagSet("receipt", flag.ContinueOnError)
	var names files
	flags.Var(&names, "receipt", "")
	var key once
	flags.Var(&key, "key", "")
	flags.BoolVar(&asJSON, "json", false, "")
	rest, err := parse(flags, args)
	if err != nil {
		return nil, false, err
	}
	if key == "" {
		return nil, false, fmt.Errorf("%w: receipt wants --key", errUsage)
	}
	if len(rest) == 0 {
		return nil, false, fmt.Errorf("%w: receipt wants the file of a STATO", errUsage)
	}
	k, err := read(string(key))
	if err != nil {
		return nil, false, err
	}
	receipts, err := readAll(names)
	if err != nil {
		return nil, false, err
	}
	states, err := readAll(rest)
	if err != nil {
		return nil, false, err
	}
	return verify.Receipts(k, receipts, states), asJSON, nil
}

func readAll(names []string) (all []verify.Document, err error) {
	for _, name := range names {
		d, err := read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// read reads a file of at most mostFile bytes.
func read(name string) (verify.Document, error) {
	file, err := os.Open(name) //nolint:gosec // the user names it
	if err != nil {
		return verify.Document{}, fmt.Errorf("read: %w", err)
	}
	defer func() { _ = file.Close() }()
	b, err := io.ReadAll(io.LimitReader(file, mostFile+1))
	if err != nil {
		return verify.Document{}, fmt.Errorf("read: %w", err)
	}
	if len(b) > mostFile {
		return verify.Document{}, fmt.Errorf("read %s: longer than %d bytes", name, mostFile)
	}
	return verify.Document{Name: name, Bytes: b}, nil
}

package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/xsd"
)

// WhatIfOptions are what is tried; an empty part stays as recorded.
type WhatIfOptions struct {
	ReplayOptions

	// XSD is another schema of events, Mapping another leaf table (foglie.tsv).
	XSD, Mapping string
	// Severities is a YAML file with the keys of rules in the configuration: cut_off, warning_only.
	Severities string
	// Reference is a folder of dated lists.
	Reference string
	// CSV and HTML are the files of the report; they must not exist. Without either the CSV goes to Out.
	CSV, HTML string
}

var (
	errNoCandidate     = errors.New("name what is tried: --xsd, --mapping, --severities or --reference")
	errSeveritiesFile  = errors.New("the file of severities is no valid YAML of the keys cut_off and warning_only")
	errNothingTried    = errors.New("there is nothing to try: no message was accepted or refused in this range")
	errWhatIfFileTaken = errors.New("a file of the report is there already: name another one")
)

// candidateSchema is the validator's number of the schema that is tried.
const candidateSchema validator.Schema = 7

// candidateFiles are the files of what is tried.
type candidateFiles struct {
	xsd, mapping []byte
	severities   *sinba.Severities
	reference    *codelist.Set
	// names say what is tried, digests which files these are.
	names, digests []string
}

// readCandidate reads and checks the files before anything is opened.
func readCandidate(o *WhatIfOptions) (*candidateFiles, error) {
	f := &candidateFiles{}
	read := func(what, file string) ([]byte, error) {
		if file == "" {
			return nil, nil
		}
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		f.names = append(f.names, what+" "+filepath.Base(file))
		sum := sha256.Sum256(text)
		f.digests = append(f.digests, what+":"+hex.EncodeToString(sum[:]))
		return text, nil
	}
	var err error
	if f.xsd, err = read("schema", o.XSD); err != nil {
		return nil, err
	}
	if f.mapping, err = read("mapping", o.Mapping); err != nil {
		return nil, err
	}
	rules, err := read("severities", o.Severities)
	if err != nil {
		return nil, err
	}
	if rules != nil {
		if f.severities, err = parseSeverities(rules); err != nil {
			return nil, err
		}
	}
	if o.Reference != "" {
		files, err := readReference(o.Reference)
		if err == nil {
			f.reference, err = codelist.Parse(files)
		}
		if err != nil {
			return nil, fmt.Errorf("reference data of %s: %w", o.Reference, err)
		}
		f.names = append(f.names, "reference data "+f.reference.Version())
		f.digests = append(f.digests, "reference:"+f.reference.Version())
	}
	if len(f.names) == 0 {
		return nil, errNoCandidate
	}
	return f, nil
}

// parseSeverities reads a configuration of the rules.
func parseSeverities(text []byte) (*sinba.Severities, error) {
	var rules config.Rules
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil && !errors.Is(err, io.EOF) {
		return nil, errSeveritiesFile
	}
	return newSeverities(config.Config{Rules: rules})
}

// candidate makes what is tried of the files, against the registry of the parts.
func (f *candidateFiles) candidate(parts *replay.Parts) (*replay.Candidate, error) {
	c := &replay.Candidate{Severities: f.severities}
	var lists sinba.Reference
	for _, lists = range parts.References {
		break
	}
	if f.reference != nil {
		lists.Use(f.reference)
		c.Reference = &lists
	}
	schema := f.xsd
	if schema == nil {
		var err error
		if schema, err = xsd.FS.ReadFile(xsd.SinbaEventi); err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
	} else {
		c.Schema = candidateSchema
	}
	if f.xsd == nil && f.mapping == nil {
		return c, nil
	}
	var err error
	if f.mapping != nil {
		c.Events, err = sinba.LoadVersion(schema, f.mapping, lists)
	} else {
		c.Events, err = sinba.Load(schema, lists)
	}
	if err != nil {
		return nil, fmt.Errorf("schema and mapping do not go together: %w", err)
	}
	return c, nil
}

// ReplayWhatIf replays accepted events under another schema, rule set, mapping or reference data and
// reports what would be otherwise, for each participant and product. Nothing is stored or sent. Its
// error is an *ExitError: 2 if something would be otherwise, 3 if something could not be replayed, 4 if
// the replay could not be done, 5 if there is nothing to try.
func ReplayWhatIf(ctx context.Context, cfg config.Config, o WhatIfOptions) error {
	r := &replayRun{cfg: cfg, o: o.ReplayOptions, what: "what_if"}
	defer r.close()
	fail := func(err error) error { return &ExitError{replayUnusable, err} }
	files, err := readCandidate(&o)
	if err != nil {
		return fail(err)
	}
	if err := checkFree(o.CSV, o.HTML); err != nil {
		return fail(err)
	}
	r.schema = files.xsd
	var candidate *replay.Candidate
	if err := r.begin(ctx, files.digests, func(parts *replay.Parts) (err error) {
		candidate, err = files.candidate(parts)
		return err
	}); err != nil {
		return fail(err)
	}
	report, err := replay.WhatIf(ctx, r.parts, candidate, r.options)
	all := whatIfSum(&report)
	codes := []hub.Code{}
	for _, d := range files.digests {
		codes = append(codes, hub.Code(d))
	}
	if err := r.end(ctx, err, "done", codes, all.Messages); err != nil {
		return fail(err)
	}
	if err := r.presentWhatIf(&o, files, &report); err != nil {
		return fail(err)
	}
	switch {
	case all.Messages+all.Refused == 0:
		return &ExitError{replayEmpty, errNothingTried}
	case all.Fails+all.Different+all.MayPass > 0:
		return &ExitError{Code: replayDifferent}
	case all.NotTried > 0:
		return &ExitError{Code: replayIncomplete}
	}
	return nil
}

// whatIfSum adds all senders.
func whatIfSum(r *replay.WhatIfReport) (all replay.Tally) {
	for _, t := range r.Senders {
		all.Messages += t.Messages
		all.Fails += t.Fails
		all.Different += t.Different
		all.NotTried += t.NotTried
		all.Refused += t.Refused
		all.MayPass += t.MayPass
	}
	return all
}

// checkFree refuses files that are there.
func checkFree(files ...string) error {
	for _, file := range files {
		if _, err := os.Lstat(file); file != "" && !errors.Is(err, fs.ErrNotExist) {
			return errWhatIfFileTaken
		}
	}
	return nil
}

// presentWhatIf writes the report's files.
func (r *replayRun) presentWhatIf(o *WhatIfOptions, files *candidateFiles, report *replay.WhatIfReport) error {
	scope := "Messages received from " + r.options.From.Format(time.RFC3339) + " to before " + r.options.To.Format(time.RFC3339)
	if r.options.IDs != nil {
		scope = fmt.Sprintf("%d messages by their IdRicevuta", len(r.options.IDs))
	}
	if o.Ente != "" {
		scope += ", of the ente " + o.Ente
	}
	p := &replay.Presented{
		WhatIfReport: report, Title: "What if: " + strings.Join(files.names, ", "), Scope: scope + ".",
		Made:  "Environment " + r.cfg.Env().String() + ", hub " + o.Version + ".",
		Least: r.cfg.Privacy.Least(),
	}
	if o.CSV == "" && o.HTML == "" {
		return p.CSV(o.Out)
	}
	for file, write := range map[string]func(io.Writer) error{o.CSV: p.CSV, o.HTML: p.HTML} {
		if file == "" {
			continue
		}
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return err
		}
		if err := writeOwnerFile(file, text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

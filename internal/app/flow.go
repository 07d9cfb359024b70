package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// FlowOptions say which flow to write, and where.
type FlowOptions struct {
	// Ente is the CodiceEnte whose cases are meant.
	Ente string
	// Reference is the day whose state the records show.
	Reference time.Time
	// Out is the file; it must not exist. Empty: nothing is written but Metrics.
	Out string
	// Metrics is a file for the figures of the records' completeness; empty for none. It is replaced.
	Metrics string
	// Name, Address and OperatorFile are what the flow says of the sender: the ente's Denominazione
	// and Indirizzo, and a file with the CFOperatore. Empty ones are left out.
	Name, Address, OperatorFile string
}

// ErrIncomplete says that a flow was made without the records of some cases, which were listed.
var ErrIncomplete = errors.New("at least one case has no complete record")

// The faults of a flow.
var (
	errFlowExists  = errors.New("the file is there already: name another one")
	errFlowEnte    = errors.New("no ente of this code is in the registry")
	errFlowEmpty   = errors.New("no case has a complete record: nothing was written")
	errFlowNothing = errors.New("nothing to write: name the flow's file, or the figures'")
	errFlowInvalid = errors.New("a record does not conform to the schema of the flow")
)

// Flow writes the national flow of one ente's cases (Flusso/SINBA, xsd/flusso-sinba-v1.xsd) and
// tells on out which cases are not in it and what each of them misses: by the case's random id and
// the IdEvento of its first event, by which its ente finds it. No identity is read or told.
//
// The cases come from one snapshot, one after the other, and are never all in memory. Each record is
// validated, in a flow of its own, before it is written; the file gets its name only when it is whole
// and durable. ErrIncomplete if cases were left out for what they miss. Without a file for the flow only
// the figures are written, and incomplete cases are no error.
func Flow(ctx context.Context, cfg config.Config, o FlowOptions, out io.Writer) error {
	if o.Out == "" && o.Metrics == "" {
		return errFlowNothing
	}
	if _, err := os.Lstat(o.Out); o.Out != "" && !errors.Is(err, fs.ErrNotExist) {
		return errFlowExists
	}
	keys, err := loadKeys(cfg)
	if err != nil {
		return err
	}
	// It records the keys at their first use; and a flow without the last events is none to hand in.
	store, closeStore, err := openStore(ctx, cfg, writing)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := errors.Join(store.CheckKeys(ctx, cfg.Env(), keys.Fingerprints()), useEpochs(ctx, keys, store, cfg.Env())); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	w, err := newFlow(ctx, cfg, store, keys, o)
	if err != nil {
		return err
	}
	defer w.schema.Close() //nolint:errcheck // it cannot fail
	if o.Out == "" {
		err = w.measure(ctx, cfg, store)
	} else {
		err = w.write(ctx, cfg, store, o.Out)
	}
	if err == nil && o.Metrics != "" {
		err = w.writeMetrics(o.Metrics, o.Ente, time.Now())
	}
	if err != nil {
		return err
	}
	err = w.report(out)
	if o.Out == "" && (errors.Is(err, ErrIncomplete) || errors.Is(err, errFlowEmpty)) {
		return nil // to tell it was all that was asked for
	}
	return err
}

// flow is one flow being written.
type flow struct {
	events *sinba.Catalogue
	keys   *pseudonym.Keys
	schema *xmlschema.Schema
	head   []byte
	ente   int32
	at     time.Time
	// least is the number of cases from which it may be told.
	least int64

	to *bufio.Writer
	// written, early and past count cases by what became of them.
	written, early, past int
	left                 []leftOut
}

// leftOut is a case without a complete record.
type leftOut struct {
	file, first uuid.UUID
	missing     []string
}

// newFlow prepares what every record needs.
func newFlow(ctx context.Context, cfg config.Config, store *postgres.Store, keys *pseudonym.Keys, o FlowOptions) (*flow, error) {
	roll, err := store.LoadRegistry(ctx, cfg.Env())
	if err != nil {
		return nil, fmt.Errorf("load registry: %w", err)
	}
	w := &flow{keys: keys, at: o.Reference, least: cfg.Privacy.Least()}
	for _, e := range roll.Enti {
		if e.Code == o.Ente {
			w.ente = e.ID
		}
	}
	if w.ente == 0 {
		return nil, errFlowEnte
	}
	lists, err := readReference(cfg.Reference.Dir)
	if err != nil {
		return nil, err
	}
	set, err := codelist.Parse(lists)
	if err != nil {
		return nil, fmt.Errorf("read reference data: %w", err)
	}
	reference, err := newReference(cfg, set, roll)
	if err != nil {
		return nil, fmt.Errorf("load catalogue of events: %w", err)
	}
	w.events = reference.Events
	operator, err := readPassword(o.OperatorFile)
	if err != nil {
		return nil, err
	}
	head := sinba.FlowHead{Ente: o.Ente, Name: o.Name, Address: o.Address, Operator: operator, Reference: o.Reference}
	w.head = head.AppendXML(nil)
	text, err := xsd.FS.ReadFile(xsd.FlussoSinba)
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	if w.schema, err = xmlschema.Compile(xsd.FlussoSinba, map[string][]byte{xsd.FlussoSinba: text}); err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return w, nil
}

// write writes the flow beside its place, for its owner only, and names it when it is durable.
func (w *flow) write(ctx context.Context, cfg config.Config, store *postgres.Store, name string) error {
	part := name + ".part"
	file, err := os.OpenFile(filepath.Clean(part), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the flow's file: %w", err)
	}
	// What is not whole must not be taken for a flow.
	defer os.Remove(part) //nolint:errcheck // it has its name by then
	w.to = bufio.NewWriter(file)
	_, err = w.to.Write(w.head)
	if err == nil {
		err = store.EachHistory(ctx, cfg.Env(), w.ente, w.take)
	}
	if err == nil {
		_, err = w.to.WriteString(sinba.FlowEnd)
	}
	if err = errors.Join(err, w.to.Flush(), file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the flow: %w", err)
	}
	if w.written == 0 {
		return nil // a flow has at least one record
	}
	if err := os.Link(part, name); err != nil {
		return fmt.Errorf("name the flow: %w", err)
	}
	if err := syncFolder(filepath.Dir(name)); err != nil {
		return fmt.Errorf("sync the flow's folder: %w", err)
	}
	return nil
}

// take writes the record of one case, or notes why there is none.
func (w *flow) take(h postgres.History) error {
	live := liveEvents(h.Events)
	if len(live) == 0 {
		return nil // annulled altogether: there is no such case
	}
	code, err := w.keys.Code(pseudonym.Nation, w.keys.Epoch(pseudonym.Nation), h.Subject)
	if err != nil {
		return err
	}
	record, missing, err := w.events.Record(live, sinba.RecordQuery{Beneficiary: code, Reference: w.at})
	if err != nil {
		return fmt.Errorf("make the record of case %s: %w", h.Case, err)
	}
	switch {
	case record.Standing() == sinba.RecordBeforeOpening:
		w.early++
	case record.Standing() == sinba.RecordPast:
		w.past++
	case len(missing) > 0:
		w.left = append(w.left, leftOut{h.Case, h.Events[0].ID, missing})
	default:
		return w.add(h.Case, record)
	}
	return nil
}

// add validates a record and writes it.
func (w *flow) add(file uuid.UUID, record sinba.Record) error {
	text := record.AppendXML(nil)
	verdict, err := w.schema.Check(slices.Concat(w.head, text, []byte(sinba.FlowEnd)), xmlschema.Judge)
	if err != nil {
		return fmt.Errorf("validate a record: %w", err)
	}
	if verdict.Status != xmlschema.Valid {
		return fmt.Errorf("case %s: %w", file, errFlowInvalid)
	}
	w.written++
	_, err = w.to.Write(text)
	return err
}

// liveEvents gives the bodies of the events that count in a case, in the order of the fold.
func liveEvents(all []postgres.StoredEvent) [][]byte {
	history, body := make([]casefile.Event, len(all)), make(map[uuid.UUID][]byte, len(all))
	for i, e := range all {
		history[i], body[e.ID] = e.Event, e.Body
	}
	var live [][]byte
	for _, e := range casefile.Live(history) {
		live = append(live, body[e.ID])
	}
	return live
}

// report tells what was written and what was not. The cases that miss something are listed by id, for their ente
// to complete them; the numbers are those of the metrics, and no others (a dash is one that must not be told).
func (w *flow) report(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if len(w.left) > 0 {
		_, _ = fmt.Fprintf(table, "CASE\tFIRST EVENT\tMISSING\n")
	}
	for _, l := range w.left {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", l.file, l.first, strings.Join(l.missing, " "))
	}
	told := w.tellable()
	number := func(name string) string {
		if n, ok := told[name]; ok {
			return strconv.FormatInt(n, 10)
		}
		return "-"
	}
	if _, names := w.missingCounts(); len(names) > 0 {
		_, _ = fmt.Fprintf(table, "MISSING\tCASES\n")
		for _, name := range names {
			_, _ = fmt.Fprintf(table, "%s\t%s\n", name, number(name))
		}
	}
	_, _ = fmt.Fprintf(table, "%s records, %s cases incomplete and left out, %s opened later, %s closed before the period\n",
		number(standingPrefix+standingComplete), number(standingPrefix+standingIncomplete),
		number(standingPrefix+standingEarly), number(standingPrefix+standingPast))
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	switch {
	case len(w.left) > 0:
		return ErrIncomplete
	case w.written == 0:
		return errFlowEmpty
	}
	return nil
}

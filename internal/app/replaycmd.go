package app

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/internal/ticket"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// ExitError ends a command with an exit code of its own; Err may be nil if all is told already.
type ExitError struct {
	Code int
	Err  error
}

// Error gives the cause.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return "exit " + strconv.Itoa(e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *ExitError) Unwrap() error { return e.Err }

// The exit codes of a replay.
const (
	replayDifferent  = 2
	replayIncomplete = 3
	replayUnusable   = 4
	replayEmpty      = 5
)

// ReplayOptions say what to replay, and how to tell it.
type ReplayOptions struct {
	// From and To bound when messages were received: instants (RFC 3339), or days, which are Italian and
	// whole; without To, until now.
	From, To string
	// Ente is the CodiceEnte of the only ente meant; empty for all.
	Ente string
	// IDs is a file of IdRicevuta, one a line; empty for all of the range.
	IDs string
	// Ticket is the file of the ticket under which it opens, whose requester replays, for its reason, and
	// whose range is meant if none is named.
	Ticket string
	// Reason is why, where Opener is given, which needs no ticket.
	Reason string
	// Resume is the file that remembers how far the replay is; empty for none.
	Resume string
	// References are folders of dated lists besides those in force.
	References []string
	// JSON tells the report as JSON.
	JSON bool
	// Version is this binary's.
	Version string
	// Out takes the report, Progress a bar; nil for none.
	Out, Progress io.Writer
	// Opener opens; nil is the opener of the configuration.
	Opener func(*replay.Parts) (replay.Opener, error)
	// Together leaves the process its connections: for a test, in whose process others have some.
	Together bool
}

// The faults of a replay's options.
var (
	errReplayRange = errors.New("name the range by --from, or the messages by --ids")
	errReplayScope = errors.New("the ticket allows another range")
	errReplayIDs   = errors.New("the file of ids needs one IdRicevuta a line, and at least one")
	errReplayStop  = errors.New("the replay was interrupted")
	errReplayEmpty = errors.New("there is nothing to verify: the journal has no entry in this range")
)

// replayRun is one run of a replay.
type replayRun struct {
	cfg   config.Config
	o     ReplayOptions
	parts *replay.Parts
	what  string
	actor string
	// ticket is what allows the run to open.
	ticket ticket.Signed
	// schema is another one to validate by, nil for none.
	schema []byte
	undo   []func()

	options replay.Options
	resumed bool
}

// ReplayVerify replays accepted events with what was recorded and tells what does not give the same. Its
// error is an *ExitError (none if all is equal or was erased lawfully): 2 if something differs, 3 if something could not be replayed, 4 if the replay
// could not be done, 5 if there is nothing to verify.
func ReplayVerify(ctx context.Context, cfg config.Config, o ReplayOptions) error {
	r := &replayRun{cfg: cfg, o: o, what: "verify"}
	defer r.close()
	if err := r.begin(ctx, nil, nil); err != nil {
		return &ExitError{replayUnusable, err}
	}
	report, err := replay.Verify(ctx, r.parts, r.options)
	code := verifyCode(&report)
	if err := r.end(ctx, err, map[int]string{0: "equal", replayDifferent: "different", replayIncomplete: "incomplete", replayEmpty: "empty"}[code], reportCodes(&report), report.Total()); err != nil {
		return &ExitError{replayUnusable, err}
	}
	if err := r.tellReport(&report); err != nil {
		return &ExitError{replayUnusable, err}
	}
	switch code {
	case 0:
		return nil
	case replayEmpty:
		return &ExitError{code, errReplayEmpty}
	}
	return &ExitError{Code: code}
}

// verifyCode is the exit code of a report.
func verifyCode(r *replay.Report) int {
	switch {
	case r.Counts[replay.Different]+r.Ledger.Found > 0:
		return replayDifferent
	case r.Ledger.Entries+r.Total() == 0:
		return replayEmpty
	case r.Counts[replay.Equal]+r.Counts[replay.Erased] < r.Total(): // what was erased lawfully is as the journal says
		return replayIncomplete
	}
	return 0
}

// reportCodes are the counts as an entry has them.
func reportCodes(r *replay.Report) (codes []hub.Code) {
	for _, status := range replay.Statuses() {
		codes = append(codes, hub.Code(string(status)+":"+strconv.FormatInt(r.Counts[status], 10)))
	}
	return append(codes, hub.Code("rows:"+strconv.FormatInt(r.Ledger.Found, 10)))
}

// close undoes what begin did.
func (r *replayRun) close() {
	for _, undo := range slices.Backward(r.undo) {
		undo()
	}
}

// begin opens everything, notes in the journal that the replay begins, and gives up new connections.
// prepare may add to the parts what needs files; candidate names what else the run depends on.
func (r *replayRun) begin(ctx context.Context, candidate []string, prepare func(*replay.Parts) error) error {
	r.options.Began = time.Now()
	if err := r.readTicket(); err != nil {
		return err
	}
	if err := r.findRange(); err != nil {
		return err
	}
	if err := r.openCheckpoint(candidate); err != nil {
		return err
	}
	parts, closeParts, err := ReplayParts(ctx, r.cfg, r.schema)
	if err != nil {
		return err
	}
	r.parts = parts
	r.undo = append(r.undo, closeParts)
	if err := r.addReferences(); err != nil {
		return err
	}
	if err := r.findEnte(); err != nil {
		return err
	}
	if prepare != nil {
		if err := prepare(parts); err != nil {
			return err
		}
	}
	if err := r.openOpener(ctx); err != nil {
		return err
	}
	word := "begun"
	if r.resumed {
		word = "resumed"
	}
	if err := r.journal(ctx, word, nil, 0); err != nil {
		return err
	}
	if !r.o.Together {
		if err := validator.Isolate(); err != nil {
			return err
		}
	}
	r.options.Gate = &replay.Gate{}
	r.listen(ctx)
	if r.o.Progress != nil {
		r.options.Progress = newMeter(r.o.Progress, time.Now).show
	}
	return nil
}

// readTicket reads who replays, why and what: only the opener proves it.
func (r *replayRun) readTicket() (err error) {
	if r.o.Opener != nil {
		if r.actor, err = accountName(); err == nil {
			err = checkWhy(r.o.Reason)
		}
		return err
	}
	if r.ticket, err = readTicket(r.o.Ticket); err != nil {
		return err
	}
	if r.ticket.Purpose != ticket.Replay {
		return opener.ErrPurpose
	}
	if err := CheckReason(r.ticket.Reason); err != nil {
		return err
	}
	r.actor, r.o.Reason = r.ticket.Requester, r.ticket.Reason
	return nil
}

// findRange reads what is meant, and holds it against what the ticket allows: without flags all of that.
func (r *replayRun) findRange() error {
	allowed := r.ticket.Scope
	if r.o.IDs != "" {
		ids, err := readIDs(r.o.IDs)
		r.options.IDs = ids
		return err
	}
	under := r.o.Opener == nil
	if under && r.o.From == "" && r.o.To == "" {
		r.options.From, r.options.To = allowed.From, allowed.To
		return nil
	}
	if r.o.From == "" {
		return errReplayRange
	}
	until := time.Now().UTC()
	if under && allowed.To.Before(until) {
		until = allowed.To
	}
	var err error
	r.options.From, r.options.To, err = readRange(r.o.From, cmp.Or(r.o.To, until.Format(time.RFC3339Nano)))
	if err == nil && under && (r.options.From.Before(allowed.From) || r.options.To.After(allowed.To)) {
		return fmt.Errorf("%w, %s to %s, than the one to replay, %s to %s: name a part of it, or write another ticket", errReplayScope,
			instant(allowed.From), instant(allowed.To), instant(r.options.From), instant(r.options.To))
	}
	return err
}

// readIDs reads a file of ids; an id that comes twice is meant once.
func readIDs(file string) ([]uuid.UUID, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("read ids: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	var ids []uuid.UUID
	seen := map[uuid.UUID]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, errReplayIDs
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if lines.Err() != nil || len(ids) == 0 {
		return nil, errReplayIDs
	}
	return ids, nil
}

// runHead is the first line of a checkpoint: which run it is of.
type runHead struct {
	Replay      string    `json:"replay"`
	Environment string    `json:"environment"`
	Version     string    `json:"version"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Ente        string    `json:"ente,omitempty"`
	IDs         string    `json:"ids,omitempty"`
	Candidate   string    `json:"candidate,omitempty"`
}

// openCheckpoint opens the file of the run. A range without an end has that of its first run.
func (r *replayRun) openCheckpoint(candidate []string) error {
	if r.o.Resume == "" {
		return nil
	}
	head := runHead{
		Replay: r.what, Environment: r.cfg.Env().String(), Version: r.o.Version, From: r.options.From, To: r.options.To, Ente: r.o.Ente,
		Candidate: strings.Join(candidate, " "),
	}
	if r.options.IDs != nil {
		sum := sha256.New()
		for _, id := range r.options.IDs {
			sum.Write(id[:])
		}
		head.IDs = hex.EncodeToString(sum.Sum(nil))
	}
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("begin the file of the replay: %w", err)
	}
	c, first, resumed, err := replay.OpenCheckpoint(r.o.Resume, text)
	if err != nil {
		return err
	}
	r.undo = append(r.undo, func() { _ = c.Close() })
	var known runHead
	if err := json.Unmarshal(first, &known); err != nil {
		return replay.ErrOtherRun
	}
	if r.o.To == "" {
		head.To = known.To
	}
	if !known.From.Equal(head.From) || !known.To.Equal(head.To) {
		return replay.ErrOtherRun
	}
	known.From, known.To = head.From, head.To // equal, but maybe of another location
	if known != head {
		return replay.ErrOtherRun
	}
	r.options.Checkpoint, r.options.To, r.resumed = c, known.To, resumed
	return nil
}

// findEnte finds the row of the ente.
func (r *replayRun) findEnte() error {
	if r.o.Ente == "" {
		return nil
	}
	for id, e := range r.parts.Enti {
		if e.Code == r.o.Ente {
			r.options.Ente = id
			return nil
		}
	}
	return errFlowEnte
}

// journal writes the entry that says how the replay began or ended.
func (r *replayRun) journal(ctx context.Context, word string, codes []hub.Code, n int64) error {
	scope := []hub.Code{"from:" + hub.Code(r.options.From.Format(time.RFC3339Nano)), "to:" + hub.Code(r.options.To.Format(time.RFC3339Nano))}
	if r.options.IDs != nil {
		scope = []hub.Code{hub.Code("ids:" + strconv.Itoa(len(r.options.IDs)))}
	}
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.MessagesReplayed,
		Environment: r.cfg.Env(), Ente: r.options.Ente, Outcome: r.what + "_" + word, Codes: append(scope, codes...),
		Count: int32(min(n, 1<<31-1)), Actor: r.actor, Reason: r.o.Reason, //nolint:gosec // bounded
	}
	e.Hub = r.o.Version
	if err := r.parts.Store.Journal(ctx, e); err != nil {
		return fmt.Errorf("note the replay in the journal: %w", err)
	}
	return nil
}

// end notes how the replay ended, and gives why it did not come to its end.
func (r *replayRun) end(ctx context.Context, failed error, word string, codes []hub.Code, n int64) error {
	if failed != nil {
		word = "interrupted"
		if ctx.Err() != nil {
			failed = errReplayStop
		}
		if r.o.Resume != "" {
			failed = fmt.Errorf("%w (the same command goes on where it was)", failed)
		}
	}
	// Also of what was interrupted by a signal.
	return errors.Join(failed, r.journal(context.WithoutCancel(ctx), word, codes, n))
}

// listen pauses and goes on at SIGUSR1 until the run is closed.
func (r *replayRun) listen(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	ctx, stop := context.WithCancel(ctx)
	r.undo = append(r.undo, func() {
		signal.Stop(signals)
		stop()
	})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			closed := r.options.Gate.Toggle()
			if r.o.Progress != nil {
				say(r.o.Progress, "\n%s\n", map[bool]string{true: "paused: SIGUSR1 goes on", false: "going on"}[closed])
			}
		}
	}()
}

// tellReport prints what came of a verification: the same for the same entries, however often it was
// interrupted.
func (r *replayRun) tellReport(report *replay.Report) error {
	out := r.o.Out
	if r.o.JSON {
		if err := json.NewEncoder(out).Encode(report); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	tellLedger(out, report.Ledger)
	for i := range report.Items {
		tellItem(out, &report.Items[i])
	}
	if n := report.Total() - report.Counts[replay.Equal] - int64(len(report.Items)); n > 0 {
		say(out, "and %d more\n", n)
	}
	for _, l := range report.Lacks {
		say(out, "this binary lacks %s %s; entries that need it: %d; %s\n", l.Of, cmp.Or(l.Version, "(none)"), l.Entries, hasIt(l.Hub))
	}
	say(out, "entries replayed: %d, of them attempts: %d\n", report.Total(), report.Attempts)
	for _, status := range replay.Statuses() {
		say(out, "%-16s %d\n", status, report.Counts[status])
	}
	for _, e := range report.Erasures {
		say(out, "of a child erased lawfully, by order of entry %s, and not to be replayed any more: %d\n", e.Entry, e.Entries)
	}
	if report.Before > 0 {
		say(out, "recorded before evidence, and compared with the stored columns only: %d\n", report.Before)
	}
	if report.Registry > 0 {
		say(out, "as recorded under the registry as it was then, which is another today: %d\n", report.Registry)
	}
	return nil
}

// hasIt says which hub has what this one lacks.
func hasIt(version string) string {
	if version == "" {
		return "which hub recorded them is not known"
	}
	return "hub " + version + " has it"
}

// tellItem prints one entry that is not equal.
func tellItem(out io.Writer, i *replay.Item) {
	var why []string
	for _, f := range i.Findings {
		why = append(why, string(f))
	}
	for _, l := range i.Lacks {
		why = append(why, "no "+l.Of+" "+l.Version)
	}
	if i.Erasure != nil {
		why = append(why, "by order of entry "+i.Erasure.String())
	}
	if i.Status == replay.Lost {
		why = append(why, "its subject's secret is not there, and no entry of the journal orders its erasure")
	}
	delivery := ""
	if i.Delivery != nil {
		delivery = " delivery " + i.Delivery.String()
	}
	event := ""
	if i.Event != nil {
		event = " event " + i.Event.String()
	}
	say(out, "%s message %s%s%s entry %s: %s\n", i.Status, i.Message, event, delivery, i.Entry, cmp.Or(strings.Join(why, ", "), "-"))
}

// addReferences makes further folders of dated lists known under their versions.
func (r *replayRun) addReferences() error {
	if len(r.o.References) == 0 {
		return nil
	}
	registry := r.parts.References[slices.Sorted(maps.Keys(r.parts.References))[0]]
	for _, dir := range r.o.References {
		files, err := readReference(dir)
		if err == nil {
			err = addReference(r.parts, registry, files)
		}
		if err != nil {
			return fmt.Errorf("reference data of %s: %w", dir, err)
		}
	}
	return nil
}

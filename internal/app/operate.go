package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/smallnumbers"
)

// The faults of an operator's command.
var (
	errNoReason   = errors.New("say why, with --reason: it stands in the journal")
	errUnknownID  = errors.New("no delivery and no receipt has this id")
	errOtherPlace = errors.New("that delivery belongs to the other environment: use its configuration")
	errMalformed  = errors.New("an id is a UUID: of a delivery (IdTrasmissione) or of a receipt (IdRicevuta)")
)

// operator is a command's connection to the database. It needs no key: it opens nothing, and runs
// as the application's role, which cannot change the journal or a message.
type operator struct {
	store *postgres.Store
	env   hub.Environment
	close func()
}

// openOperator connects to a database of this binary's version.
func openOperator(ctx context.Context, cfg config.Config, use purpose) (*operator, error) {
	store, closeStore, err := openStore(ctx, cfg, use)
	if err != nil {
		return nil, err
	}
	return &operator{store: store, env: cfg.Env(), close: closeStore}, nil
}

// DeliveryFilter are the flags by which deliveries are found.
type DeliveryFilter struct {
	// States are delivery states; empty for what a command means by itself.
	States []string
	// Ente is a CodiceEnte, Type a TipoEvento, Code one of the codes of the last attempt.
	Ente, Type, Code string
	// Older and Newer bound the age; 0 for no bound.
	Older, Newer time.Duration
}

// errState says that a word is no state.
var errState = errors.New("the states are pending, sending, retrying, uncertain, delivered, refused, dead, parked")

// filter is the same in the store's words, as of a moment.
func (f DeliveryFilter) filter(env hub.Environment, usual []hub.DeliveryState, now time.Time) (postgres.DeliveryFilter, error) {
	meant := postgres.DeliveryFilter{Environment: env, Ente: f.Ente, Type: f.Type, Code: f.Code, States: usual}
	if len(f.States) > 0 {
		meant.States = nil
	}
	for _, word := range f.States {
		state := hub.DeliveryState(word)
		if !slices.Contains(hub.DeliveryStates(), state) {
			return meant, errState
		}
		meant.States = append(meant.States, state)
	}
	if f.Older > 0 {
		meant.Before = now.Add(-f.Older)
	}
	if f.Newer > 0 {
		meant.From = now.Add(-f.Newer)
	}
	return meant, nil
}

// ListOptions say what to list.
type ListOptions struct {
	DeliveryFilter

	// Limit is the length of a page.
	Limit int
	// After is the delivery or receipt after which the page begins; empty for the first page.
	After string
	// Count asks for the numbers by state only.
	Count bool
	// JSON asks for one JSON line each.
	JSON bool
}

// mostListed is the longest page.
const mostListed = 10_000

// errLimit says that a page is too long, or none.
var errLimit = errors.New("--limit is 1 to 10,000")

// ListDeliveries prints deliveries, oldest first: without States all that SISS has not confirmed.
func ListDeliveries(ctx context.Context, cfg config.Config, o ListOptions, out io.Writer) error {
	if o.Limit < 1 || o.Limit > mostListed {
		return errLimit
	}
	open := []hub.DeliveryState{hub.Pending, hub.Sending, hub.Retrying, hub.Uncertain, hub.Refused, hub.Dead, hub.Parked}
	filter, err := o.filter(cfg.Env(), open, time.Now())
	if err != nil {
		return err
	}
	op, err := openOperator(ctx, cfg, reading)
	if err != nil {
		return err
	}
	defer op.close()
	if o.Count {
		counts, err := op.count(ctx, filter)
		if err != nil {
			return err
		}
		return printCounts(out, tellableCounts(counts, o.DeliveryFilter, cfg.Privacy.Least()), o.JSON)
	}
	var after postgres.Place
	if o.After != "" {
		last, err := op.find(ctx, o.After)
		if err != nil {
			return err
		}
		after = postgres.Place{ReceivedAt: last.ReceivedAt, Receipt: last.Message}
	}
	page, err := op.store.ListDeliveries(ctx, filter, after, o.Limit)
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	return printList(out, page, o)
}

// find reads the delivery of an id, in this environment.
func (op *operator) find(ctx context.Context, text string) (*postgres.ShownDelivery, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return nil, errMalformed
	}
	d, err := op.store.ShowDelivery(ctx, id)
	var known *hub.Error
	switch {
	case errors.As(err, &known) && known.Kind == hub.NotFound:
		return nil, errUnknownID
	case err != nil:
		return nil, fmt.Errorf("read delivery: %w", err)
	case d.Environment != op.env:
		return nil, errOtherPlace
	}
	return d, nil
}

// errTooMany says that the database gave up counting.
var errTooMany = errors.New("too many to count in time: say --ente, --newer or --older")

// count counts what a filter means.
func (op *operator) count(ctx context.Context, f postgres.DeliveryFilter) ([]postgres.Backlog, error) {
	const cancelled = "57014"
	counts, err := op.store.CountDeliveries(ctx, f)
	if server, ok := errors.AsType[*postgres.ServerError](err); ok && server.State == cancelled {
		return nil, errTooMany
	}
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	return counts, nil
}

// ShowDelivery prints all that may be seen of one delivery.
func ShowDelivery(ctx context.Context, cfg config.Config, id string, asJSON bool, out io.Writer) error {
	op, err := openOperator(ctx, cfg, reading)
	if err != nil {
		return err
	}
	defer op.close()
	d, err := op.find(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(shownLine(d))
	}
	return printShown(out, d)
}

// listLine is a delivery as a JSON line.
type listLine struct {
	Delivery   uuid.UUID   `json:"delivery_id"`
	Message    uuid.UUID   `json:"message_id"`
	Ente       string      `json:"ente"`
	Type       string      `json:"type"`
	State      string      `json:"state"`
	UnderWay   bool        `json:"under_way"`
	ReceivedAt time.Time   `json:"received_at"`
	AgeSeconds int64       `json:"age_seconds"`
	ChangedAt  time.Time   `json:"changed_at"`
	DueAt      *time.Time  `json:"due_at,omitempty"`
	Attempts   int32       `json:"attempts"`
	Codes      []string    `json:"codes"`
	Behind     *behindLine `json:"behind,omitempty"`
}

// behindLine is what a delivery waits behind, in JSON.
type behindLine struct {
	otherLine

	UnderWay bool       `json:"under_way"`
	DueAt    *time.Time `json:"due_at,omitempty"`
	Ahead    int32      `json:"ahead"`
}

func newBehindLine(w postgres.Waiting) behindLine {
	line := behindLine{
		otherLine: newOtherLine(postgres.Neighbour{ID: w.Head, State: w.State, Codes: w.Codes}), UnderWay: w.Held, Ahead: w.Ahead,
	}
	if !w.DueAt.IsZero() {
		line.DueAt = &w.DueAt
	}
	return line
}

// otherLine is a neighbour of a delivery in JSON.
type otherLine struct {
	Delivery uuid.UUID `json:"delivery_id"`
	State    string    `json:"state"`
	Codes    []string  `json:"codes"`
}

func newListLine(d *postgres.ListedDelivery) listLine {
	line := listLine{
		Delivery: d.ID, Message: d.Message, Ente: d.Ente, Type: d.Type, State: string(d.State), UnderWay: d.Held,
		ReceivedAt: d.ReceivedAt, AgeSeconds: int64(d.Age / time.Second), ChangedAt: d.ChangedAt, Attempts: d.Attempts,
		Codes: notNil(d.Codes),
	}
	if !d.DueAt.IsZero() {
		line.DueAt = &d.DueAt
	}
	if d.Behind.Head != uuid.Nil {
		line.Behind = new(newBehindLine(d.Behind))
	}
	return line
}

func newOtherLine(n postgres.Neighbour) otherLine {
	return otherLine{Delivery: n.ID, State: string(n.State), Codes: notNil(n.Codes)}
}

// notNil makes an empty list [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// printList prints a page, and how to get the next one.
func printList(out io.Writer, page []postgres.ListedDelivery, o ListOptions) error {
	if o.JSON {
		lines := json.NewEncoder(out)
		for i := range page {
			if err := lines.Encode(newListLine(&page[i])); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "DELIVERY\tRECEIPT\tENTE\tTYPE\tSTATE\tAGE\tATTEMPTS\tCODES\tWAITS BEHIND")
	for i := range page {
		d := &page[i]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			d.ID, d.Message, d.Ente, d.Type, d.State, age(d.Age), d.Attempts, dash(strings.Join(d.Codes, " ")), behindWords(d.Behind))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(page) > 0 && len(page) == o.Limit {
		_, err := fmt.Fprintf(out, "%d shown; the next page: --after %s\n", len(page), page[len(page)-1].ID)
		return err
	}
	_, err := fmt.Fprintf(out, "%d shown\n", len(page))
	return err
}

// untoldCount stands for a number of an ente's deliveries that is too small to be told.
const untoldCount = -1

// tellableCounts leaves out the numbers that are too small to be told of one ente, with the age of the oldest,
// which is a message's. No total is told beside them. All enti's are told: they are of the queue, not of children.
func tellableCounts(counts []postgres.Backlog, f DeliveryFilter, least int64) []postgres.Backlog {
	if f.Ente == "" {
		return counts
	}
	cells := make([]int64, len(counts))
	for i := range counts {
		cells[i] = counts[i].Count
	}
	told := slices.Clone(counts)
	for i, hidden := range smallnumbers.Suppress(cells, nil, least) {
		if hidden {
			told[i].Count, told[i].Oldest = untoldCount, 0
		}
	}
	return told
}

// printCounts prints the numbers by state.
func printCounts(out io.Writer, counts []postgres.Backlog, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(out)
		for _, c := range counts {
			line := map[string]any{"state": c.State, "deliveries": c.Count, "oldest_seconds": int64(c.Oldest / time.Second)}
			if c.Count == untoldCount {
				line["deliveries"], line["oldest_seconds"] = nil, nil
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "STATE\tDELIVERIES\tOLDEST")
	for _, c := range counts {
		if c.Count == untoldCount {
			_, _ = fmt.Fprintf(table, "%s\t-\t-\n", c.State)
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\n", c.State, c.Count, age(c.Oldest))
	}
	return table.Flush()
}

// behindWords tells what a delivery waits for, and why.
func behindWords(w postgres.Waiting) string {
	if w.Head == uuid.Nil {
		return "-"
	}
	words := neighbourWords(postgres.Neighbour{ID: w.Head, State: w.State, Codes: w.Codes})
	if w.Ahead > 1 {
		words += fmt.Sprintf(", %d ahead", w.Ahead)
	}
	return words
}

// neighbourWords tells how another delivery stands, and why.
func neighbourWords(n postgres.Neighbour) string {
	return strings.TrimSpace(n.ID.String() + " " + string(n.State) + " " + strings.Join(n.Codes, " "))
}

// dash stands for nothing.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// age is a duration as people say it.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
	return d.Truncate(time.Second).String()
}

// IsTerminal tells whether a person may sit at the other end of a file. The null device looks like
// one, too: it answers every question with nothing.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

package replay

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Ledger is what came of holding the rows of a range against the journal's entries, and the entries against the
// rows. Nothing is opened for it.
type Ledger struct {
	// Entries are those of the range that were there before the verification began, Accepted, Attempts
	// and Acts how many of them tell of acceptances, attempts and operators' acts.
	Entries  int64 `json:"entries"`
	Accepted int64 `json:"accepted"`
	Attempts int64 `json:"attempts"`
	Acts     int64 `json:"acts"`
	// Gone are rows of entries that retention took.
	Gone int64 `json:"gone"`
	// Found are how many rows are not what the journal says, Rows the first of them.
	Found int64       `json:"found"`
	Rows  []LedgerRow `json:"rows,omitempty"`
}

// LedgerRow is a row that is not what the journal says. It names places and no value.
type LedgerRow struct {
	// Columns are as `schema.table.column`, or `schema.table (row removed)` or `(row added)`.
	Columns []string `json:"columns"`
	// Entry is the entry that says otherwise, absent if none tells of the row.
	Entry *uuid.UUID `json:"entry,omitempty"`
	// Message is IdRicevuta, Event the vendor's IdEvento, Delivery IdTrasmissione, Attempt its number.
	Message  *uuid.UUID `json:"message,omitempty"`
	Event    *uuid.UUID `json:"event,omitempty"`
	Delivery *uuid.UUID `json:"delivery,omitempty"`
	Attempt  int32      `json:"attempt,omitempty"`
}

// add adds a later part.
func (l *Ledger) add(o *Ledger) {
	l.Entries, l.Accepted, l.Attempts, l.Acts = l.Entries+o.Entries, l.Accepted+o.Accepted, l.Attempts+o.Attempts, l.Acts+o.Acts
	l.Gone, l.Found = l.Gone+o.Gone, l.Found+o.Found
	l.Rows = append(l.Rows, o.Rows[:min(len(o.Rows), mostItems-len(l.Rows))]...)
}

// The bounds of a check.
const (
	// ledgerPage is how many entries or rows are read at a time.
	ledgerPage = 1024
	// settledBy is how long an attempt may take until its entry is there; what comes later is looked for
	// in a second pass.
	settledBy = 2 * time.Minute
	// lateBy is for how long behind the last one that is missing the second pass looks.
	lateBy = time.Hour
	// mostPending is how many attempts' entries are remembered until their rows are read.
	mostPending = 1 << 14
	// mostSuspects is how many attempts without an entry are remembered.
	mostSuspects = 1 << 17
	// casesStay is how long retention leaves every event.
	casesStay = 5
)

// try is an attempt's name. Two of one number are told apart by when they began, in microseconds; 0 stands
// for an entry that does not say.
type try struct {
	delivery uuid.UUID
	number   int32
	began    int64
}

// ledgerCheck is a check under way. It goes through the entries once, in their order, and remembers of each
// only what belongs to attempts whose rows are not read yet.
type ledgerCheck struct {
	Range

	store *postgres.Store
	gate  *Gate
	began time.Time
	out   Ledger
	// messages, attempts and entries are which months retention has not touched.
	messages, attempts, entries postgres.Months
	// pending are attempts with an entry, and when they began at the latest; read is until when the rows
	// are read.
	pending map[try]time.Time
	read    time.Time
	kept    int
	// suspects are attempts without an entry, so far, and when they began.
	suspects map[try]time.Time
	// said are deliveries of which something was found, removed messages whose event was told as removed.
	said, removed map[uuid.UUID]bool
}

// CheckLedger holds rows and entries of a range against each other.
func CheckLedger(ctx context.Context, store *postgres.Store, o *Options) (*Ledger, error) {
	c := &ledgerCheck{
		Range: o.Range, store: store, gate: o.Gate, began: o.Began, read: o.From, pending: map[try]time.Time{},
		suspects: map[try]time.Time{}, said: map[uuid.UUID]bool{}, removed: map[uuid.UUID]bool{},
	}
	for class, months := range map[postgres.RetentionClass]*postgres.Months{
		postgres.RetainMessages: &c.messages, postgres.RetainAttempts: &c.attempts, postgres.RetainJournal: &c.entries,
	} {
		var err error
		if *months, err = store.LedgerMonths(ctx, class, c.began); err != nil {
			return nil, err
		}
	}
	steps := []func(context.Context) error{c.readEntries, c.readAttempts, c.readLate, c.readEvents, c.readMessages}
	if c.IDs != nil {
		steps = []func(context.Context) error{c.readIDs}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &c.out, nil
}

// find notes a row that is not what the journal says.
func (c *ledgerCheck) find(row LedgerRow) {
	if len(row.Columns) == 0 {
		return
	}
	c.out.Found++
	if len(c.out.Rows) < mostItems {
		c.out.Rows = append(c.out.Rows, row)
	}
}

// readIDs checks what belongs to the acceptances of single messages.
func (c *ledgerCheck) readIDs(ctx context.Context) error {
	for ids := range slices.Chunk(c.IDs, ledgerPage) {
		if err := c.gate.pass(ctx); err != nil {
			return err
		}
		rows, err := c.store.AcceptedEntries(ctx, ids)
		if err != nil {
			return err
		}
		page := make([]postgres.LedgerEntry, len(rows))
		for i, row := range rows {
			page[i] = postgres.LedgerEntry{JournalRow: row, Kept: true}
		}
		if err := c.checkPage(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// readEntries goes through the entries of the range.
func (c *ledgerCheck) readEntries(ctx context.Context) error {
	at := postgres.EntryRange{From: c.From, To: c.To}
	for {
		if err := c.gate.pass(ctx); err != nil {
			return err
		}
		page, err := c.store.LedgerEntries(ctx, at, ledgerPage)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.checkPage(ctx, page); err != nil {
			return err
		}
		last := page[len(page)-1]
		at.After = last.ID
		if len(c.pending) > c.kept+mostPending {
			if err := c.readStarted(ctx, last.At.Add(-settledBy)); err != nil {
				return err
			}
		}
	}
}

// readAttempts reads the rest of the attempts.
func (c *ledgerCheck) readAttempts(ctx context.Context) error { return c.readStarted(ctx, c.To) }

// readStarted reads the attempts that began before an instant, all of whose entries were seen.
func (c *ledgerCheck) readStarted(ctx context.Context, to time.Time) error {
	if !to.After(c.read) {
		return nil
	}
	if err := c.store.EachAttempt(ctx, c.read, to, func(delivery uuid.UUID, number int32, at time.Time) error {
		key := try{delivery, number, at.UnixMicro()}
		for _, k := range []try{key, {delivery, number, 0}} {
			if _, entered := c.pending[k]; entered {
				return nil
			}
		}
		if len(c.suspects) == mostSuspects {
			c.find(LedgerRow{Columns: []string{rowAdded("hub.attempt")}, Delivery: &delivery, Attempt: number})
			return nil
		}
		c.suspects[key] = at
		return nil
	}); err != nil {
		return err
	}
	maps.DeleteFunc(c.pending, func(_ try, at time.Time) bool { return at.Before(to) })
	c.read, c.kept = to, len(c.pending)
	return nil
}

// readLate looks for the entries of attempts that had none when their rows were read: of a hub that works
// the last ones, of an attempt that ended behind the range, or of one with a clock that was put forward.
// What has none then was not made by the hub.
func (c *ledgerCheck) readLate(ctx context.Context) error {
	if len(c.suspects) == 0 {
		return nil
	}
	times := slices.Collect(maps.Values(c.suspects))
	at := postgres.EntryRange{
		From: slices.MinFunc(times, time.Time.Compare).Add(-lateBy), To: slices.MaxFunc(times, time.Time.Compare).Add(lateBy),
		Kinds: []journal.Kind{journal.AttemptSettled},
	}
	for len(c.suspects) > 0 {
		if err := c.gate.pass(ctx); err != nil {
			return err
		}
		page, err := c.store.Entries(ctx, at, ledgerPage)
		if err != nil {
			return err
		}
		for _, row := range page {
			if e, err := journal.Parse(row.Body); err == nil && e.Kind == journal.AttemptSettled {
				c.clear(&e)
			}
		}
		if len(page) == 0 {
			return c.tellSuspects(ctx)
		}
		at.After = page[len(page)-1].ID
	}
	return nil
}

// clear takes the attempt of an entry from the suspects.
func (c *ledgerCheck) clear(e *journal.Entry) {
	key := tryOf(e)
	delete(c.suspects, key)
	if key.began == 0 {
		maps.DeleteFunc(c.suspects, func(k try, _ time.Time) bool { return k.delivery == e.Delivery && k.number == e.Attempt })
	}
}

// tellSuspects notes the attempts that have no entry.
func (c *ledgerCheck) tellSuspects(ctx context.Context) error {
	keys := slices.SortedFunc(maps.Keys(c.suspects), func(a, b try) int {
		return cmp.Or(c.suspects[a].Compare(c.suspects[b]), slices.Compare(a.delivery[:], b.delivery[:]), cmp.Compare(a.number, b.number))
	})
	for some := range slices.Chunk(keys, ledgerPage) {
		deliveries := make([]uuid.UUID, len(some))
		for i, k := range some {
			deliveries[i] = k.delivery
		}
		of, err := c.store.DeliveriesOf(ctx, deliveries)
		if err != nil {
			return err
		}
		for _, k := range some {
			row := LedgerRow{Columns: []string{rowAdded("hub.attempt")}, Delivery: &k.delivery, Attempt: k.number}
			whose, known := of[k.delivery]
			if known {
				row.Message = &whose.Message
			}
			switch {
			case c.Ente != 0 && whose.Ente != c.Ente:
			case c.entries.Retired(c.suspects[k]):
				c.out.Gone++
			default:
				c.find(row)
			}
		}
	}
	return nil
}

// readEvents wants for every event of the range its key and, by that, the entry of its acceptance.
func (c *ledgerCheck) readEvents(ctx context.Context) error {
	if c.Ente != 0 {
		return c.readEventsOf(ctx, c.Ente)
	}
	for ente := int32(math.MinInt32); ; {
		next, ok, err := c.store.LedgerEnte(ctx, ente)
		if err != nil || !ok {
			return err
		}
		if err := c.readEventsOf(ctx, next); err != nil {
			return err
		}
		ente = next
	}
}

func (c *ledgerCheck) readEventsOf(ctx context.Context, ente int32) error {
	var after postgres.LedgerStored
	for {
		if err := c.gate.pass(ctx); err != nil {
			return err
		}
		page, err := c.store.LedgerEvents(ctx, ente, c.From, c.To, after, ledgerPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			switch {
			case !e.Keyed:
				c.find(LedgerRow{Columns: []string{rowAdded("hub.event")}, Message: &e.ID})
			case e.Entered:
			case c.entries.Retired(e.At):
				c.out.Gone++
			default:
				c.find(LedgerRow{Columns: []string{rowRemoved("hub.journal_entry")}, Message: &e.ID})
			}
		}
		after = page[len(page)-1]
	}
}

// readMessages wants for every message of the range its event.
func (c *ledgerCheck) readMessages(ctx context.Context) error {
	var after uuid.UUID
	for {
		if err := c.gate.pass(ctx); err != nil {
			return err
		}
		page, err := c.store.LedgerMessages(ctx, c.Ente, c.From, c.To, after, ledgerPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			switch {
			case m.Event, c.removed[m.ID]: // of an event that is not there any more it is told already
			case c.retiredCase(m.At):
				c.out.Gone++
			default:
				c.find(LedgerRow{Columns: []string{rowAdded("hub.message")}, Message: &m.ID})
			}
		}
		after = page[len(page)-1].ID
	}
}

// retiredCase tells whether retention may have taken an event of this time.
func (c *ledgerCheck) retiredCase(at time.Time) bool {
	return at.AddDate(casesStay, 0, 0).Before(c.began)
}

// rowRemoved and rowAdded name rows.
func rowRemoved(table string) string { return table + " (row removed)" }

func rowAdded(table string) string { return table + " (row added)" }

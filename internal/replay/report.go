package replay

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// mostItems is how many entries that are not equal a report lists; all are counted.
const mostItems = 10_000

// Report is what came of a verification.
type Report struct {
	// Ledger is what came of the rows; nil until they were looked at.
	Ledger *Ledger `json:"ledger,omitempty"`
	// Counts are the entries by their status.
	Counts map[Status]int64 `json:"counts"`
	// Attempts are how many of them are attempts, Before how many are older than the evidence, Registry
	// how many are equal under another registry than today's.
	Attempts int64 `json:"attempts"`
	Before   int64 `json:"before_evidence"`
	Registry int64 `json:"other_registry"`
	// Lacks counts the entries for which something is missing, by what.
	Lacks []Lacking `json:"lacks,omitempty"`
	// Erasures are the orders by which what is erased was erased.
	Erasures []Erasure `json:"erasures,omitempty"`
	// Items are the first that are not equal, in the order of the entries.
	Items []Item `json:"items,omitempty"`
}

// Lacking counts a Lack.
type Lacking struct {
	Lack

	Entries int64 `json:"entries"`
}

// Erasure is the journal's entry that orders the erasure of a child (SubjectErased), and how many of the
// entries replayed were lawfully erased by it.
type Erasure struct {
	Entry   uuid.UUID `json:"entry"`
	Entries int64     `json:"entries"`
}

// Total is how many entries were replayed.
func (r *Report) Total() (n int64) {
	for count := range maps.Values(r.Counts) {
		n += count
	}
	return n
}

// note adds one entry.
func (r *Report) note(i *Item) {
	if r.Counts == nil {
		r.Counts = map[Status]int64{}
	}
	r.Counts[i.Status]++
	if i.Delivery != nil {
		r.Attempts++
	}
	if i.Before {
		r.Before++
	}
	if i.Registry {
		r.Registry++
	}
	for _, lack := range i.Lacks {
		r.lack(Lacking{lack, 1})
	}
	if i.Erasure != nil {
		r.erased(Erasure{*i.Erasure, 1})
	}
	if i.Status != Equal && len(r.Items) < mostItems {
		r.Items = append(r.Items, *i)
	}
}

func (r *Report) lack(l Lacking) {
	if at := slices.IndexFunc(r.Lacks, func(known Lacking) bool { return known.Lack == l.Lack }); at >= 0 {
		r.Lacks[at].Entries += l.Entries
		return
	}
	r.Lacks = append(r.Lacks, l)
}

func (r *Report) erased(e Erasure) {
	if at := slices.IndexFunc(r.Erasures, func(known Erasure) bool { return known.Entry == e.Entry }); at >= 0 {
		r.Erasures[at].Entries += e.Entries
	} else {
		r.Erasures = append(r.Erasures, e)
	}
}

// add adds a later part.
func (r *Report) add(o *Report) {
	if r.Counts == nil {
		r.Counts = map[Status]int64{}
	}
	for status, n := range o.Counts {
		r.Counts[status] += n
	}
	if o.Ledger != nil {
		if r.Ledger == nil {
			r.Ledger = &Ledger{}
		}
		r.Ledger.add(o.Ledger)
	}
	r.Attempts, r.Before, r.Registry = r.Attempts+o.Attempts, r.Before+o.Before, r.Registry+o.Registry
	for _, l := range o.Lacks {
		r.lack(l)
	}
	for _, e := range o.Erasures {
		r.erased(e)
	}
	r.Items = append(r.Items, o.Items[:min(len(o.Items), mostItems-len(r.Items))]...)
}

// Verify holds the rows of a range against the journal's entries, and the entries against the rows; then
// it replays the entries with what was recorded. It reports what is not equal. An error says that it did not
// come to its end.
func Verify(ctx context.Context, parts *Parts, o Options) (Report, error) {
	report := Report{Counts: map[Status]int64{}}
	if o.Began.IsZero() {
		o.Began = parts.Now()
	}
	v := &verifier{parts: parts, library: newLibrary(parts)}
	s := &source{parts: parts, Range: o.Range, kinds: []journal.Kind{journal.EventAccepted, journal.AttemptSettled}}
	err := drive(ctx, s, o, func(ctx context.Context) (*Report, error) {
		if report.Ledger != nil {
			return nil, nil //nolint:nilnil // done before an interruption
		}
		ledger, err := CheckLedger(ctx, parts.Store, &o)
		return &Report{Ledger: ledger}, err
	}, v.evaluate, report.add)
	return report, err
}

// evaluate replays a page.
func (v *verifier) evaluate(ctx context.Context, f *fetched) (Report, error) {
	items := make([]Item, len(f.jobs))
	err := together(ctx, len(f.jobs), func(ctx context.Context, at int) (err error) {
		items[at], err = v.verify(ctx, f.jobs[at])
		return err
	})
	var part Report
	for at := range items {
		part.note(&items[at])
	}
	for _, id := range f.absent {
		part.note(&Item{Message: id, Status: Gone})
	}
	return part, err
}

package replay

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Range says which entries are replayed.
type Range struct {
	// From and To bound when a message was received: from on, before to.
	From, To time.Time
	// Ente is the registry's row of the only ente meant; 0 for all.
	Ente int32
	// IDs are IdRicevuta of the only events meant; nil for all. The times do not count then.
	IDs []uuid.UUID
}

// page is how many entries are replayed together: what lies between two looks at the gate, and what
// an interrupted replay does again. Three pages are in memory, opened, and a message may have 2 MB.
const page = 64

// Options are what a run adds to its range.
type Options struct {
	Range

	// Began is when whoever asked began: entries from then on are of the replay itself, or came while it
	// ran, and are not what was to be verified. The zero time is when it is called.
	Began time.Time
	// Progress is told how many of all entries are done; nil for nobody. It is called by one at a time.
	Progress func(done, total int64)
	// Gate holds the run up; nil never does.
	Gate *Gate
	// Checkpoint remembers how far the run is; nil for a run that begins anew when it is interrupted.
	Checkpoint *Checkpoint
}

// Gate lets a run pause. The zero value is open.
type Gate struct {
	mu     sync.Mutex
	closed chan struct{}
}

// Toggle closes an open gate and opens a closed one; it tells whether it is closed now.
func (g *Gate) Toggle() (closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
		return false
	}
	g.closed = make(chan struct{})
	return true
}

// pass waits until the gate is open.
func (g *Gate) pass(ctx context.Context) error {
	if g == nil {
		return ctx.Err()
	}
	for {
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed == nil {
			return ctx.Err()
		}
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cursor is how far a run is: the last entry of a range, or how many of the ids.
type cursor struct {
	After uuid.UUID `json:"after"`
	IDs   int       `json:"ids,omitempty"`
	Done  int64     `json:"done"`
}

// fetched are entries with what their replay needs, and where the run is behind them.
type fetched struct {
	jobs []*job
	// absent are ids asked for of which there is no entry.
	absent []uuid.UUID
	next   cursor
}

// source reads a range page by page.
type source struct {
	parts *Parts
	Range

	kinds []journal.Kind
}

// total is how many entries there are to be read behind a cursor.
func (s *source) total(ctx context.Context, from cursor) (int64, error) {
	if s.IDs != nil {
		return int64(len(s.IDs) - from.IDs), nil
	}
	return s.parts.Store.CountEntries(ctx, s.entries(from))
}

func (s *source) entries(from cursor) postgres.EntryRange {
	return postgres.EntryRange{From: s.From, To: s.To, After: from.After, Kinds: s.kinds}
}

// read gives the next page; nil if there is none.
func (s *source) read(ctx context.Context, from cursor) (*fetched, error) {
	f := &fetched{next: from}
	var rows []postgres.JournalRow
	var err error
	if s.IDs != nil {
		asked := s.IDs[from.IDs:min(len(s.IDs), from.IDs+page)]
		if len(asked) == 0 {
			return nil, nil //nolint:nilnil // the end
		}
		if rows, err = s.parts.Store.AcceptedEntries(ctx, asked); err != nil {
			return nil, err
		}
		for _, id := range asked {
			if !slices.ContainsFunc(rows, func(r postgres.JournalRow) bool { return r.Message == id }) {
				f.absent = append(f.absent, id)
			}
		}
		f.next.IDs += len(asked)
		f.next.Done += int64(len(asked))
	} else {
		if rows, err = s.parts.Store.Entries(ctx, s.entries(from), page); err != nil || len(rows) == 0 {
			return nil, err
		}
		f.next.After = rows[len(rows)-1].ID
		f.next.Done += int64(len(rows))
	}
	f.jobs, err = s.parts.fetch(ctx, rows, s.Ente)
	return f, err
}

// errPage says that a page cannot be what was remembered of it.
var errPage = errors.New("the file of an interrupted replay is not one of this replay")

// drive reads a range and has every page evaluated and added, in order. What was done before an
// interruption is added from the checkpoint. first comes before all pages and gives nil if it was done.
func drive[R any](
	ctx context.Context, s *source, o Options, first func(context.Context) (*R, error),
	evaluate func(context.Context, *fetched) (R, error), add func(*R),
) error {
	at, err := recall(o.Checkpoint, add)
	if err != nil {
		return err
	}
	if first != nil {
		result, err := first(ctx)
		if err != nil {
			return err
		}
		if result != nil {
			if err := o.Checkpoint.note(at, result); err != nil {
				return err
			}
			add(result)
		}
	}
	// Only for who watches: to count a long range may take longer than the server lets it.
	total, err := s.total(ctx, at)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		total = 0
	}
	total += at.Done
	tell := func(done int64) {
		if o.Progress != nil {
			o.Progress(done, max(total, done))
		}
	}
	tell(at.Done)
	group, ctx := errgroup.WithContext(ctx)
	pages := make(chan *fetched, 1)
	group.Go(func() error {
		defer close(pages)
		return s.readAll(ctx, at, o.Gate, pages)
	})
	group.Go(func() error {
		for f := range pages {
			if err := o.Gate.pass(ctx); err != nil {
				return err
			}
			result, err := evaluate(ctx, f)
			if err != nil {
				return err
			}
			if err := o.Checkpoint.note(f.next, &result); err != nil {
				return err
			}
			add(&result)
			tell(f.next.Done)
		}
		return nil
	})
	return group.Wait()
}

// readAll reads page after page behind a cursor, one ahead of who takes them.
func (s *source) readAll(ctx context.Context, from cursor, gate *Gate, pages chan<- *fetched) error {
	for {
		if err := gate.pass(ctx); err != nil {
			return err
		}
		f, err := s.read(ctx, from)
		if err != nil || f == nil {
			return err
		}
		from = f.next
		select {
		case pages <- f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// together runs work for each of n, some at once, until one fails.
func together(ctx context.Context, n int, work func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	// More than processors: most of the time is the jail's.
	group.SetLimit(4 * runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error { return work(ctx, i) })
	}
	return group.Wait()
}

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
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// AuditOptions say which evidence to export, and where to.
type AuditOptions struct {
	// From and To are the range: instants (RFC 3339), or days, which are Italian and whole.
	From, To string
	// Ente is the CodiceEnte whose entries alone are meant; empty for all.
	Ente string
	// Out is the file.
	Out string
	// Force replaces a file of that name.
	Force bool
	// Actor is who exports; empty for the account on this machine. Reason is why.
	Actor, Reason string
	// Interactive says that a person watches Progress.
	Interactive bool
	// Progress shows how far a long run is.
	Progress io.Writer
}

// The faults of an export.
var (
	errAuditExists = errors.New("the file is there already: name another one, or say --force if it is a plain file")
	errAuditRange  = errors.New("--from and --to are days like 2026-03-01 or instants like 2026-03-01T08:00:00Z, the first before the last")
	errAuditEnte   = errors.New("no ente of this code is in the registry")
	errAuditSigned = errors.New("a checkpoint in the database is not what the journal's key signed: the database was changed")
	errAuditStop   = errors.New("interrupted: nothing was written")
	errAuditEmpty  = errors.New("no entry lies in this range: nothing was written")
)

// ExportEvidence writes a bundle of evidence: what the journal and the messages say of a range of time,
// in a form that proves itself offline (deploy/docs/evidence.md, "Bundles"). The same range gives the
// same bytes, as long as retention took nothing and the binary is the same.
//
// Little of it is in memory at a time. The export is journalled before the file gets its name; a file
// that is not whole never has it.
func ExportEvidence(ctx context.Context, cfg config.Config, o AuditOptions, out io.Writer) error {
	if strings.TrimSpace(o.Reason) == "" {
		return errNoReason
	}
	if err := CheckReason(o.Reason); err != nil {
		return err
	}
	actor, err := ActorOf(o.Actor)
	if err != nil {
		return err
	}
	o.Actor = actor
	if info, err := os.Lstat(o.Out); !errors.Is(err, fs.ErrNotExist) && (!o.Force || err != nil || !info.Mode().IsRegular()) {
		return errAuditExists
	}
	from, to, err := auditRange(o.From, o.To)
	if err != nil {
		return err
	}
	key, err := journal.LoadKey(cfg.JournalKeys(), cfg.JournalOrigin())
	if err != nil {
		return fmt.Errorf("load journal key of %s from %s: %w", cfg.JournalOrigin(), cfg.JournalKeys(), err)
	}
	return withStore(ctx, cfg, writing, func(store *postgres.Store) error {
		a, err := newAudit(ctx, cfg, store, key, from, to, o)
		if err != nil {
			return err
		}
		defer a.close()
		return a.export(ctx, out)
	})
}

// audit is one export under way.
type audit struct {
	cfg   config.Config
	store *postgres.Store
	key   *journal.Key
	o     AuditOptions
	dir   string

	from, to time.Time
	closing  postgres.SignedCheckpoint
	// closed says that a checkpoint was signed at or after the range's end.
	closed bool
	// first is the first leaf, a multiple of a tile's; the tree's size is the end.
	first int64
	// ente is the row of the only ente meant, 0 for all.
	ente int32

	b *bundle
	// groups are the leaves' entries, group by group, in a file without a name.
	groups *groups
	named  versions
	bar    *bar
}

// newAudit finds out what the range holds.
func newAudit(
	ctx context.Context, cfg config.Config, store *postgres.Store, key *journal.Key, from, to time.Time, o AuditOptions,
) (*audit, error) {
	a := &audit{cfg: cfg, store: store, key: key, o: o, dir: filepath.Dir(o.Out), from: from, to: to, named: newVersions()}
	if o.Ente != "" {
		roll, err := store.LoadRegistry(ctx, cfg.Env())
		if err != nil {
			return nil, fmt.Errorf("load registry: %w", err)
		}
		for _, e := range roll.Enti {
			if e.Code == o.Ente {
				a.ente = e.ID
			}
		}
		if a.ente == 0 {
			return nil, errAuditEnte
		}
	}
	if err := a.bound(ctx); err != nil {
		return nil, err
	}
	work := a.closing.Size - a.first
	if a.ente == 0 {
		work *= 2 // to read the entries, and what was sealed
	}
	a.bar = &bar{to: o.Progress, on: o.Interactive, total: work}
	return a, nil
}

// bound finds the checkpoints that the range lies between. They say so themselves: with a column of the
// database anybody who can change it could make a range begin behind what it should show.
func (a *audit) bound(ctx context.Context) (err error) {
	if a.closing, a.closed, err = a.store.ClosingCheckpoint(ctx, a.from, a.to); err != nil {
		return err
	}
	before, err := a.store.SignedBefore(ctx, a.from)
	if err != nil {
		return err
	}
	for _, c := range []postgres.SignedCheckpoint{before, a.closing} {
		if c.At.IsZero() {
			continue // there is none before
		}
		if signed, err := a.key.Open(c.Note); err != nil || signed.Size != c.Size || !signed.At.Equal(c.At) {
			return errAuditSigned
		}
	}
	if !a.closed {
		a.to = a.closing.At
	}
	if a.closing.Size == 0 {
		return errAuditEmpty
	}
	// A range without an entry of its own has the tile before it: that nothing came is shown, too.
	a.first = min(before.Size, a.closing.Size-1) / journal.TileWidth * journal.TileWidth
	return nil
}

// close forgets the file of the work between.
func (a *audit) close() { a.groups.close() }

// export writes the bundle beside its place, for its owner only, and names it when it is durable and
// journalled.
func (a *audit) export(ctx context.Context, out io.Writer) error {
	file, err := os.CreateTemp(a.dir, "."+filepath.Base(a.o.Out)+".*.part")
	if err != nil {
		return fmt.Errorf("make the bundle's file: %w", err)
	}
	// What is not whole must not be taken for a bundle.
	defer os.Remove(file.Name()) //nolint:errcheck // it has its name by then
	to := bufio.NewWriterSize(file, 1<<20)
	a.b = newBundle(to)
	digest, err := a.write(ctx)
	err = errors.Join(err, to.Flush(), file.Sync(), file.Close())
	if ctx.Err() != nil {
		return errAuditStop
	}
	if err != nil {
		return err
	}
	if err := a.store.Record(context.WithoutCancel(ctx), a.entry(digest, time.Now())); err != nil {
		return fmt.Errorf("journal the export, so nothing was written: %w", err)
	}
	if err := nameFile(file.Name(), a.o.Out, a.o.Force); err != nil {
		return fmt.Errorf("name the bundle: %w", err)
	}
	if err := syncFolder(a.dir); err != nil {
		return fmt.Errorf("sync the bundle's folder: %w", err)
	}
	return a.report(out, digest)
}

// nameFile gives a file its name, which nothing else may have unless it may be replaced.
func nameFile(from, to string, replace bool) error {
	if replace {
		return os.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return os.Link(from, to) // a network's file system; those of memory sticks have no links
	}
	return err
}

// entry is what the journal says of the export.
func (a *audit) entry(digest [32]byte, now time.Time) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: now.UTC().Truncate(time.Microsecond), Kind: journal.EvidenceExported,
		Environment: a.cfg.Env(), Ente: a.ente, Commitment: digest, Actor: a.o.Actor, Reason: a.o.Reason,
		Codes: []hub.Code{hub.Code("from:" + instant(a.from)), hub.Code("to:" + instant(a.to))},
	}
}

// report tells what was written.
func (a *audit) report(out io.Writer, digest [32]byte) error {
	what := fmt.Sprintf("%d leaves", a.closing.Size-a.first)
	if a.ente != 0 {
		what = fmt.Sprintf("%d entries of %s", a.groups.leaves, a.o.Ente)
	}
	if _, err := fmt.Fprintf(out, "%s: %s, closed by the checkpoint of %s (%d leaves), MANIFEST %x\n",
		a.o.Out, what, instant(a.closing.At), a.closing.Size, digest); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if !a.closed {
		_, _ = fmt.Fprintln(out, "No checkpoint was signed at or after --to yet: the range ends with that checkpoint, and the same command will give more later.")
	}
	return nil
}

// head is what the manifest says before it lists the members.
func (a *audit) head() string {
	var text strings.Builder
	fmt.Fprintf(&text, "sinba-evidence/v1\norigin %s\nfrom %s\nto %s\nfirst %d\nend %d\nsize %d\n",
		a.key.Origin(), instant(a.from), instant(a.to), a.first, a.closing.Size, a.closing.Size)
	if a.ente != 0 {
		fmt.Fprintf(&text, "ente %s %d\n", a.o.Ente, a.ente)
	}
	return text.String()
}

// instant is how a bundle tells times.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// auditRange reads the range. A day begins at its midnight in Italy and ends with the next one.
func auditRange(from, to string) (begin, end time.Time, err error) {
	if begin, err = auditTime(from, 0); err != nil {
		return begin, end, err
	}
	if end, err = auditTime(to, 1); err != nil {
		return begin, end, err
	}
	if !begin.Before(end) {
		return begin, end, errAuditRange
	}
	return begin, end, nil
}

// auditTime reads one end of a range, for a day its midnight some days later.
func auditTime(text string, later int) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Truncate(time.Microsecond), nil
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.Time{}, errors.New("time zone Europe/Rome not found")
	}
	day, err := time.ParseInLocation(time.DateOnly, text, rome)
	if err != nil {
		return time.Time{}, errAuditRange
	}
	return day.AddDate(0, 0, later).UTC(), nil
}

// bar keeps one line of progress up to date for a person.
type bar struct {
	to          io.Writer
	on          bool
	seen, total int64
	drawn       int64
}

// at says how far it is, and draws when enough has changed.
func (b *bar) at(seen int64) {
	b.seen = seen
	if b.on && (b.seen-b.drawn)*200 >= b.total {
		b.drawn = b.seen
		b.draw()
	}
}

// done draws it full and ends the line.
func (b *bar) done() {
	if b.on {
		b.seen = b.total
		b.draw()
		_, _ = fmt.Fprintln(b.to)
	}
}

func (b *bar) draw() {
	_, _ = fmt.Fprintf(b.to, "\r[%s] %d %%", barOf(b.seen, b.total), 100*b.seen/max(1, b.total))
}

// barOf is a bar of how much of a total is done.
func barOf(seen, total int64) string {
	const width = 30
	filled := int(min(width, width*seen/max(1, total)))
	return strings.Repeat("#", filled) + strings.Repeat(".", width-filled)
}

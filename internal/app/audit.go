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
	"github.com/sinbahub/sinbahub/internal/ticket"
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
	// RetiredAt is an instant, empty for now: entries of retention that no checkpoint held by then are left
	// out, so that the bytes are those of an export made then.
	RetiredAt string
	// Prove are sizes of checkpoints that somebody keeps, to be proven part of the closing one's tree.
	Prove []int64
	// AsFound exports from a database that is refused because it lacks what this hub knows, as after a
	// restore. The bundle says so, and nothing is written into the database.
	AsFound bool
	// Who exports. Nobody signs an export from a database that takes nothing (AsFound).
	Who Who
	// Interactive says that a person watches Progress.
	Interactive bool
	// Progress shows how far a long run is.
	Progress io.Writer
}

// The faults of an export.
var (
	errAuditExists  = errors.New("the file is there already: name another one, or say --force if it is a plain file")
	errAuditEnte    = errors.New("no ente of this code is in the registry")
	errAuditSigned  = errors.New("a checkpoint in the database is not what the journal's key signed: the database was changed")
	errAuditRetired = errors.New("--retired-at is an instant like 2026-03-01T08:00:00Z")
	errAuditStop    = errors.New("interrupted: nothing was written")
	errAuditProve   = errors.New("no checkpoint of this size lies before the end of the range")
	errAuditEmpty   = errors.New("no entry lies in this range: nothing was written")
)

// ExportEvidence writes a bundle of evidence: what the journal and the messages say of a range of time,
// in a form that proves itself offline (deploy/docs/evidence.md, "Bundles"). The same range gives the
// same bytes, as long as retention took nothing and the binary is the same.
//
// Little of it is in memory at a time. The export is journalled before the file gets its name; a file
// that is not whole never has it.
func ExportEvidence(ctx context.Context, cfg config.Config, o AuditOptions, out io.Writer) error {
	signer, err := newSigner(cfg, o.Who)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(o.Out); !errors.Is(err, fs.ErrNotExist) && (!o.Force || err != nil || !info.Mode().IsRegular()) {
		return errAuditExists
	}
	from, to, err := readRange(o.From, o.To)
	if err != nil {
		return err
	}
	retiredAt := time.Now().AddDate(1, 0, 0) // whatever there is
	if o.RetiredAt != "" {
		if retiredAt, err = time.Parse(time.RFC3339, o.RetiredAt); err != nil {
			return errAuditRetired
		}
	}
	key, err := journal.LoadKey(cfg.JournalKeys(), cfg.JournalOrigin())
	if err != nil {
		return fmt.Errorf("load journal key of %s from %s: %w", cfg.JournalOrigin(), cfg.JournalKeys(), err)
	}
	a := &audit{
		cfg: cfg, key: key, o: o, dir: filepath.Dir(o.Out), from: from, to: to, retiredAt: retiredAt, named: newVersions(),
	}
	export := func(store *postgres.Store) error {
		a.store = store
		if err := useJournalKey(ctx, key, store, cfg.Env()); err != nil {
			return err
		}
		if err := a.begin(ctx); err != nil {
			return err
		}
		defer a.close()
		if !a.lacking {
			var err error
			if a.who, err = signer.sign(ctx, store, ticket.AuditExport, a.scope()); err != nil {
				return err
			}
		}
		return a.export(ctx, out)
	}
	err = withStore(ctx, cfg, writing, export)
	if refused := errors.Is(err, postgres.ErrBehind) || errors.Is(err, postgres.ErrForeign); !refused || a.store != nil {
		return err
	}
	if !o.AsFound {
		return fmt.Errorf("%w; it journals who takes the database as it is; or say --as-found for a bundle that tells what is lacking and is not in the journal", err)
	}
	a.lacking = true
	if err := a.readKnown(); err != nil {
		return fmt.Errorf("read the hub's own checkpoints: %w", err)
	}
	return withStore(ctx, cfg, reading, export)
}

// audit is one export under way.
type audit struct {
	cfg   config.Config
	store *postgres.Store
	key   *journal.Key
	o     AuditOptions
	who   acting
	dir   string

	from, to time.Time
	closing  postgres.SignedCheckpoint
	// closed says that a checkpoint was signed at or after the range's end.
	closed bool
	// opening is the last checkpoint of no more leaves than lie before the first one here, retired the one
	// that holds all entries of retention that were signed for at retiredAt.
	opening, retired postgres.SignedCheckpoint
	retiredAt        time.Time
	// lacking says that the database was refused for what it lacks; known is the checkpoint that the hub's
	// own file ends with then.
	lacking bool
	known   string
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

// begin finds out what the range holds.
func (a *audit) begin(ctx context.Context) error {
	if a.o.Ente != "" {
		roll, err := a.store.LoadRegistry(ctx, a.cfg.Env())
		if err != nil {
			return fmt.Errorf("load registry: %w", err)
		}
		for _, e := range roll.Enti {
			if e.Code == a.o.Ente {
				a.ente = e.ID
			}
		}
		if a.ente == 0 {
			return errAuditEnte
		}
	}
	if err := a.bound(ctx); err != nil {
		return err
	}
	if err := a.boundRetired(ctx); err != nil {
		return err
	}
	work := a.closing.Size - a.first
	if a.ente == 0 {
		work *= 2 // to read the entries, and what was sealed
	}
	a.bar = &bar{to: a.o.Progress, on: a.o.Interactive, total: work}
	return nil
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
	// A range without an entry of its own has the tile before it: that nothing came is shown, too.
	a.first = max(0, min(before.Size, a.closing.Size-1)) / journal.TileWidth * journal.TileWidth
	if a.first > 0 {
		if a.opening, err = a.store.CheckpointUpTo(ctx, before, a.first); err != nil {
			return err
		}
	}
	for _, c := range []postgres.SignedCheckpoint{a.opening, before, a.closing} {
		if c.At.IsZero() {
			continue // there is none before
		}
		if signed, err := a.key.Open(c.Note); err != nil || signed.Size != c.Size || !signed.At.Equal(c.At) {
			return errAuditSigned
		}
	}
	if a.closing.Size == 0 {
		return errAuditEmpty
	}
	for _, size := range a.o.Prove {
		if size < 1 || size > a.closing.Size {
			return fmt.Errorf("--prove %d: %w (%d leaves)", size, errAuditProve, a.closing.Size)
		}
	}
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
	if err := a.tellLost(ctx, out); err != nil {
		return err
	}
	if !a.lacking {
		if err := a.store.Record(context.WithoutCancel(ctx), a.entry(digest, time.Now())); err != nil {
			return fmt.Errorf("journal the export, so nothing was written: %w", err)
		}
	}
	if err := plantFile(file.Name()); err != nil {
		return err
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
	return a.who.mark(journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: now.UTC().Truncate(time.Microsecond), Kind: journal.EvidenceExported,
		Environment: a.cfg.Env(), Ente: a.ente, Commitment: digest, Reason: a.o.Who.Reason,
		Codes: []hub.Code{hub.Code("from:" + instant(a.from)), hub.Code("to:" + instant(a.to))},
	})
}

// scope is what is exported, as who exports it signs it.
func (a *audit) scope() string {
	text := "from " + instant(a.from) + " to " + instant(a.to)
	if a.ente != 0 {
		text += " ente " + a.o.Ente
	}
	return text
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
	if a.lacking {
		_, _ = fmt.Fprintln(out, "The database lacks what this hub knows it had. The bundle says so, and that it was exported is not in the journal.")
	}
	return nil
}

// head is what the manifest says before it lists the members.
func (a *audit) head() string {
	var text strings.Builder
	closed := "no"
	if a.closed {
		closed = "yes"
	}
	fmt.Fprintf(&text, "sinba-evidence/v2\norigin %s\nfrom %s\nto %s\nclosed %s\nfirst %d\nend %d\nsize %d\nretired %d\n",
		a.key.Origin(), instant(a.from), instant(a.to), closed, a.first, a.closing.Size, a.closing.Size, a.retired.Size)
	if a.lacking {
		text.WriteString("lacking yes\n")
	}
	if a.ente != 0 {
		fmt.Fprintf(&text, "ente %s %d\n", a.o.Ente, a.ente)
	}
	return text.String()
}

// instant is how a bundle tells times.
func instant(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

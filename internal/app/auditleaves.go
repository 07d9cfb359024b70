package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// enteGroup is how many leaves a member of an ente's bundle has.
const enteGroup = 4096

// groups keep the leaves' data between the two times that they are needed, so that the database is
// asked once: as entry bundles (C2SP tlog-tiles: uint16 length and data, 0 for what has gone), in a file
// without a name.
type groups struct {
	file *os.File
	to   *bufio.Writer
	// all are the groups so far, each with its place in the file.
	all []group
	end int64
	// one is the group being made, of count leaves; leaves counts all.
	one    []byte
	count  int
	leaves int64
}

// group is where one of them stands.
type group struct{ at, size int64 }

// errLeafLarge says that an entry has more than a bundle can hold, and none that the hub writes has.
var errLeafLarge = errors.New("an entry is longer than any the hub writes: the database was changed")

// nameless makes a file that is gone with its last user, however this process ends.
func nameless(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, ".sinbahub-audit-*.part")
	if err != nil {
		return nil, fmt.Errorf("make a file for the work between: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// newGroups makes an empty one in a folder.
func newGroups(dir string) (*groups, error) {
	file, err := nameless(dir)
	if err != nil {
		return nil, err
	}
	return &groups{file: file, to: bufio.NewWriterSize(file, 1<<20)}, nil
}

// close forgets the file.
func (g *groups) close() {
	if g != nil {
		_ = g.file.Close()
	}
}

// add appends a leaf's data, empty if it has gone, and ends the group at a size.
func (g *groups) add(data []byte, size int) error {
	if len(data) > math.MaxUint16 {
		return errLeafLarge
	}
	g.one = binary.BigEndian.AppendUint16(g.one, uint16(len(data))) //nolint:gosec // just seen
	g.one = append(g.one, data...)
	g.leaves++
	if g.count++; g.count < size {
		return nil
	}
	return g.cut()
}

// cut ends the group.
func (g *groups) cut() error {
	if g.count == 0 {
		return nil
	}
	if _, err := g.to.Write(g.one); err != nil {
		return fmt.Errorf("keep entries: %w", err)
	}
	g.all = append(g.all, group{g.end, int64(len(g.one))})
	g.end += int64(len(g.one))
	g.one, g.count = g.one[:0], 0
	return nil
}

// done ends the last group.
func (g *groups) done() error { return errors.Join(g.cut(), g.to.Flush()) }

// reader gives a group's bytes.
func (g *groups) reader(number int) io.Reader {
	return io.NewSectionReader(g.file, g.all[number].at, g.all[number].size)
}

// entries gives the entries of a group one by one; nil for one that has gone or is none.
func (g *groups) entries(number int, take func(i int, e *journal.Entry)) error {
	data := make([]byte, g.all[number].size)
	if _, err := io.ReadFull(g.reader(number), data); err != nil {
		return fmt.Errorf("read kept entries: %w", err)
	}
	for i := 0; len(data) > 0; i++ {
		size := int(binary.BigEndian.Uint16(data))
		take(i, entryOf(data[2:2+size]))
		data = data[2+size:]
	}
	return nil
}

// entryOf reads the entry in a leaf's data. What is no entry is for the verifier to tell.
func entryOf(data []byte) *journal.Entry {
	if len(data) < journal.LeafTrailer {
		return nil
	}
	e, err := journal.Parse(data[:len(data)-journal.LeafTrailer])
	if err != nil {
		return nil
	}
	return &e
}

// leafData is what the tree has of a leaf, empty if it has gone.
func leafData(l *postgres.ExportedLeaf) []byte {
	if l.Entry == nil {
		return nil
	}
	return l.Bytes()
}

// note takes what an entry says for other members.
func (a *audit) note(e *journal.Entry) {
	if e != nil {
		a.named.note(e)
	}
}

// readAll reads the leaves of the whole range. One that is missing leaves its place empty.
func (a *audit) readAll(ctx context.Context) error {
	var err error
	if a.groups, err = newGroups(a.dir); err != nil {
		return err
	}
	next := a.first
	if err := a.store.EachLeaf(ctx, a.first, a.closing.Size, func(l *postgres.ExportedLeaf) error {
		for ; next < l.Index; next++ {
			if err := a.groups.add(nil, journal.TileWidth); err != nil {
				return err
			}
		}
		next++
		data := leafData(l)
		a.note(entryOf(data))
		a.bar.at(next - a.first)
		return a.groups.add(data, journal.TileWidth)
	}); err != nil {
		return err
	}
	for ; next < a.closing.Size; next++ {
		if err := a.groups.add(nil, journal.TileWidth); err != nil {
			return err
		}
	}
	return a.groups.done()
}

// writeTree reads the leaves of a bundle for all, and writes sealed bytes, tiles and entries.
func (a *audit) writeTree(ctx context.Context) error {
	if a.ente != 0 {
		return nil
	}
	leaves := spanOf(a.closing.Size, 0, a.first)
	for _, number := range leaves.numbers() {
		if err := a.sealed(ctx, int(number-leaves.first), leaves.width(number), "sealed/"+leaves.path(number)); err != nil {
			return err
		}
	}
	for level, tiles := 0, leaves; tiles.hashes > 0; {
		if err := a.writeTiles(ctx, level, tiles); err != nil {
			return err
		}
		level++
		tiles = spanOf(a.closing.Size, level, 0)
	}
	for _, number := range leaves.numbers() {
		if err := a.b.copy("tile/entries/"+leaves.path(number), a.groups.reader(int(number-leaves.first))); err != nil {
			return err
		}
	}
	return nil
}

// writeTiles writes one level's tiles, as wide as the closing checkpoint's tree has them. What the
// database lacks is not written: the verifier tells of it.
func (a *audit) writeTiles(ctx context.Context, level int, tiles span) error {
	const tilesPage = 128
	for page := range slices.Chunk(tiles.numbers(), tilesPage) {
		found, err := a.store.Tiles(ctx, level, page)
		if err != nil {
			return err
		}
		for _, number := range page {
			hashes, ok := found[number]
			if !ok {
				continue
			}
			hashes = hashes[:min(len(hashes), tiles.width(number)*sha256.Size)]
			if err := a.b.put(fmt.Sprintf("tile/%d/%s", level, tiles.path(number)), hashes); err != nil {
				return err
			}
		}
	}
	return nil
}

// sealed writes the sealed bytes of a group of leaves: uint32 length and bytes, 0 for none or gone.
func (a *audit) sealed(ctx context.Context, number, leaves int, name string) error {
	var keys postgres.SealedKeys
	if err := a.groups.entries(number, func(i int, e *journal.Entry) {
		switch {
		case e == nil || e.Sealed == [32]byte{}:
		case e.Kind == journal.EventAccepted:
			keys.AddMessage(i, e.Message, e.At)
		case e.Kind == journal.AttemptSettled:
			keys.AddAttempt(i, e.Delivery, e.Attempt, e.StartedAt)
		}
	}); err != nil {
		return err
	}
	if err := a.b.begin(name); err != nil {
		return err
	}
	next := 0
	upTo := func(i int) error {
		_, err := a.b.Write(make([]byte, 4*(i-next)))
		next = i + 1
		return err
	}
	if err := a.store.EachSealed(ctx, &keys, func(i int, sealed []byte) error {
		if err := upTo(i); err != nil {
			return err
		}
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], uint32(len(sealed))) //nolint:gosec // PostgreSQL has no more than 1 GiB
		_, err := a.b.Write(head[:])
		if err == nil {
			_, err = a.b.Write(sealed)
		}
		return err
	}); err != nil {
		return err
	}
	if err := upTo(leaves); err != nil {
		return err
	}
	if a.ente == 0 {
		a.bar.at(min(a.bar.total, a.bar.total/2+int64(number+1)*journal.TileWidth))
	}
	a.b.end()
	return nil
}

// writeEnte reads the leaves of one ente and writes them with their proofs, what was sealed, and how
// many there must be.
func (a *audit) writeEnte(ctx context.Context) error {
	if a.ente == 0 {
		return a.readAll(ctx)
	}
	var err error
	if a.groups, err = newGroups(a.dir); err != nil {
		return err
	}
	if err := a.readEnte(ctx); err != nil {
		return err
	}
	for number := range a.groups.all {
		left := a.groups.leaves - int64(number)*enteGroup
		if err := a.sealed(ctx, number, int(min(enteGroup, left)), fmt.Sprintf("ente/sealed/%06d", number)); err != nil {
			return err
		}
	}
	all, err := a.store.EnteSequences(ctx, a.ente, a.closing.Size)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, s := range all {
		fmt.Fprintf(&text, "%d %d %d\n", s.Participant, s.Ente, s.Last)
	}
	return a.b.put("ente/sequences", text.Bytes())
}

// readEnte writes an ente's leaves, each with its proof.
func (a *audit) readEnte(ctx context.Context) error {
	trees, record := &forest{a.store, map[tileID]*pyramid{}}, []byte(nil)
	if err := a.store.EachEnteLeaf(ctx, a.ente, a.first, a.closing.Size, func(l *postgres.ExportedLeaf) error {
		data := leafData(l)
		if e := entryOf(data); e != nil && e.Kind.Internal() {
			data = nil // for the privacy officer only
		} else {
			a.note(e)
		}
		var err error
		if record, err = trees.record(ctx, a.closing.Size, l.Index, data, record[:0]); err != nil {
			return err
		}
		if a.groups.leaves%enteGroup == 0 {
			if err := a.b.begin(fmt.Sprintf("ente/leaves/%06d", a.groups.leaves/enteGroup)); err != nil {
				return err
			}
		}
		if _, err := a.b.Write(record); err != nil {
			return err
		}
		if err := a.groups.add(data, enteGroup); err != nil {
			return err
		}
		a.bar.at(l.Index - a.first)
		if a.groups.leaves%enteGroup == 0 {
			a.b.end()
		}
		return nil
	}); err != nil {
		return err
	}
	if a.groups.leaves == 0 {
		return errAuditEmpty
	}
	if err := a.groups.done(); err != nil {
		return err
	}
	if a.groups.leaves%enteGroup > 0 {
		a.b.end()
	}
	return nil
}

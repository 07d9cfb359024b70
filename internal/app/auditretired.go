package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// boundRetired finds the last entry of retention that is signed for, and the checkpoint that holds it: the
// closing one, or the first behind it. So a bundle changes only when retention does something more.
func (a *audit) boundRetired(ctx context.Context) error {
	a.retired = a.closing
	last, err := a.store.SignedBefore(ctx, a.retiredAt)
	if err != nil {
		return err
	}
	if last.Size <= a.closing.Size {
		return nil
	}
	leaf := int64(-1)
	if err := a.store.EachRetirement(ctx, a.closing.Size, last.Size, func(l *postgres.ExportedLeaf) error {
		leaf = max(leaf, l.Index)
		return nil
	}); err != nil || leaf < 0 {
		return err
	}
	c, err := a.store.CheckpointOver(ctx, a.closing, leaf)
	if err != nil {
		return err
	}
	if signed, err := a.key.Open(c.Note); err != nil || signed.Size != c.Size || signed.Size <= leaf {
		return errAuditSigned
	}
	a.retired = c
	return nil
}

// writeRetired writes the entries of retention from the bundle's first leaf on: whatever they took of the
// range lies before them. What cannot be proven is left out, and then accounts for nothing.
func (a *audit) writeRetired(ctx context.Context) error {
	trees := &forest{a.store, map[tileID]*pyramid{}}
	if a.retired.Size > a.closing.Size {
		if err := a.b.put("retired/checkpoint", []byte(a.retired.Note)); err != nil {
			return err
		}
		proof, err := trees.consistency(ctx, a.retired.Size, a.closing.Size)
		if err != nil && !errors.Is(err, errNoTile) {
			return err
		}
		if err == nil {
			if err := a.b.put("retired/consistency", proof); err != nil {
				return err
			}
		}
	}
	if err := a.b.begin("retired/entries"); err != nil {
		return err
	}
	if err := a.store.EachRetirement(ctx, a.first, a.retired.Size, func(l *postgres.ExportedLeaf) error {
		record, err := trees.record(ctx, a.retired.Size, l.Index, leafData(l), nil)
		if errors.Is(err, errNoTile) || !l.Retirement() {
			return nil
		}
		if err == nil {
			_, err = a.b.Write(record)
		}
		return err
	}); err != nil {
		return err
	}
	a.b.end()
	return nil
}

// record appends a leaf with its proof: uint64 place in the tree, uint16 length and data, a byte with the
// number of hashes that prove it, and these.
func (f *forest) record(ctx context.Context, size, leaf int64, data, to []byte) ([]byte, error) {
	if len(data) > math.MaxUint16 {
		return nil, errLeafLarge
	}
	proof, err := f.proof(ctx, size, leaf)
	if err != nil {
		return nil, err
	}
	to = binary.BigEndian.AppendUint64(to, uint64(leaf))      //nolint:gosec // not negative
	to = binary.BigEndian.AppendUint16(to, uint16(len(data))) //nolint:gosec // just seen
	to = append(append(to, data...), byte(len(proof)))        //nolint:gosec // 63 at most
	for _, hash := range proof {
		to = append(to, hash[:]...)
	}
	return to, nil
}

// writeCheckpoints writes the checkpoints of the range, with one from before its first leaf, and the
// proofs that the closing one's tree holds those which the tiles in the bundle do not tie to it.
func (a *audit) writeCheckpoints(ctx context.Context) error {
	if err := a.b.begin("checkpoints"); err != nil {
		return err
	}
	var sizes []int64
	take := func(note string) error {
		if size := noteSize(note); size > 0 && size < a.closing.Size && (a.ente != 0 || size < a.first) {
			sizes = append(sizes, size)
		}
		_, err := fmt.Fprintf(a.b, "%d\n%s", len(note), note)
		return err
	}
	if a.opening.Note != "" && a.opening.At.Before(a.from) {
		if err := take(a.opening.Note); err != nil {
			return err
		}
	}
	if err := a.store.EachCheckpoint(ctx, a.from, a.closing, take); err != nil {
		return err
	}
	a.b.end()
	for _, size := range a.o.Prove {
		if size > 0 && size < a.closing.Size {
			sizes = append(sizes, size)
		}
	}
	slices.Sort(sizes)
	return a.writeConsistency(ctx, slices.Compact(sizes))
}

// writeConsistency writes proofs for the trees of these sizes: uint64 size, a byte with the number of
// hashes, and these. What the database lacks for one leaves it out.
func (a *audit) writeConsistency(ctx context.Context, sizes []int64) error {
	if len(sizes) == 0 {
		return nil
	}
	if err := a.b.begin("consistency"); err != nil {
		return err
	}
	trees := &forest{a.store, map[tileID]*pyramid{}}
	for _, size := range sizes {
		proof, err := trees.consistency(ctx, a.closing.Size, size)
		if errors.Is(err, errNoTile) {
			continue
		}
		if err != nil {
			return err
		}
		head := binary.BigEndian.AppendUint64(nil, uint64(size)) //nolint:gosec // not negative
		head = append(head, byte(len(proof)/32))                 //nolint:gosec // some dozens
		if _, err := a.b.Write(append(head, proof...)); err != nil {
			return err
		}
	}
	a.b.end()
	return nil
}

// noteSize is how many leaves a checkpoint's text says, 0 for what is none.
func noteSize(note string) int64 {
	_, rest, _ := strings.Cut(note, "\n")
	line, _, _ := strings.Cut(rest, "\n")
	size, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return 0
	}
	return size
}

// known is the last checkpoint of the hub's own file, for a bundle from a database that lacks it.
func (a *audit) readKnown() error {
	witness, err := journal.OpenWitness(a.cfg.JournalWitness())
	if err != nil {
		return err
	}
	a.known, err = witness.Last()
	return err
}

// writeKnown writes it.
func (a *audit) writeKnown() error {
	if !a.lacking || a.known == "" {
		return nil
	}
	return a.b.copy("known", bytes.NewReader([]byte(a.known)))
}

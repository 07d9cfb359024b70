package verify

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// slot is one leaf of those that a member holds.
type slot struct {
	index int64
	// data are its bytes, empty if they went by retention.
	data []byte
	// sound says that it was authenticated and read.
	sound bool
	leaf  leaf
}

// read reads the data of a leaf that was authenticated.
func (in *inspection) read(member string, s *slot) {
	switch err := parseLeaf(s.data, &s.leaf); {
	case errors.Is(err, errLayout):
		in.leaf(Incomplete, member, s.index, "%v", err)
	case errors.Is(err, errSuffix), errors.Is(err, errNumber):
		in.entry(Tampered, member, s.index, s.leaf.ids(), "%v", err)
	case err != nil:
		in.leaf(Tampered, member, s.index, "%v", err)
	default:
		s.sound = true
	}
}

// post hands a member's leaves to the ledger, the last one first.
func (in *inspection) post(member string, slots []slot) {
	for i := range slots {
		s := &slots[len(slots)-1-i]
		if !s.sound {
			// One that is wrong was told. For the numbers it counts as gone, so that it is told once.
			if in.ledger.gone++; len(s.data) == 0 {
				in.absent.entry(s.index)
				in.facts.Gone++
			}
			continue
		}
		if in.facts.Entries++; in.facts.Entries == 1 {
			in.earliest, in.latest = s.leaf.at, s.leaf.at
		}
		in.earliest, in.latest = min(in.earliest, s.leaf.at), max(in.latest, s.leaf.at)
		in.kinds[s.leaf.kind]++
		in.versions.take(&s.leaf.entry)
		in.ledger.take(member, s.index, &s.leaf)
	}
}

// walk goes through the tiles of leaves of a full bundle.
type walk struct {
	*inspection

	tree   *tree
	slots  []slot
	hashes []tlog.Hash
	spare  []tlog.Hash
	tile   []byte
	bytes  []byte
	seals  seals
}

// step verifies one tile of leaves: its hashes up to the root, the data against the hashes, the sealed
// bytes against the data.
func (w *walk) step(number int64) {
	width := tileSize(w.tree.size, 0, number)
	w.slots = w.slots[:0]
	if !w.readHashes(number, width) {
		return
	}
	w.claims.at(w.tree, number)
	member := "tile/entries/" + tilePath(number, width)
	b, err := w.box.read(member, width*(2+maxLeaf), w.bytes)
	switch {
	case errors.Is(err, errAbsent):
		w.add(Incomplete, member, "the entries of %d leaves from %d on are missing", width, number*tileWidth)
	case err != nil:
		w.add(Tampered, member, "%v", err)
	default:
		w.bytes = b
		if !w.split(member, b, number*tileWidth, int(width)) {
			w.add(Tampered, member, "it is not %d leaves, each behind its length", width)
			w.slots = w.slots[:0]
		}
	}
	if len(w.slots) == 0 {
		w.ledger.gone += width
		return
	}
	sealed := "sealed/" + tilePath(number, width)
	w.seals.check(w.inspection, sealed, w.slots)
	w.post(member, w.slots)
}

// readHashes reads a tile of level 0 and holds it against the one above.
func (w *walk) readHashes(number, width int64) bool {
	if width < tileWidth {
		w.hashes = append(w.hashes[:0], w.tree.last...) // held against the root already
		return true
	}
	name := hashTileName(0, number, width)
	b, err := w.box.read(name, tileWidth*tlog.HashSize, w.tile)
	switch {
	case errors.Is(err, errAbsent):
		w.add(Incomplete, name, "the tile is missing")
		w.ledger.gone += width
		return false
	case err != nil || len(b) != tileWidth*tlog.HashSize:
		w.add(Tampered, name, "the tile is not %d hashes", tileWidth)
		w.ledger.gone += width
		return false
	}
	w.tile = b
	w.hashes = decodeTile(b, w.hashes)
	w.spare = append(w.spare[:0], w.hashes...)
	if subtree(w.spare) != w.tree.upper[0][number] {
		w.add(Tampered, name, "its hashes, of leaves %d to %d, do not make the one that stands for it in level 1", number*tileWidth, number*tileWidth+tileWidth-1)
	}
	w.tree.tile, w.tree.number = w.hashes, number
	return true
}

// split takes a bundle of entries (C2SP tlog-tiles) apart and holds each leaf against its hash.
func (w *walk) split(member string, b []byte, first int64, width int) bool {
	for i := range width {
		if len(b) < 2 {
			return false
		}
		size := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+size {
			return false
		}
		w.slots = slices.Grow(w.slots, 1)[:i+1]
		s := &w.slots[i]
		s.index, s.data, s.sound = first+int64(i), b[2:2+size], false
		b = b[2+size:]
		if size == 0 {
			continue
		}
		if w.hash.leaf(s.data) != w.hashes[i] {
			w.entry(Tampered, member, s.index, claimed(s.data), "the entry is not the one whose hash stands in the tree")
			continue
		}
		w.read(member, s)
	}
	return len(b) == 0
}

// claimed is what a leaf that was changed says that it is of.
func claimed(data []byte) IDs {
	var e entry
	if len(data) <= suffixSize || parseEntry(data[:len(data)-suffixSize], &e) != nil {
		return IDs{}
	}
	return e.ids()
}

// ids are what a slot's entry is of, none if it was not read.
func (s *slot) ids() IDs {
	if !s.sound {
		return IDs{}
	}
	return s.leaf.ids()
}

// seals holds sealed bytes against the digests in entries.
type seals struct {
	reader *bufio.Reader
	digest hash.Hash
}

// check reads a member with, for each leaf, a 32-bit length and the sealed bytes.
func (v *seals) check(in *inspection, member string, slots []slot) {
	section, ok := in.box.open(member)
	if !ok {
		in.add(Incomplete, member, "the sealed bytes of leaves from %d on are missing", slots[0].index)
		return
	}
	if v.reader == nil {
		v.reader, v.digest = bufio.NewReaderSize(nil, 1<<16), sha256.New()
	}
	v.reader.Reset(section)
	for i := range slots {
		var head [4]byte
		if _, err := io.ReadFull(v.reader, head[:]); err != nil {
			in.entry(Tampered, member, slots[i].index, slots[i].ids(), "the sealed bytes end before it")
			return
		}
		size := int64(binary.BigEndian.Uint32(head[:]))
		var sum [32]byte
		if size > 0 {
			v.digest.Reset()
			if n, err := io.CopyN(v.digest, v.reader, size); err != nil || n != size {
				in.entry(Tampered, member, slots[i].index, slots[i].ids(), "its sealed bytes are cut off")
				return
			}
			v.digest.Sum(sum[:0])
		}
		in.judgeSeal(member, &slots[i], size, sum)
	}
	if _, err := v.reader.ReadByte(); err == nil {
		in.add(Tampered, member, "bytes follow behind those of the last leaf")
	}
}

func (in *inspection) judgeSeal(member string, s *slot, size int64, sum [32]byte) {
	named := s.sound && some(s.leaf.sealed[:])
	switch {
	case size == 0:
		if named && (s.leaf.kind == kindAccepted || s.leaf.kind == kindAttempt) && s.index < in.manifest.end {
			in.facts.SealedGone++
			in.absent.seal(s.index, &s.leaf.entry)
		}
	case len(s.data) > 0 && !s.sound: // told already
	case !named:
		in.entry(Tampered, member, s.index, s.ids(), "sealed bytes stand here, and no entry vouches for them")
	case sum != s.leaf.sealed:
		in.entry(Tampered, member, s.index, s.ids(), "the sealed bytes are not those whose SHA-256 the entry has")
	default:
		in.facts.Sealed++
	}
}

// tiles verifies the tree and every leaf of a full bundle, from the last tile to the first.
func (in *inspection) tiles() {
	t := readTree(in.box, in.Report, in.closing.size, in.closing.root)
	if t == nil {
		return
	}
	for _, m := range in.box.members {
		if folder, _, _ := strings.Cut(m.name, "/"); (folder == "tile" || folder == "sealed" || folder == "ente") && !t.hasPlace(m.name, in.manifest.first) {
			in.add(Tampered, m.name, "the tree of the bundle has no place for it")
		}
	}
	first, count := in.manifest.first/tileWidth, tileCount(t.size, 0)
	if count-first > int64(len(in.box.members)) {
		in.add(Incomplete, "", "tiles of leaves are missing: the range has %d, and the bundle %d members", count-first, len(in.box.members))
		return
	}
	if t.sound {
		in.claims.start(t, first)
	}
	in.walked = true
	w := &walk{inspection: in, tree: t}
	for number := count - 1; number >= first; number-- {
		w.step(number)
	}
}

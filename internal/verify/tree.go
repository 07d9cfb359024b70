package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// The tree stands in tiles of height 8 (C2SP tlog-tiles): a tile of level L holds up to 256 hashes, each
// of a full subtree of 256^L leaves.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// mostLeaves is more than any journal has. Near the end of its 63 bits the arithmetic of tlog does not
// end.
const mostLeaves = 1 << 56

var (
	errInclusion   = errors.New("the proof does not lead from the leaf to the signed root")
	errConsistency = errors.New("the trees do not agree")
	// errNotHere says that the bundle lacks what a proof would need.
	errNotHere = errors.New("the tile that the proof needs is not in the bundle")
)

// hasher makes the hashes of leaves without a new buffer for each.
type hasher struct{ buffer []byte }

// leaf is the hash of a leaf's data (RFC 6962, section 2.1).
func (h *hasher) leaf(data []byte) tlog.Hash {
	h.buffer = append(append(h.buffer[:0], 0), data...)
	return sha256.Sum256(h.buffer)
}

// checkInclusion tells whether the tree of that size and root has the leaf hash at that index.
func checkInclusion(proof []tlog.Hash, size int64, root tlog.Hash, index int64, leaf tlog.Hash) error {
	if size > mostLeaves || tlog.CheckRecord(proof, size, root, index, leaf) != nil {
		return errInclusion
	}
	return nil
}

// checkConsistency tells whether the proof leads from the old tree to the one that holds it. Nothing is
// proven of an empty tree: that is an error too.
func checkConsistency(proof []tlog.Hash, size int64, root tlog.Hash, old int64, oldRoot tlog.Hash) error {
	if size > mostLeaves || tlog.CheckTree(proof, size, root, old, oldRoot) != nil {
		return errConsistency
	}
	return nil
}

// subtree is the root over a power of two of hashes. It overwrites them.
func subtree(hashes []tlog.Hash) tlog.Hash {
	var pair [1 + 2*tlog.HashSize]byte
	pair[0] = 1
	for n := len(hashes); n > 1; n /= 2 {
		for i := 0; i < n; i += 2 {
			copy(pair[1:], hashes[i][:]) //nolint:gosec // i is below n
			copy(pair[1+tlog.HashSize:], hashes[i+1][:])
			hashes[i/2] = sha256.Sum256(pair[:])
		}
	}
	return hashes[0]
}

// tileCount is how many tiles of a level a tree has, the last one perhaps partial.
func tileCount(size int64, level int) int64 {
	n := size >> (tileHeight * level)
	return (n + tileWidth - 1) / tileWidth
}

// tileSize is how many hashes a tile has in a tree of that size.
func tileSize(size int64, level int, number int64) int64 {
	return min(size>>(tileHeight*level)-number*tileWidth, tileWidth)
}

// tilePath is the place of a tile's number (C2SP tlog-tiles): groups of three digits, all but the last
// behind an x, and the width of a partial tile.
func tilePath(number, width int64) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < tileWidth {
		path = fmt.Sprintf("%s.p/%d", path, width)
	}
	return path
}

func hashTileName(level int, number, width int64) string {
	return fmt.Sprintf("tile/%d/%s", level, tilePath(number, width))
}

// tree is the hashes that a bundle has, authenticated once root agreed and tiles were held against it.
type tree struct {
	size int64
	root tlog.Hash
	// sound tells whether the hashes of upper and last make the root.
	sound bool
	// upper are the levels from 1, all of each.
	upper [][]tlog.Hash
	// last is the partial tile of level 0 at the end, empty if there is none.
	last []tlog.Hash
	// tile is the tile of level 0 at hand, number its place; -1 for none.
	tile   []tlog.Hash
	number int64
}

// decodeTile gives the hashes of a tile's bytes, in hashes if it is large enough.
func decodeTile(b []byte, hashes []tlog.Hash) []tlog.Hash {
	hashes = hashes[:0]
	for ; len(b) >= tlog.HashSize; b = b[tlog.HashSize:] {
		hashes = append(hashes, tlog.Hash(b[:tlog.HashSize]))
	}
	return hashes
}

// readTree reads all levels above the leaves and the partial tile at their end, and holds them against
// the signed root. Nil: what is missing was told, and nothing can be held against the rest. What is wrong
// was told too, and leaves the tree unsound.
func readTree(c *container, rep *Report, size int64, root tlog.Hash) *tree {
	t := &tree{size: size, root: root, number: -1, sound: true}
	whole := true
	if tileCount(size, 1) > int64(len(c.members)) {
		rep.add(Incomplete, "", "tiles of the tree are missing: it has %d of level 1 alone, and the bundle %d members", tileCount(size, 1), len(c.members))
		return nil
	}
	for level := 1; size>>(tileHeight*level) > 0; level++ {
		var all []tlog.Hash
		for n := range tileCount(size, level) {
			hashes, ok := readTile(c, rep, level, n, tileSize(size, level, n))
			whole = whole && ok
			all = append(all, hashes...)
		}
		t.upper = append(t.upper, all)
	}
	if width := size % tileWidth; width != 0 {
		var ok bool
		t.last, ok = readTile(c, rep, 0, size/tileWidth, width)
		whole = whole && ok
	}
	if !whole {
		return nil
	}
	for level := 1; level < len(t.upper); level++ {
		for i, parent := range t.upper[level] {
			from := i * tileWidth
			if subtree(slices.Clone(t.upper[level-1][from:from+tileWidth])) != parent {
				rep.add(Tampered, hashTileName(level, int64(i), tileWidth), "its hashes do not make the one that stands for it in level %d", level+1)
				t.sound = false
			}
		}
	}
	if computed, err := tlog.TreeHash(size, t); err != nil || computed != root {
		rep.add(Tampered, "checkpoint", "the tiles do not make the root that is signed for %d entries", size)
		t.sound = false
	}
	return t
}

// readTile reads one tile of exactly that width.
func readTile(c *container, rep *Report, level int, number, width int64) ([]tlog.Hash, bool) {
	name := hashTileName(level, number, width)
	b, err := c.read(name, width*tlog.HashSize, nil)
	switch {
	case errors.Is(err, errAbsent):
		rep.add(Incomplete, name, "the tile is missing")
		return nil, false
	case err != nil || int64(len(b)) != width*tlog.HashSize:
		rep.add(Tampered, name, "the tile is not %d hashes", width)
		return nil, false
	}
	return decodeTile(b, make([]tlog.Hash, 0, width)), true
}

// ReadHashes gives hashes by their index of tlog, made from the tiles at hand.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, len(indexes))
	var scratch [tileWidth]tlog.Hash
	for _, x := range indexes {
		height, n := tlog.SplitStoredHashIndex(x)
		span := int64(1) << (height % tileHeight)
		from, err := t.level(height/tileHeight, n*span, span)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, subtree(scratch[:copy(scratch[:], from)]))
	}
	return hashes, nil
}

// level gives that many hashes of a level, all of one tile.
func (t *tree) level(level int, from, count int64) ([]tlog.Hash, error) {
	switch tile := from / tileWidth; {
	case level > len(t.upper):
		return nil, errNotHere
	case level > 0 && from+count <= int64(len(t.upper[level-1])):
		return t.upper[level-1][from : from+count], nil
	case level > 0:
		return nil, errNotHere
	case tile == t.number && from%tileWidth+count <= int64(len(t.tile)):
		return t.tile[from%tileWidth : from%tileWidth+count], nil
	case tile == t.size/tileWidth && from%tileWidth+count <= int64(len(t.last)):
		return t.last[from%tileWidth : from%tileWidth+count], nil
	}
	return nil, errNotHere
}

// holds tells whether the tree holds an earlier one: errConsistency if not, errNotHere if the bundle
// cannot tell.
func (t *tree) holds(old int64, root tlog.Hash) error {
	if old < 1 || old > t.size {
		return errNotHere
	}
	proof, err := tlog.ProveTree(t.size, old, t)
	if err != nil {
		return errNotHere
	}
	return checkConsistency(proof, t.size, t.root, old, root)
}

// parseTilePath reads what tilePath writes.
func parseTilePath(path string) (number, width int64, ok bool) {
	width = tileWidth
	digits, partial, found := strings.Cut(path, ".p/")
	if found {
		if width, ok = decimal(partial); !ok || width < 1 || width >= tileWidth {
			return 0, 0, false
		}
	}
	number, err := strconv.ParseInt(strings.NewReplacer("x", "", "/", "").Replace(digits), 10, 64)
	return number, width, err == nil && number >= 0 && tilePath(number, width) == path
}

// hasPlace tells whether a member is a tile, or goes with one, that a full bundle from that leaf on has.
func (t *tree) hasPlace(name string, first int64) bool {
	level, path := 0, ""
	for _, folder := range []string{"tile/entries/", "sealed/"} {
		if rest, found := strings.CutPrefix(name, folder); found {
			path = rest
		}
	}
	if rest, found := strings.CutPrefix(name, "tile/"); found && path == "" {
		digits, rest, _ := strings.Cut(rest, "/")
		n, ok := decimal(digits)
		if !ok || n > 63/tileHeight {
			return false
		}
		level, path = int(n), rest
	}
	number, width, ok := parseTilePath(path)
	if !ok || level == 0 && number < first/tileWidth {
		return false
	}
	return number < tileCount(t.size, level) && width == tileSize(t.size, level, number)
}

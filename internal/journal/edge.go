package journal

import (
	"crypto/sha256"
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// TileHeight is the height of the tiles (C2SP tlog-tiles): 256 hashes make one hash of the next level.
const TileHeight = 8

// TileWidth is how many hashes a full tile has.
const TileWidth = 1 << TileHeight

// MaxLevel is the highest level of tiles: more leaves than 256^8 there are not.
const MaxLevel = 7

// ErrTree says that stored hashes are not those of a tree of that size and root.
var ErrTree = errors.New("the journal's tree is not what its root says")

// Tile is one tile as it is stored: its hashes one after the other, 32 bytes each.
type Tile struct {
	// Level and Number say which, as in tlog.Tile.
	Level  int
	Number int64
	// Hashes are those it has so far.
	Hashes []byte
}

// Edge is the right edge of a tree: of each level the tile that still grows. It is all that is needed to
// add leaves and to tell the root.
type Edge struct {
	size  int64
	tiles [MaxLevel + 1][]tlog.Hash
}

// EdgeTiles are the tiles that the edge of a tree of that size consists of, each with how many hashes it
// has; those without any are left out.
func EdgeTiles(size int64) (all []tlog.Tile) {
	for level := range MaxLevel + 1 {
		n := size >> (TileHeight * level)
		if width := int(n % TileWidth); width > 0 {
			all = append(all, tlog.Tile{H: TileHeight, L: level, N: n / TileWidth, W: width})
		}
	}
	return all
}

// LoadEdge makes the edge from its tiles' data, in the order of EdgeTiles; a tile may have more hashes
// than it had at that size. It is ErrTree if the root is another.
func LoadEdge(size int64, root tlog.Hash, data [][]byte) (*Edge, error) {
	e := &Edge{size: size}
	tiles := EdgeTiles(size)
	if size < 0 || len(data) != len(tiles) {
		return nil, ErrTree
	}
	for i, t := range tiles {
		if len(data[i]) < t.W*tlog.HashSize {
			return nil, ErrTree
		}
		for h := range slices.Chunk(data[i][:t.W*tlog.HashSize], tlog.HashSize) {
			e.tiles[t.L] = append(e.tiles[t.L], tlog.Hash(h))
		}
	}
	if e.Root() != root {
		return nil, ErrTree
	}
	return e, nil
}

// Size is how many leaves the tree has.
func (e *Edge) Size() int64 { return e.size }

// Append adds leaves and gives the tiles that changed, each as it stands afterwards, a full one once.
func (e *Edge) Append(leaves []tlog.Hash) (changed []Tile) {
	var touched [MaxLevel + 1]bool
	var add func(level int, h tlog.Hash)
	add = func(level int, h tlog.Hash) {
		e.tiles[level], touched[level] = append(e.tiles[level], h), true
		if len(e.tiles[level]) < TileWidth {
			return
		}
		changed = append(changed, e.tile(level, e.size>>(TileHeight*(level+1))-1))
		full := subtree(e.tiles[level])
		e.tiles[level], touched[level] = nil, false
		if level < MaxLevel {
			add(level+1, full)
		}
	}
	for _, h := range leaves {
		e.size++
		add(0, h)
	}
	for level, t := range touched {
		if t {
			changed = append(changed, e.tile(level, e.size>>(TileHeight*(level+1))))
		}
	}
	return changed
}

func (e *Edge) tile(level int, number int64) Tile {
	t := Tile{Level: level, Number: number, Hashes: make([]byte, 0, len(e.tiles[level])*tlog.HashSize)}
	for _, h := range e.tiles[level] {
		t.Hashes = append(t.Hashes, h[:]...)
	}
	return t
}

// Root is the tree's hash (RFC 6962, 2.1). What stands right of the full subtrees of a level is their
// last, smaller sibling, so that each level is a list with the rest below as its last element.
func (e *Edge) Root() tlog.Hash {
	var rest []tlog.Hash
	for _, tile := range e.tiles {
		if list := slices.Concat(tile, rest); len(list) > 0 {
			rest = []tlog.Hash{subtree(list)}
		}
	}
	if rest == nil {
		return sha256.Sum256(nil)
	}
	return rest[0]
}

// subtree is the hash over a list that is not empty: it is split at the largest power of two below its
// length.
func subtree(list []tlog.Hash) tlog.Hash {
	if len(list) == 1 {
		return list[0]
	}
	half := 1
	for half*2 < len(list) {
		half *= 2
	}
	return tlog.NodeHash(subtree(list[:half]), subtree(list[half:]))
}

// TileHash is the hash over all hashes of a tile, which the tile of the next level has. The tile must have
// whole hashes and at least one.
func TileHash(hashes []byte) tlog.Hash {
	list := make([]tlog.Hash, 0, TileWidth)
	for h := range slices.Chunk(hashes, tlog.HashSize) {
		list = append(list, tlog.Hash(h))
	}
	return subtree(list)
}

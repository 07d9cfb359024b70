package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// tilePath is the place of a tile or an entry bundle below its folder: groups of three digits, all but
// the last behind an x, and the width of a partial one.
func tilePath(number int64, width int) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number /= 1000; number > 0; number /= 1000 {
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	if width < journal.TileWidth {
		path += fmt.Sprintf(".p/%d", width)
	}
	return path
}

// span are tiles of one level of a tree.
type span struct {
	// first is the number of the first one, end that behind the last.
	first, end int64
	// hashes is how many hashes the level has.
	hashes int64
}

// spanOf is the tiles of a level from the one that holds a hash on.
func spanOf(size int64, level int, from int64) span {
	hashes := size >> (level * journal.TileHeight)
	return span{first: from / journal.TileWidth, end: (hashes + journal.TileWidth - 1) / journal.TileWidth, hashes: hashes}
}

// width is how many hashes a tile has in this tree.
func (s span) width(number int64) int {
	return int(min(journal.TileWidth, s.hashes-number*journal.TileWidth))
}

// path is tilePath in this tree.
func (s span) path(number int64) string { return tilePath(number, s.width(number)) }

// numbers gives the tiles in the order of their paths, which is that of their numbers up to a million.
func (s span) numbers() []int64 {
	all := make([]int64, 0, max(0, s.end-s.first))
	for n := s.first; n < s.end; n++ {
		all = append(all, n)
	}
	if s.end > 1000*1000 {
		slices.SortFunc(all, func(a, b int64) int { return strings.Compare(s.path(a), s.path(b)) })
	}
	return all
}

// errNoTile says that the tree in the database has a hole.
var errNoTile = errors.New("the journal's tree lacks a tile: proofs cannot be made; export without --ente to show what is there")

// forest reads hashes of the tree for proofs, with the tiles of the way kept.
type forest struct {
	store *postgres.Store
	kept  map[tileID]*pyramid
}

type tileID struct {
	level  int
	number int64
}

// pyramid is a tile with the hashes above its own: at k those of 2^k.
type pyramid [journal.TileHeight][]tlog.Hash

// tilesKept bounds the memory of a forest: the way up and the right edge of the tree are a few tiles.
const tilesKept = 256

// proof proves the inclusion of a leaf in the tree of a size.
func (f *forest) proof(ctx context.Context, size, leaf int64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(size, leaf, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return f.read(ctx, indexes)
	}))
}

// consistency proves that the tree of a size holds the one of an earlier size: its hashes one after the
// other.
func (f *forest) consistency(ctx context.Context, size, earlier int64) (hashes []byte, err error) {
	proof, err := tlog.ProveTree(size, earlier, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return f.read(ctx, indexes)
	}))
	for _, hash := range proof {
		hashes = append(hashes, hash[:]...)
	}
	return hashes, err
}

// read reads hashes by tlog's numbers.
func (f *forest) read(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		above := level % journal.TileHeight
		perTile := int64(journal.TileWidth >> above)
		p, err := f.tile(ctx, tileID{level / journal.TileHeight, n / perTile})
		if err != nil {
			return nil, err
		}
		if at := n % perTile; at < int64(len(p[above])) {
			all[i] = p[above][at]
			continue
		}
		return nil, errNoTile
	}
	return all, nil
}

// tile gives a tile with what stands above it.
func (f *forest) tile(ctx context.Context, id tileID) (*pyramid, error) {
	if p, ok := f.kept[id]; ok {
		return p, nil
	}
	found, err := f.store.Tiles(ctx, id.level, []int64{id.number})
	if err != nil {
		return nil, err
	}
	data, ok := found[id.number]
	if !ok {
		return nil, errNoTile
	}
	var p pyramid
	for part := range slices.Chunk(data, sha256.Size) {
		if len(part) == sha256.Size {
			p[0] = append(p[0], tlog.Hash(part))
		}
	}
	for k := 1; k < journal.TileHeight; k++ {
		for i := 0; i+1 < len(p[k-1]); i += 2 {
			p[k] = append(p[k], tlog.NodeHash(p[k-1][i], p[k-1][i+1]))
		}
	}
	if len(f.kept) >= tilesKept {
		clear(f.kept)
	}
	f.kept[id] = &p
	return &p, nil
}

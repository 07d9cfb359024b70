package journal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// reference is the tree as x/mod keeps it, hash by hash.
type reference struct {
	size   int64
	hashes []tlog.Hash
}

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		all[i] = r.hashes[x]
	}
	return all, nil
}

func (r *reference) add(t interface{ Fatal(args ...any) }, h tlog.Hash) {
	more, err := tlog.StoredHashesForRecordHash(r.size, h, r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, more...)
	r.size++
}

func (r *reference) root(t interface{ Fatal(args ...any) }) tlog.Hash {
	h, err := tlog.TreeHash(r.size, r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// stored keeps the tiles that an edge gives, as the database does.
type stored map[[2]int64][]byte

func (s stored) put(t interface{ Fatal(args ...any) }, tiles []journal.Tile) {
	for _, tile := range tiles {
		key := [2]int64{int64(tile.Level), tile.Number}
		if !bytes.HasPrefix(tile.Hashes, s[key]) {
			t.Fatal("a hash of a tile changed", key)
		}
		s[key] = tile.Hashes
	}
}

func (s stored) data(size int64) (data [][]byte) {
	for _, tile := range journal.EdgeTiles(size) {
		data = append(data, s[[2]int64{int64(tile.L), tile.N}])
	}
	return data
}

// TestEdgeIsTheTreeOfRFC6962: roots and tiles are those that x/mod computes hash by hash, in whatever
// portions the leaves come, across the borders of tiles of two levels, and when it is loaded anew.
func TestEdgeIsTheTreeOfRFC6962(t *testing.T) {
	t.Parallel()
	var ref reference
	tiles := stored{}
	edge, err := journal.LoadEdge(0, ref.root(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	portions := []int{1, 1, 2, 0, 250, 1, 1, 1, 255, 256, 257, 1000, 512, 64_000, 1, 700}
	n := 0
	for _, portion := range portions {
		old := edge.Size()
		var leaves []tlog.Hash
		for range portion {
			h := tlog.RecordHash([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
			leaves = append(leaves, h)
			ref.add(t, h)
			n++
		}
		changed := edge.Append(leaves)
		tiles.put(t, changed)
		if edge.Root() != ref.root(t) || edge.Size() != ref.size {
			t.Fatalf("another root at %d leaves", ref.size)
		}
		for _, want := range tlog.NewTiles(journal.TileHeight, old, edge.Size()) {
			data, err := tlog.ReadTileData(want, &ref)
			if err != nil {
				t.Fatal(err)
			}
			if got := tiles[[2]int64{int64(want.L), want.N}]; !bytes.HasPrefix(got, data) {
				t.Fatalf("tile %v is another", want)
			}
		}
		again, err := journal.LoadEdge(edge.Size(), edge.Root(), tiles.data(edge.Size()))
		if err != nil {
			t.Fatalf("at %d: %v", edge.Size(), err)
		}
		edge = again
	}
	if edge.Size() < 65536+512 {
		t.Fatal("no border of the second level was crossed")
	}
}

// A tile that has grown since, as another reader of the database finds it, does no harm; one whose
// hashes were changed or are missing does not load.
func TestEdgeLoadsOnlyWhatItsRootSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(t, "leaves")
		tiles, edge := stored{}, &journal.Edge{}
		for i := range n {
			tiles.put(t, edge.Append([]tlog.Hash{tlog.RecordHash([]byte{byte(i), byte(i >> 8)})}))
		}
		size, root := edge.Size(), edge.Root()
		data := tiles.data(size)
		grown := slices.Clone(data)
		for i := range grown {
			grown[i] = append(slices.Clone(grown[i]), make([]byte, 64)...)
		}
		if _, err := journal.LoadEdge(size, root, grown); err != nil {
			t.Fatal("a grown tile:", err)
		}
		which := rapid.IntRange(0, len(data)-1).Draw(t, "tile")
		for name, bad := range map[string][]byte{
			"short":   data[which][:len(data[which])-1],
			"changed": flip(data[which], rapid.IntRange(0, len(data[which])-1).Draw(t, "at")),
		} {
			broken := slices.Clone(data)
			broken[which] = bad
			if _, err := journal.LoadEdge(size, root, broken); !errors.Is(err, journal.ErrTree) {
				t.Fatal(name, err)
			}
		}
		if _, err := journal.LoadEdge(size, root, data[1:]); !errors.Is(err, journal.ErrTree) {
			t.Fatal("a tile is missing", err)
		}
		if _, err := journal.LoadEdge(-size, root, data); !errors.Is(err, journal.ErrTree) {
			t.Fatal("negative size", err)
		}
	})
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func TestLeafSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	entry := journal.Entry{Kind: journal.EventAccepted, Participant: 3, Ente: -7}
	leaf := journal.Leaf{Entry: []byte{0xee}, Pair: entry.Pair(), Seq: 258}
	want := []byte{0xee, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xf9, 0, 0, 0, 0, 0, 0, 1, 2}
	if diff := cmp.Diff(want, leaf.Bytes()); diff != "" {
		t.Error(diff)
	}
	for _, kind := range []journal.Kind{journal.SubjectsJoined, journal.OthersHistory} {
		entry.Kind = kind
		if entry.Pair() != (journal.Pair{}) {
			t.Errorf("an entry of kind %d counts among its ente's", kind)
		}
	}
}

package app_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// opened is a bundle that was taken apart.
type opened struct {
	names    []string
	members  map[string][]byte
	manifest map[string]string
	tree     tlog.Tree
}

// open takes a bundle apart and holds what every one must have: the manifest's signature, the members'
// digests, their order, and no metadata.
func (l *ledger) open(t *testing.T, data []byte) *opened {
	t.Helper()
	reader, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	b := &opened{members: map[string][]byte{}, manifest: map[string]string{}}
	var again bytes.Buffer
	writer := zip.NewWriter(&again)
	for _, file := range reader.File {
		content, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if file.Method != zip.Store || len(file.Extra) > 0 || file.Flags != 8 || file.ModifiedDate != 0x21 || file.ModifiedTime != 0 {
			t.Fatalf("%s has metadata: %+v", file.Name, file.FileHeader)
		}
		b.names, b.members[file.Name] = append(b.names, file.Name), text
		to, err := writer.CreateHeader(&zip.FileHeader{Name: file.Name, ModifiedDate: 0x21}) //nolint:staticcheck // Modified brings a field
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil || !bytes.Equal(again.Bytes(), data) {
		t.Fatalf("the container written again from its members differs: %v", err)
	}
	last := len(b.names) - 1
	if !slices.IsSorted(b.names[:last]) || b.names[last] != "MANIFEST" {
		t.Fatalf("members out of order: %v", b.names)
	}
	signed, err := note.Open(b.members["MANIFEST"], note.VerifierList(l.public))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(signed.Text, "\n"), "\n")
	if lines[0] != "sinba-evidence/v2" {
		t.Fatalf("manifest begins with %q", lines[0])
	}
	var listed []string
	for _, line := range lines[1:] {
		words := strings.SplitN(line, " ", 3)
		if len(words[0]) != 64 {
			b.manifest[words[0]] = strings.Join(words[1:], " ")
			continue
		}
		name := words[2]
		sum := sha256.Sum256(b.members[name])
		if words[0] != hex.EncodeToString(sum[:]) || words[1] != strconv.Itoa(len(b.members[name])) {
			t.Errorf("manifest is wrong about %s", name)
		}
		listed = append(listed, name)
	}
	if diff := cmp.Diff(b.names[:last], listed); diff != "" {
		t.Errorf("members that the manifest does not list alike: %s", diff)
	}
	b.readCheckpoint(t, l.public)
	return b
}

func (b *opened) readCheckpoint(t *testing.T, public note.Verifier) {
	t.Helper()
	signed, err := note.Open(b.members["checkpoint"], note.VerifierList(public))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(signed.Text, "\n")
	b.tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || b.manifest["size"] != lines[1] || b.manifest["end"] != lines[1] {
		t.Fatalf("size %q in the checkpoint, %q and %q in the manifest", lines[1], b.manifest["size"], b.manifest["end"])
	}
	if b.tree.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		t.Fatal(err)
	}
}

// path is that of a leaf's tile.
func (b *opened) path(number int64) string {
	tile := tlog.Tile{H: 8, L: 0, N: number, W: int(min(256, b.tree.N-number*256))}
	return strings.TrimPrefix(tile.Path(), "tile/8/0/")
}

// records reads length-prefixed records.
func records(t *testing.T, data []byte, prefix int) (all [][]byte) {
	t.Helper()
	for len(data) > 0 {
		size := 0
		for _, digit := range data[:prefix] {
			size = size<<8 | int(digit)
		}
		all, data = append(all, data[prefix:prefix+size]), data[prefix+size:]
	}
	return all
}

// leaves checks every leaf of a bundle for all against the checkpoint, and its sealed bytes, and gives
// their data.
func (b *opened) leaves(t *testing.T) [][]byte {
	t.Helper()
	reader := tlog.TileHashReader(b.tree, tileFiles{b})
	first, err := strconv.ParseInt(b.manifest["first"], 10, 64)
	if err != nil || first%256 != 0 {
		t.Fatalf("first leaf %q", b.manifest["first"])
	}
	var all [][]byte
	for number := first / 256; number*256 < b.tree.N; number++ {
		entries := records(t, b.members["tile/entries/"+b.path(number)], 2)
		sealed := records(t, b.members["sealed/"+b.path(number)], 4)
		if want := int(min(256, b.tree.N-number*256)); len(entries) != want || len(sealed) != want {
			t.Fatalf("%d entries and %d sealed in %s, want %d", len(entries), len(sealed), b.path(number), want)
		}
		for i, data := range entries {
			n := number*256 + int64(i)
			hash, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 0 && tlog.RecordHash(data) != hash[0] {
				t.Errorf("leaf %d is not what the tree has", n)
			}
			checkSealed(t, data, sealed[i])
		}
		all = append(all, entries...)
	}
	return all
}

func checkSealed(t *testing.T, data, sealed []byte) {
	t.Helper()
	if len(data) == 0 {
		return
	}
	e, err := journal.Parse(data[:len(data)-16])
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(sealed); e.Sealed != [32]byte{} && sum != e.Sealed || e.Sealed == [32]byte{} && len(sealed) > 0 {
		t.Errorf("sealed bytes of %s (kind %d) are not what the entry says: %d bytes", e.ID, e.Kind, len(sealed))
	}
}

// tileFiles reads tiles from a bundle.
type tileFiles struct{ b *opened }

func (tileFiles) Height() int { return 8 }

func (tileFiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}

func (f tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, tile := range tiles {
		name := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		data, ok := f.b.members[name]
		if !ok {
			return nil, errors.New("no member " + name)
		}
		all[i] = data
	}
	return all, nil
}

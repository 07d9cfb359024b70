package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// grown is a hub with three checkpoints, the last one of all its 700 entries.
func grown(tb testing.TB) *hub {
	tb.Helper()
	h := newHub(tb, 1)
	for _, n := range []int{300, 520, 700} {
		h.live(n)
		h.checkpoint(tb)
	}
	return h
}

// leafOf gives the place of the first record from a place on for which is holds.
func leafOf(tb testing.TB, h *hub, from int, is func(*record) bool) int {
	tb.Helper()
	i := slices.IndexFunc(h.records[from:], is)
	if i < 0 {
		tb.Fatal("there is no such record")
	}
	return from + i
}

func isSealed(r *record) bool { return r.sealed != nil }

// nth gives the place of the data of the n-th record in a bundle of entries or sealed bytes.
func nth(b []byte, n, prefix int) (from, to int) {
	for i := 0; ; i++ {
		size := int(binary.BigEndian.Uint16(b[from:]))
		if prefix == 4 {
			size = int(binary.BigEndian.Uint32(b[from:]))
		}
		if i == n {
			return from + prefix, from + prefix + size
		}
		from += prefix + size
	}
}

// What somebody changes in a bundle behind the hub's back is not covered by the signature any more.
func TestBundleChangedBehindItsSignatureIsTampered(t *testing.T) {
	t.Parallel()
	h := grown(t)
	sealedAt := leafOf(t, h, 256, isSealed)
	strange, strangeKey := newKey(t, 99, origin)
	for _, c := range []struct {
		name   string
		member string
		leaf   int64 // -2: none to be named
		code   verify.Code
		change func(b *bundle)
	}{
		{"one byte of an entry", "tile/entries/001", 260, verify.Tampered, func(b *bundle) {
			from, _ := nth(b.members["tile/entries/001"], 4, 2)
			b.members["tile/entries/001"][from+40] ^= 1
		}},
		{"two entries swapped", "tile/entries/001", 260, verify.Tampered, func(b *bundle) {
			e := b.members["tile/entries/001"]
			from, _ := nth(e, 4, 2)
			_, to := nth(e, 5, 2)
			_, middle := nth(e, 4, 2)
			b.members["tile/entries/001"] = slices.Concat(e[:from-2], e[middle:to], e[from-2:middle], e[to:])
		}},
		{"an entry's body taken out", "tile/entries/001", -2, verify.Tampered, func(b *bundle) {
			e := b.members["tile/entries/001"]
			from, to := nth(e, 4, 2)
			b.members["tile/entries/001"] = slices.Concat(e[:from-2], []byte{0, 0}, e[to:])
		}},
		{"the entries cut off", "tile/entries/001", -2, verify.Tampered, func(b *bundle) {
			e := b.members["tile/entries/001"]
			b.members["tile/entries/001"] = e[:len(e)-1]
		}},
		{"a hash of a tile", "tile/0/001", -2, verify.Tampered, func(b *bundle) { b.members["tile/0/001"][70] ^= 1 }},
		{"a hash of the tile above", "tile/1/000.p/2", -2, verify.Tampered, func(b *bundle) { b.members["tile/1/000.p/2"][33] ^= 1 }},
		{"a hash of the last tile", "tile/0/002.p/188", -2, verify.Tampered, func(b *bundle) { b.members["tile/0/002.p/188"][33] ^= 1 }},
		{"sealed bytes", "sealed/001", int64(sealedAt), verify.Tampered, func(b *bundle) {
			from, _ := nth(b.members["sealed/001"], sealedAt-256, 4)
			b.members["sealed/001"][from] ^= 1
		}},
		{"a word of the README", "README.txt", -2, verify.Tampered, func(b *bundle) { b.members["README.txt"][0] = 'R' }},
		{"a line of open", "open", -2, verify.Tampered, func(b *bundle) { b.members["open"] = nil }},
		{"a member more", "xsd/more.xsd", -2, verify.Tampered, func(b *bundle) { b.members["xsd/more.xsd"] = []byte("x") }},
		{"a member less", "checkpoints", -2, verify.Tampered, func(b *bundle) { delete(b.members, "checkpoints") }},
		{"a tile less", "tile/0/001", -2, verify.Tampered, func(b *bundle) { delete(b.members, "tile/0/001") }},
		{"the closing checkpoint of before", "checkpoint", -2, verify.Tampered, func(b *bundle) { b.members["checkpoint"] = h.points[1].note }},
		{"another public key", "MANIFEST", -2, verify.Tampered, func(b *bundle) { b.members["keys/journal.pub"] = []byte(strangeKey + "\n") }},
		{"no public key", "", -1, verify.Unusable, func(b *bundle) { delete(b.members, "keys/journal.pub") }},
		{"a key that is none", "", -1, verify.Unusable, func(b *bundle) { b.members["keys/journal.pub"] = []byte("x\n") }},
		{"no manifest", "", -1, verify.Unusable, func(b *bundle) {
			b.mangle = func(names []string) []string { return names[:len(names)-1] }
		}},
		{"a manifest that is no note", "MANIFEST", -1, verify.Unusable, func(b *bundle) { b.note = func([]byte) []byte { return []byte("x") } }},
		{"a manifest that is empty", "MANIFEST", -1, verify.Unusable, func(b *bundle) { b.note = func([]byte) []byte { return nil } }},
		{"the manifest's text", "MANIFEST", -1, verify.Tampered, func(b *bundle) {
			signed := b.note(nil)
			b.note = func([]byte) []byte { return bytes.Replace(signed, []byte("from 2026-03"), []byte("from 2026-02"), 1) }
		}},
		{"the manifest signed by a strange key too", "MANIFEST", -1, verify.Tampered, func(b *bundle) {
			signed := b.note(nil)
			text := string(signed[:bytes.LastIndex(signed, []byte("\n\n"))+1])
			more := sign(t, strange, text)
			b.note = func([]byte) []byte { return append(slices.Clip(signed), more[len(text)+1:]...) }
		}},
		{"the manifest's signature in another form of base64", "MANIFEST", -1, verify.Tampered, func(b *bundle) {
			const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			signed := bytes.Clone(b.note(nil))
			last := len(signed) - len("x=\n") // its last bits mean nothing
			signed[last] = digits[strings.IndexByte(digits, signed[last])+1]
			b.note = func([]byte) []byte { return signed }
		}},
		{"members in another order", "", -2, verify.Tampered, func(b *bundle) {
			b.mangle = func(names []string) []string { names[0], names[1] = names[1], names[0]; return names }
		}},
		{"the manifest not at the end", "", -1, verify.Unusable, func(b *bundle) {
			b.mangle = func(names []string) []string { return append([]string{"MANIFEST"}, names[:len(names)-1]...) }
		}},
		{"a member twice", "", -1, verify.Unusable, func(b *bundle) {
			b.mangle = func(names []string) []string { return append([]string{names[0]}, names...) }
		}},
		{"members compressed", "", -1, verify.Unusable, func(b *bundle) { b.header = func(f *zip.FileHeader) { f.Method = zip.Deflate } }},
		{"times in the container", "", -2, verify.Tampered, func(b *bundle) { b.header = func(f *zip.FileHeader) { f.Modified = h.now } }},
		{"comments in the container", "", -2, verify.Tampered, func(b *bundle) { b.header = func(f *zip.FileHeader) { f.Comment = "x" } }},
		{"modes in the container", "", -2, verify.Tampered, func(b *bundle) { b.header = func(f *zip.FileHeader) { f.SetMode(0o600) } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := h.export(t, 256).seal(t)
			c.change(b)
			r := inspect(b.pack(t), verify.BundleOptions{})
			if r.Verdict != c.code || !found(r, c.code, c.member, c.leaf) {
				t.Errorf("want %s of %q, leaf %d: %s", c.code, c.member, c.leaf, show(r))
			}
		})
	}
}

// changed is a bundle that somebody with the database changed before the hub signed it.
type changed struct {
	name   string
	code   verify.Code
	member string
	leaf   int64
	change func(h *hub, b *bundle) // of the tree as it was signed
}

// What somebody with the database changes before the hub signs the bundle does not lead to the root that
// was signed before, or contradicts itself.
func TestBundleOfAChangedDatabaseIsNotGood(t *testing.T) {
	t.Parallel()
	for _, c := range changes(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := grown(t)
			b := h.export(t, 0)
			c.change(h, b)
			r := inspect(b.pack(t), verify.BundleOptions{})
			if r.Verdict != c.code || !found(r, c.code, c.member, c.leaf) {
				t.Errorf("want %s of %q, leaf %d: %s", c.code, c.member, c.leaf, show(r))
			}
		})
	}
}

func changes(t *testing.T) []changed {
	t.Helper()
	return []changed{
		{"an entry", verify.Tampered, "tile/entries/001", 300, func(_ *hub, b *bundle) {
			from, _ := nth(b.members["tile/entries/001"], 300-256, 2)
			b.members["tile/entries/001"][from+20] ^= 1
		}},
		{"an entry and its hash", verify.Tampered, "tile/0/001", -1, func(_ *hub, b *bundle) {
			rehash(b, "tile/entries/001", "tile/0/001", 44)
		}},
		{"an entry of the last tile and its hash", verify.Tampered, "checkpoint", -1, func(_ *hub, b *bundle) {
			rehash(b, "tile/entries/002.p/188", "tile/0/002.p/188", 44)
		}},
		{"a hash above", verify.Tampered, "checkpoint", -1, func(_ *hub, b *bundle) { b.members["tile/1/000.p/2"][0] ^= 1 }},
		{"a tile too short", verify.Tampered, "tile/0/001", -1, func(_ *hub, b *bundle) {
			b.members["tile/0/001"] = b.members["tile/0/001"][:255*32]
		}},
		{"a tile wider than the tree", verify.Incomplete, "tile/0/002.p/188", -1, func(_ *hub, b *bundle) {
			b.members["tile/0/002.p/189"] = slices.Concat(b.members["tile/0/002.p/188"], make([]byte, 32))
			delete(b.members, "tile/0/002.p/188")
		}},
		{"a tile that the tree has not", verify.Tampered, "tile/2/000.p/1", -1, func(_ *hub, b *bundle) { b.members["tile/2/000.p/1"] = make([]byte, 32) }},
		{"a tile left out", verify.Incomplete, "tile/0/001", -1, func(_ *hub, b *bundle) { delete(b.members, "tile/0/001") }},
		{"a tile above left out", verify.Incomplete, "tile/1/000.p/2", -1, func(_ *hub, b *bundle) { delete(b.members, "tile/1/000.p/2") }},
		{"entries left out", verify.Incomplete, "tile/entries/001", -1, func(_ *hub, b *bundle) { delete(b.members, "tile/entries/001") }},
		{"sealed bytes left out", verify.Incomplete, "sealed/001", -2, func(_ *hub, b *bundle) { delete(b.members, "sealed/001") }},
		{"a checkpoint left out of the bundle", verify.Incomplete, "checkpoint", -1, func(_ *hub, b *bundle) { delete(b.members, "checkpoint") }},
		{"open left out", verify.Incomplete, "open", -1, func(_ *hub, b *bundle) { delete(b.members, "open") }},
		{"a byte behind sealed bytes", verify.Tampered, "sealed/001", -1, func(_ *hub, b *bundle) { b.members["sealed/001"] = append(b.members["sealed/001"], 0) }},
		{"sealed bytes cut off", verify.Tampered, "sealed/001", -2, func(_ *hub, b *bundle) { b.members["sealed/001"] = b.members["sealed/001"][:9] }},
		{"sealed bytes that nobody names", verify.Tampered, "sealed/000", 0, func(_ *hub, b *bundle) {
			_, to := nth(b.members["tile/entries/000"], 0, 2)
			b.members["tile/entries/000"] = append([]byte{0, 0}, b.members["tile/entries/000"][to:]...)
			_, to = nth(b.members["sealed/000"], 0, 4)
			b.members["sealed/000"] = slices.Concat([]byte{0, 0, 0, 1, 'x'}, b.members["sealed/000"][to:])
		}},
		{"an open event taken for settled", verify.Incomplete, "open", -2, func(_ *hub, b *bundle) {
			_, b.members["open"], _ = bytes.Cut(b.members["open"], []byte("\n"))
		}},
		{"an open event twice", verify.Tampered, "open", -1, func(_ *hub, b *bundle) {
			line, _, _ := bytes.Cut(b.members["open"], []byte("\n"))
			b.members["open"] = slices.Concat(line, []byte("\n"), b.members["open"])
		}},
		{"an open event with an outcome for its state", verify.Tampered, "open", -1, func(_ *hub, b *bundle) {
			b.members["open"] = []byte(strings.Replace(string(b.members["open"]), "pending", "delivered", 1))
		}},
		{"an open event that nobody accepted", verify.Tampered, "open", -1, func(h *hub, b *bundle) {
			b.members["open"] = append(b.members["open"], h.id().String()+" "+h.id().String()+" pending\n"...)
		}},
		{"an open event with a strange delivery", verify.Tampered, "open", -2, func(h *hub, b *bundle) {
			s := string(b.members["open"])
			b.members["open"] = []byte(s[:37] + h.id().String() + s[73:])
		}},
		{"a line of open without end", verify.Tampered, "open", -1, func(_ *hub, b *bundle) { b.members["open"] = bytes.TrimSuffix(b.members["open"], []byte("\n")) }},
		{"a checkpoint of another tree", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			b.members["checkpoints"] = slices.Concat(framed(forged(t, h, 400, h.points[0].at)), framed(h.points[2]))
		}},
		{"a checkpoint of another tree at the edge of a tile", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			b.members["checkpoints"] = slices.Concat(framed(forged(t, h, 512, h.points[0].at)), framed(h.points[2]))
		}},
		{"two checkpoints of one size", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			b.members["checkpoints"] = slices.Concat(framed(h.points[0]), framed(forged(t, h, 300, h.points[1].at)), framed(h.points[2]))
		}},
		{"a checkpoint that goes back in time", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			p := signPoint(t, h.signer, h.origin, 520, h.points[1].root, h.points[0].at.Add(-time.Second))
			b.members["checkpoints"] = slices.Concat(framed(h.points[0]), framed(p), framed(h.points[2]))
		}},
		{"a checkpoint that goes back in size", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			b.members["checkpoints"] = slices.Concat(framed(h.points[1]), framed(signPoint(t, h.signer, h.origin, 300, h.points[0].root, h.points[1].at)), framed(h.points[2]))
		}},
		{"the closing checkpoint not among the others", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) { b.members["checkpoints"] = framed(h.points[1]) }},
		{"checkpoints that are none", verify.Tampered, "checkpoints", -1, func(_ *hub, b *bundle) { b.members["checkpoints"] = []byte("5\nhello") }},
		{"a checkpoint signed by a strange key", verify.Tampered, "checkpoints", -1, func(h *hub, b *bundle) {
			strange, _ := newKey(t, 98, origin)
			b.members["checkpoints"] = slices.Concat(framed(signPoint(t, strange, h.origin, 300, h.points[0].root, h.points[0].at)), framed(h.points[2]))
		}},
		{"a manifest of another size", verify.Tampered, "checkpoint", -1, func(_ *hub, b *bundle) {
			b.head = strings.Replace(b.head, "size 700", "size 701", 1)
		}},
		{"a manifest of another journal", verify.Tampered, "MANIFEST", -1, func(_ *hub, b *bundle) {
			b.head = strings.Replace(b.head, "origin sinbahub/TEST", "origin sinbahub/PROD", 1)
		}},
		{"a range that ends behind the closing checkpoint", verify.Tampered, "checkpoint", -1, func(_ *hub, b *bundle) {
			b.head = strings.Replace(b.head, "to 2026", "to 2027", 1)
		}},
		{"a manifest of a version to come", verify.Unusable, "MANIFEST", -1, func(_ *hub, b *bundle) { b.head = strings.Replace(b.head, "/v2", "/v3", 1) }},
	}
}

func framed(p point) []byte { return fmt.Appendf(nil, "%d\n%s", len(p.note), p.note) }

// forged is a checkpoint signed with the right key over a root that the journal never had.
func forged(tb testing.TB, h *hub, size int64, at time.Time) point {
	tb.Helper()
	return signPoint(tb, h.signer, h.origin, size, tlog.Hash(sha256.Sum256([]byte("forged"))), at)
}

// rehash changes an entry and makes its hash agree.
func rehash(b *bundle, entries, tile string, n int) {
	from, to := nth(b.members[entries], n, 2)
	b.members[entries][from+20] ^= 1
	hash := tlog.RecordHash(b.members[entries][from:to])
	copy(b.members[tile][n*32:], hash[:])
}

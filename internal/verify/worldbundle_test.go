package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// bundle is the members of a bundle before they are packed.
type bundle struct {
	members     map[string][]byte
	head        string // of the manifest
	signer      note.Signer
	first, size int64
	// packing
	mangle func(names []string) []string
	header func(h *zip.FileHeader)
	note   func(manifest []byte) []byte
}

func path(number int64, width int) string {
	p := fmt.Sprintf("%03d", number%1000)
	for n := number / 1000; n > 0; n /= 1000 {
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	if width < 256 {
		p += fmt.Sprintf(".p/%d", width)
	}
	return p
}

// export makes the bundle of the leaves from first on (a multiple of 256), closed by the last checkpoint.
func (h *hub) export(tb testing.TB, first int64) *bundle {
	tb.Helper()
	return h.exportRows(tb, first, 0)
}

// exportRows makes the bundle for one ente, or a full one for 0.
func (h *hub) exportRows(tb testing.TB, first int64, ente int32) *bundle {
	tb.Helper()
	closing := h.points[len(h.points)-1]
	if h.closing > 0 {
		closing = h.points[h.closing-1]
	}
	leaves := h.leaves()[:closing.size]
	tree := grow(tb, leaves)
	b := &bundle{members: map[string][]byte{}, signer: h.signer, first: first, size: closing.size}
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	to := closing.at.Add(-time.Microsecond)
	var points []point
	for _, p := range h.points {
		switch {
		case p.size > closing.size:
		case p.size < first:
			from = p.at.Add(time.Microsecond)
			points = []point{p}
		default:
			points = append(points, p)
		}
	}
	closed := "yes"
	if h.early {
		closed, to = "no", closing.at.Add(time.Hour)
	}
	b.head = fmt.Sprintf("sinba-evidence/v2\norigin %s\nfrom %s\nto %s\nclosed %s\nfirst %d\nend %d\nsize %d\nretired %d\n",
		h.origin, from.Format(time.RFC3339Nano), to.Format(time.RFC3339Nano), closed, first, closing.size, closing.size,
		h.retiredMembers(tb, b, closing))
	h.consistency(tb, b, tree, points, ente)
	if h.firstFormat {
		b.head = fmt.Sprintf("sinba-evidence/v1\norigin %s\nfrom %s\nto %s\nfirst %d\nend %d\nsize %d\n",
			h.origin, from.Format(time.RFC3339Nano), closing.at.Format(time.RFC3339Nano), first, closing.size, closing.size)
		for _, name := range []string{"retired/entries", "retired/checkpoint", "retired/consistency", "consistency"} {
			delete(b.members, name)
		}
	}
	b.members["README.txt"] = []byte("read me\n")
	b.members["keys/journal.pub"] = []byte(h.vkey + "\n")
	b.members["checkpoint"] = closing.note
	for _, p := range points {
		b.members["checkpoints"] = fmt.Appendf(b.members["checkpoints"], "%d\n%s", len(p.note), p.note)
	}
	if ente != 0 {
		b.head += fmt.Sprintf("ente E-%d %d\n", ente, ente)
		h.enteMembers(tb, b, leaves, tree, ente)
	} else {
		h.tileMembers(b, leaves, tree)
	}
	b.members["open"] = h.open(first, closing.size, ente)
	return b
}

func (h *hub) open(first, size int64, ente int32) []byte {
	last := map[id]string{}
	for _, r := range h.records[first:size] {
		if r.kind == 3 && !r.gone {
			last[r.message] = r.outcome
		}
	}
	open := []byte{}
	for _, r := range h.records[first:size] {
		if r.kind != 1 || r.gone || ente != 0 && r.ente != ente {
			continue
		}
		switch last[r.message] {
		case "":
			open = fmt.Appendf(open, "%s %s pending\n", r.message, r.delivery)
		case "retrying":
			open = fmt.Appendf(open, "%s %s retrying\n", r.message, r.delivery)
		}
	}
	return open
}

func (h *hub) tileMembers(b *bundle, leaves [][]byte, tree stored) {
	for level := 0; b.size>>(8*level) > 0; level++ {
		count := b.size >> (8 * level)
		for n := int64(0); n*256 < count; n++ {
			if level == 0 && n < b.first/256 {
				continue
			}
			width := int(min(256, count-n*256))
			var tile, entries, sealed []byte
			for i := n * 256; i < n*256+int64(width); i++ {
				hash := tree[tlog.StoredHashIndex(8*level, i)]
				tile = append(tile, hash[:]...)
				if level > 0 {
					continue
				}
				data, seal := leaves[i], h.records[i].sealed
				if h.records[i].gone {
					data, seal = nil, nil
				}
				if h.records[i].unsealed {
					seal = nil
				}
				entries = append(binary.BigEndian.AppendUint16(entries, uint16(len(data))), data...)
				sealed = append(binary.BigEndian.AppendUint32(sealed, uint32(len(seal))), seal...)
			}
			b.members[fmt.Sprintf("tile/%d/%s", level, path(n, width))] = tile
			if level == 0 {
				b.members["tile/entries/"+path(n, width)] = entries
				b.members["sealed/"+path(n, width)] = sealed
			}
		}
	}
}

// provedLeaf appends a leaf with its proof.
func provedLeaf(b []byte, index int64, data []byte, proof []tlog.Hash) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(index))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	return append(append(b, byte(len(proof))), joined(proof)...)
}

func joined(proof []tlog.Hash) (b []byte) {
	for _, p := range proof {
		b = append(b, p[:]...)
	}
	return b
}

// retiredMembers writes the entries of retention and gives the size of the tree that holds them.
func (h *hub) retiredMembers(tb testing.TB, b *bundle, closing point) int64 {
	tb.Helper()
	leaves := h.leaves()
	tree := grow(tb, leaves)
	last := int64(-1)
	for i, r := range h.records[:h.points[len(h.points)-1].size] {
		if r.kind == 14 {
			last = int64(i)
		}
	}
	holding := closing
	if i := slices.IndexFunc(h.points, func(p point) bool { return p.size > last }); last >= closing.size {
		holding = h.points[i]
		b.members["retired/checkpoint"] = holding.note
		proof, err := tlog.ProveTree(holding.size, closing.size, tree)
		if err != nil {
			tb.Fatal(err)
		}
		b.members["retired/consistency"] = joined(proof)
	}
	b.members["retired/entries"] = []byte{}
	for i := b.first; i < holding.size; i++ {
		if h.records[i].kind != 14 || h.records[i].gone {
			continue
		}
		proof, err := tlog.ProveRecord(holding.size, i, tree)
		if err != nil {
			tb.Fatal(err)
		}
		b.members["retired/entries"] = provedLeaf(b.members["retired/entries"], i, leaves[i], proof)
	}
	return holding.size
}

// consistency writes the proofs of checkpoints that no tiles are there for.
func (*hub) consistency(tb testing.TB, b *bundle, tree stored, points []point, ente int32) {
	tb.Helper()
	last := int64(0)
	for _, p := range points {
		if p.size == last || p.size == 0 || p.size == b.size || ente == 0 && p.size >= b.first {
			continue
		}
		last = p.size
		proof, err := tlog.ProveTree(b.size, p.size, tree)
		if err != nil {
			tb.Fatal(err)
		}
		c := binary.BigEndian.AppendUint64(b.members["consistency"], uint64(p.size))
		b.members["consistency"] = append(append(c, byte(len(proof))), joined(proof)...)
	}
}

func (h *hub) enteMembers(tb testing.TB, b *bundle, leaves [][]byte, tree stored, ente int32) {
	tb.Helper()
	last := map[int32]int64{}
	n := 0
	for i, r := range h.records[:b.size] {
		if r.ente != ente {
			continue
		}
		last[r.participant] = int64(binary.BigEndian.Uint64(leaves[i][len(leaves[i])-8:]))
		if int64(i) < b.first {
			continue
		}
		proof, err := tlog.ProveRecord(b.size, int64(i), tree)
		if err != nil {
			tb.Fatal(err)
		}
		data, seal := leaves[i], r.sealed
		if r.gone {
			data, seal = nil, nil
		}
		name := fmt.Sprintf("ente/leaves/%06d", n/4096)
		b.members[name] = provedLeaf(b.members[name], int64(i), data, proof)
		name = fmt.Sprintf("ente/sealed/%06d", n/4096)
		b.members[name] = append(binary.BigEndian.AppendUint32(b.members[name], uint32(len(seal))), seal...)
		n++
	}
	var text []byte
	for _, p := range slices.Sorted(maps.Keys(last)) {
		text = fmt.Appendf(text, "%d %d %d\n", p, ente, last[p])
	}
	b.members["ente/sequences"] = text
}

// manifest signs what is there now.
func (b *bundle) manifest(tb testing.TB) []byte {
	tb.Helper()
	text := []byte(b.head)
	for _, name := range slices.Sorted(maps.Keys(b.members)) {
		text = fmt.Appendf(text, "%x %d %s\n", sha256.Sum256(b.members[name]), len(b.members[name]), name)
	}
	return sign(tb, b.signer, string(text))
}

// seal freezes the manifest: what changes behind it was not signed.
func (b *bundle) seal(tb testing.TB) *bundle {
	tb.Helper()
	signed := b.manifest(tb)
	b.note = func([]byte) []byte { return signed }
	return b
}

// pack writes the container.
func (b *bundle) pack(tb testing.TB) []byte {
	tb.Helper()
	names := slices.Sorted(maps.Keys(b.members))
	manifest := b.manifest(tb)
	if b.note != nil {
		manifest = b.note(manifest)
	}
	if names = append(names, "MANIFEST"); b.mangle != nil {
		names = b.mangle(names)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		header := &zip.FileHeader{Name: name, Method: zip.Store, ModifiedDate: 1<<5 | 1} //nolint:staticcheck // Modified brings an extra field
		if b.header != nil {
			b.header(header)
		}
		content := b.members[name]
		if name == "MANIFEST" {
			content = manifest
		}
		w, err := z.CreateHeader(header)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

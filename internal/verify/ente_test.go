package verify_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// cut takes records of a bundle for one ente apart.
func cut(b []byte) (records [][]byte) {
	for len(b) > 0 {
		size := int(binary.BigEndian.Uint16(b[8:]))
		n := 10 + size + 1 + 32*int(b[10+size])
		records = append(records, b[:n])
		b = b[n:]
	}
	return records
}

func TestBundleForOneEnte(t *testing.T) {
	t.Parallel()
	const leaves, sealed = "ente/leaves/000000", "ente/sealed/000000"
	without := func(b *bundle, i int) { // leaves the i-th record out
		b.members[leaves] = bytes.Join(slices.Delete(cut(b.members[leaves]), i, i+1), nil)
		from, to := nth(b.members[sealed], i, 4)
		b.members[sealed] = slices.Concat(b.members[sealed][:from-4], b.members[sealed][to:])
	}
	for _, c := range []struct {
		name   string
		code   verify.Code
		member string
		change func(h *hub, b *bundle)
	}{
		{"sound", verify.Good, "", func(*hub, *bundle) {}},
		{"an entry changed", verify.Tampered, leaves, func(_ *hub, b *bundle) { cut(b.members[leaves])[3][40] ^= 1 }},
		{"a proof changed", verify.Tampered, leaves, func(_ *hub, b *bundle) { r := cut(b.members[leaves])[3]; r[len(r)-1] ^= 1 }},
		{"an index changed", verify.Tampered, leaves, func(_ *hub, b *bundle) { cut(b.members[leaves])[3][7] ^= 1 }},
		{"two records swapped", verify.Tampered, leaves, func(_ *hub, b *bundle) {
			r, s := cut(b.members[leaves]), b.members[sealed]
			participant := func(i int) byte { return r[i][10+int(binary.BigEndian.Uint16(r[i][8:]))-13] }
			i := 3
			for participant(i) == participant(i+1) { // of one participant their numbers would show it, too
				i++
			}
			r[i], r[i+1] = r[i+1], r[i]
			b.members[leaves] = bytes.Join(r, nil)
			from, middle := nth(s, i, 4)
			_, to := nth(s, i+1, 4)
			b.members[sealed] = slices.Concat(s[:from-4], s[middle:to], s[from-4:middle], s[to:])
		}},
		{"records behind the end of the range", verify.Tampered, leaves, func(_ *hub, b *bundle) {
			b.head = strings.Replace(b.head, "end 700", "end 600", 1)
		}},
		{"a record in the middle left out", verify.Incomplete, leaves, func(_ *hub, b *bundle) { without(b, 20) }},
		{"the first record left out", verify.Incomplete, "", func(_ *hub, b *bundle) { without(b, 0) }},
		{"the last records left out", verify.Incomplete, "ente/sequences", func(_ *hub, b *bundle) {
			for range 4 {
				without(b, len(cut(b.members[leaves]))-1)
			}
		}},
		{"all records left out", verify.Incomplete, "", func(_ *hub, b *bundle) {
			delete(b.members, leaves)
			delete(b.members, sealed)
			b.members["open"] = nil
		}},
		{"records cut off", verify.Tampered, leaves, func(_ *hub, b *bundle) { b.members[leaves] = b.members[leaves][:100] }},
		{"an empty member of records", verify.Tampered, "ente/leaves/000001", func(_ *hub, b *bundle) { b.members["ente/leaves/000001"] = nil }},
		{"a member behind a gap", verify.Tampered, "ente/leaves/000002", func(_ *hub, b *bundle) { b.members["ente/leaves/000002"] = b.members[leaves] }},
		{"sealed bytes changed", verify.Tampered, sealed, func(_ *hub, b *bundle) {
			for i := 0; ; i++ {
				if from, to := nth(b.members[sealed], i, 4); to > from {
					b.members[sealed][from] ^= 1
					return
				}
			}
		}},
		{"no sealed bytes", verify.Incomplete, sealed, func(_ *hub, b *bundle) { delete(b.members, sealed) }},
		{"no sequences", verify.Incomplete, "ente/sequences", func(_ *hub, b *bundle) { delete(b.members, "ente/sequences") }},
		{"sequences of another ente", verify.Tampered, "ente/sequences", func(_ *hub, b *bundle) { b.members["ente/sequences"] = []byte("1 20 5\n") }},
		{"a sequence that ends before its entries", verify.Tampered, "ente/sequences", func(_ *hub, b *bundle) { b.members["ente/sequences"] = []byte("1 10 1\n") }},
		{"sequences that are none", verify.Tampered, "ente/sequences", func(_ *hub, b *bundle) { b.members["ente/sequences"] = []byte("hello") }},
		{"an entry of another ente", verify.Tampered, leaves, func(_ *hub, b *bundle) { b.head = strings.Replace(b.head, "ente E-10 10", "ente E-10 20", 1) }},
		{"a tree too large for any journal", verify.Tampered, "checkpoint", func(h *hub, b *bundle) {
			b.members["checkpoint"] = signPoint(t, h.signer, origin, 1<<63-1, h.points[2].root, h.points[2].at).note
			b.head = strings.Replace(b.head, "size 700", "size 9223372036854775807", 1)
		}},
		{"two checkpoints of one size, which no tile can tell apart", verify.Tampered, "checkpoints", func(h *hub, b *bundle) {
			b.members["checkpoints"] = slices.Concat(framed(h.points[0]), framed(forged(t, h, 300, h.points[1].at)), framed(h.points[2]))
		}},
		{"tiles in it", verify.Tampered, "tile/0/000", func(_ *hub, b *bundle) { b.members["tile/0/000"] = make([]byte, 8192) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := grown(t)
			b := h.exportRows(t, 0, 10)
			c.change(h, b)
			r := inspect(b.pack(t), verify.BundleOptions{Checkpoints: []verify.Document{document("given", h.points[2].note)}})
			if r.Verdict != c.code || c.code != verify.Good && !found(r, c.code, c.member, -2) {
				t.Errorf("want %s of %q: %s", c.code, c.member, show(r))
			}
			if c.code == verify.Good && (r.Bundle.Entries == 0 || r.Bundle.Sealed == 0 || r.Bundle.Settled == 0 || r.Bundle.Ente != "E-10" || r.Bundle.Outside[0].Result != "agrees") {
				t.Errorf("nothing was verified: %s", show(r))
			}
		})
	}
}

// No tile ties a checkpoint to the tree of an ente's bundle, but the proofs that it brings do.
func TestBundleForOneEnteAgainstAForkFromOutside(t *testing.T) {
	t.Parallel()
	h := grown(t)
	file := h.exportRows(t, 0, 10).pack(t)
	given := []verify.Document{document("true", h.points[0].note), document("false", forged(t, h, 300, h.points[0].at).note)}
	if r := inspect(file, verify.BundleOptions{Checkpoints: given[:1]}); r.Verdict != verify.Good || r.Bundle.Outside[0].Result != "agrees" || r.Bundle.Proven != 3 {
		t.Error(show(r))
	}
	if r := inspect(file, verify.BundleOptions{Checkpoints: given[1:]}); r.Verdict != verify.Tampered || !found(r, verify.Tampered, "false", -1) {
		t.Error(show(r))
	}
}

// Records of an ente stand in several members, and bodies of some may be gone.
func TestBundleForOneEnteOfSeveralMembers(t *testing.T) {
	t.Parallel()
	h := newHub(t, 9)
	var gone []string
	for i := range 4100 {
		if h.add(&record{kind: 2, participant: 1, ente: 10, codes: []string{"SINBA_303"}, gone: i%50 == 0}); i%50 == 0 {
			gone = append(gone, fmt.Sprintf("leaf:%d", i))
		}
	}
	h.checkpoint(t)
	h.now = h.now.AddDate(0, 0, 8)
	h.add(&record{kind: 14, codes: append([]string{fmt.Sprintf("refusals:%d", len(gone))}, gone...)})
	h.checkpoint(t)
	b := h.exportRows(t, 512, 10)
	r := inspect(b.pack(t), verify.BundleOptions{})
	if _, two := b.members["ente/leaves/000000"]; !two || r.Verdict != verify.Good || r.Bundle.Entries < 3000 || r.Bundle.Gone < 70 {
		t.Error(show(r))
	}
	b = h.exportRows(t, 0, 10)
	if r = inspect(b.pack(t), verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Entries+r.Bundle.Gone != 4100 || b.members["ente/leaves/000001"] == nil {
		t.Error(show(r))
	}
	b.members["ente/leaves/000000"] = bytes.Join(cut(b.members["ente/leaves/000000"])[:4095], nil)
	if r = inspect(b.pack(t), verify.BundleOptions{}); r.Verdict != verify.Tampered {
		t.Errorf("a member that is not full and not the last: %s", show(r))
	}
}

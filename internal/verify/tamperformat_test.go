package verify_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// knowing is a hub whose bundle from leaf 512 on has all that the second format brings: a checkpoint from
// before its first leaf, and entries of retention in its range and behind it.
func knowing(tb testing.TB) *hub {
	tb.Helper()
	h := grown(tb)
	h.add(&record{kind: 14, codes: []string{"cases:3", "events:9"}, reason: "policy: prova"})
	h.checkpoint(tb)
	h.closing = len(h.points)
	h.retire("journal", 3)
	h.live(len(h.records) + 20)
	h.checkpoint(tb)
	return h
}

// formatChanges are changes of what the second format brings.
func formatChanges() []changed {
	flip := func(member string, at int) func(*hub, *bundle) {
		return func(_ *hub, b *bundle) { b.members[member][at] ^= 1 }
	}
	drop := func(member string) func(*hub, *bundle) {
		return func(_ *hub, b *bundle) { delete(b.members, member) }
	}
	head := func(from, to string) func(*hub, *bundle) {
		return func(_ *hub, b *bundle) { b.head = strings.Replace(b.head, from, to, 1) }
	}
	return []changed{
		{"nothing", verify.Good, "", -1, func(*hub, *bundle) {}},
		{"an entry of retention", verify.Tampered, "retired/entries", 700, flip("retired/entries", 40)},
		{"the place of an entry of retention", verify.Tampered, "retired/entries", 701, flip("retired/entries", 7)},
		{"a proof of an entry of retention", verify.Tampered, "retired/entries", -2, func(_ *hub, b *bundle) {
			e := b.members["retired/entries"]
			e[len(e)-1] ^= 1
		}},
		{"entries of retention cut off", verify.Tampered, "retired/entries", -1, func(_ *hub, b *bundle) {
			b.members["retired/entries"] = b.members["retired/entries"][:50]
		}},
		{"entries of retention twice", verify.Tampered, "retired/entries", -1, func(_ *hub, b *bundle) {
			b.members["retired/entries"] = bytes.Repeat(b.members["retired/entries"], 2)
		}},
		{"another entry as one of retention", verify.Tampered, "retired/entries", 512, func(h *hub, b *bundle) {
			tree := grow(t0{}, h.leaves())
			proof, _ := tlog.ProveRecord(int64(len(h.records)), 512, tree)
			b.members["retired/entries"] = append(provedLeaf(nil, 512, h.leaves()[512], proof), b.members["retired/entries"]...)
		}},
		{"no entries of retention", verify.Incomplete, "retired/entries", -1, drop("retired/entries")},
		{"no later checkpoint", verify.Incomplete, "retired/checkpoint", -1, drop("retired/checkpoint")},
		{"no proof of the later checkpoint", verify.Incomplete, "retired/consistency", -1, drop("retired/consistency")},
		{"a forged later checkpoint", verify.Tampered, "retired/checkpoint", -1, flip("retired/checkpoint", 20)},
		{"another proof of the later checkpoint", verify.Tampered, "retired/consistency", -1, flip("retired/consistency", 3)},
		{"a later checkpoint of a fork", verify.Tampered, "retired/consistency", -1, func(h *hub, b *bundle) {
			b.members["retired/checkpoint"] = signPoint(t0{}, h.signer, origin, int64(len(h.records)), tlog.Hash{1}, h.now).note
		}},
		{"a later checkpoint of an earlier time", verify.Tampered, "retired/checkpoint", -1, func(h *hub, b *bundle) {
			p := h.points[len(h.points)-1]
			b.members["retired/checkpoint"] = signPoint(t0{}, h.signer, origin, p.size, p.root, h.points[0].at).note
		}},
		{"retirement read less far than the bundle goes", verify.Tampered, "retired/checkpoint", -1, head("retired 722", "retired 600")},
		{"retirement read no further than the bundle", verify.Tampered, "retired/checkpoint", -1, head("retired 722", "retired 701")},
		{"a proof of a checkpoint from before", verify.Tampered, "checkpoints", -1, flip("consistency", 20)},
		{"proofs of checkpoints cut off", verify.Tampered, "consistency", -1, func(_ *hub, b *bundle) {
			b.members["consistency"] = b.members["consistency"][:30]
		}},
		{"a range that is said to be open", verify.Tampered, "checkpoint", -1, head("closed yes", "closed no")},
		{"a range that is neither closed nor open", verify.Unusable, "MANIFEST", -1, head("closed yes", "closed maybe")},
		{"a database that lacked something, and not what", verify.Incomplete, "known", -1, head("\nretired 722\n", "\nretired 722\nlacking yes\n")},
		{"a database that lacked something", verify.Incomplete, "known", -1, func(h *hub, b *bundle) {
			head("\nretired 722\n", "\nretired 722\nlacking yes\n")(h, b)
			b.members["known"] = signPoint(t0{}, h.signer, origin, 900, tlog.Hash{1}, h.now.Add(time.Hour)).note
		}},
		{"a database that lacked something that another key signed", verify.Tampered, "known", -1, func(h *hub, b *bundle) {
			head("\nretired 722\n", "\nretired 722\nlacking yes\n")(h, b)
			strange, _ := newKey(t0{}, 55, origin)
			b.members["known"] = signPoint(t0{}, strange, origin, 900, tlog.Hash{1}, h.now).note
		}},
		{"a lost checkpoint of a database that lacked nothing", verify.Tampered, "known", -1, func(h *hub, b *bundle) {
			b.members["known"] = h.points[0].note
		}},
	}
}

// t0 is for what cannot fail.
type t0 struct{ testing.TB }

// Helper does nothing.
func (t0) Helper() {}

// What the second format brings is held against signatures and the tree like all else.
func TestBundleOfTheSecondFormatThatWasChanged(t *testing.T) {
	t.Parallel()
	for _, c := range formatChanges() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := knowing(t)
			b := h.export(t, 512)
			c.change(h, b)
			r := inspect(b.pack(t), verify.BundleOptions{})
			if r.Verdict != c.code || c.code != verify.Good && !found(r, c.code, c.member, c.leaf) {
				t.Errorf("want %s of %q, leaf %d: %s", c.code, c.member, c.leaf, show(r))
			}
		})
	}
}

// A bundle of the first format is read as before, but what is absent of it is no longer good.
func TestBundleOfTheFirstFormat(t *testing.T) {
	t.Parallel()
	h := grown(t)
	h.firstFormat = true
	if r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Format != 1 || r.Bundle.Closed {
		t.Error(show(r))
	}
	h.records[5].gone = true
	r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{})
	if r.Verdict != verify.Incomplete || len(r.Bundle.Absent) != 1 || !strings.Contains(strings.Join(r.Notes, " "), "first format") {
		t.Error(show(r))
	}
}

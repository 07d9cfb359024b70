package verify_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	hubwords "github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/verify"
)

// drawHub is a journal of any size, with checkpoints anywhere and bodies gone anywhere.
func drawHub(tb testing.TB, t *rapid.T) *hub {
	tb.Helper()
	h := newHub(tb, rapid.Uint64Range(0, 200).Draw(t, "seed"))
	for range rapid.IntRange(1, 4).Draw(t, "checkpoints") {
		h.live(len(h.records) + rapid.IntRange(1, 300).Draw(t, "entries"))
		h.checkpoint(tb)
	}
	if rapid.Bool().Draw(t, "retention") {
		upTo := rapid.IntRange(0, len(h.records)-1).Draw(t, "gone up to")
		for _, r := range h.records[:upTo] {
			r.gone = true
		}
		for _, r := range h.records {
			r.gone = r.gone || r.kind == 2
		}
		h.closing = len(h.points)
		h.retire("journal", int64(len(h.records)))
		h.checkpoint(tb)
	}
	return h
}

// drawBundle is a full bundle or one for an ente.
func drawBundle(tb testing.TB, t *rapid.T, h *hub) *bundle {
	tb.Helper()
	first := 256 * rapid.Int64Range(0, int64(len(h.records)-1)/256).Draw(t, "first")
	return h.exportRows(tb, first, rapid.SampledFrom([]int32{0, 0, 10}).Draw(t, "ente"))
}

func TestBundleOfAnyJournalIsGood(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHub(t, rt)
		b := drawBundle(t, rt, h)
		given := h.points[rapid.IntRange(0, max(h.closing, 1)-1).Draw(rt, "given")]
		r := inspect(b.pack(t), verify.BundleOptions{Checkpoints: []verify.Document{document("given", given.note)}})
		want := verify.Good
		if r.Bundle.Entries == 0 { // all that is left went by retention
			want = verify.Incomplete
		}
		if r.Verdict != want || r.Bundle.Outside[0].Result != "agrees" && r.Bundle.Outside[0].Result != "unprovable" {
			rt.Fatal(show(r))
		}
	})
}

// Whatever is changed in whichever member, whoever then packs it anew without the key has no good bundle.
func TestBundleWithAnyMemberChangedIsTampered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBundle(t, rt, drawHub(t, rt)).seal(t)
		var names []string
		for name, content := range b.members {
			if len(content) > 0 {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		name := rapid.SampledFrom(names).Draw(rt, "member")
		content := bytes.Clone(b.members[name])
		i := rapid.IntRange(0, len(content)-1).Draw(rt, "byte")
		switch rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			content[i] ^= byte(rapid.IntRange(1, 255).Draw(rt, "change"))
		case 1:
			content = content[:i]
		case 2:
			content = append(content[:i:i], append([]byte{rapid.Byte().Draw(rt, "more")}, content[i:]...)...)
		}
		b.members[name] = content
		r := inspect(b.pack(t), verify.BundleOptions{})
		if r.Verdict != verify.Tampered && (r.Verdict != verify.Unusable || name != "keys/journal.pub") {
			rt.Fatalf("%s: %s", name, show(r))
		}
		if r.Verdict == verify.Tampered && !found(r, verify.Tampered, name, -2) {
			rt.Fatalf("%s is not named: %s", name, show(r))
		}
	})
}

// Whoever holds the database and lets the hub sign the bundle still cannot change an entry or its number:
// its leaf is named.
func TestBundleWithAnyEntryChangedNamesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHub(t, rapid.Uint64Range(0, 200).Draw(rt, "seed")).live(rapid.IntRange(1, 600).Draw(rt, "entries"))
		h.checkpoint(t)
		b := h.export(t, 0)
		leaf := rapid.IntRange(0, len(h.records)-1).Draw(rt, "leaf")
		names := slices.Sorted(func(yield func(string) bool) {
			for name := range b.members {
				if strings.HasPrefix(name, "tile/entries/") && !yield(name) {
					return
				}
			}
		})
		content := b.members[names[leaf/256]]
		from, to := nth(content, leaf%256, 2)
		content[rapid.IntRange(from, to-1).Draw(rt, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "change"))
		r := inspect(b.pack(t), verify.BundleOptions{})
		if r.Verdict != verify.Tampered || !found(r, verify.Tampered, names[leaf/256], int64(leaf)) {
			rt.Fatalf("leaf %d: %s", leaf, show(r))
		}
	})
}

// No bytes make it fail in another way than with a verdict.
func FuzzBundle(f *testing.F) {
	_, file := small(f)
	f.Add(file)
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r := inspect(b, verify.BundleOptions{}); r.Verdict == verify.Good && !bytes.Equal(b, file) {
			t.Fatal("another bundle is good")
		}
	})
}

// FuzzReceipts does the same with answers.
func FuzzReceipts(f *testing.F) {
	h := newHub(f, 21).live(40)
	h.checkpoint(f)
	i := slices.IndexFunc(h.records, func(r *record) bool { return r.kind == 1 })
	key := document("key", []byte(h.vkey))
	f.Add([]byte(h.stateOf(f, i)), []byte(h.receiptOf(i)))
	f.Fuzz(func(_ *testing.T, state, receipt []byte) {
		verify.Receipts(key, []verify.Document{document("receipt", receipt)}, []verify.Document{document("state", state)})
	})
}

// The hub's own writer of entries and this reader, made apart from each other, mean the same bytes.
func TestEntryAsTheHubWritesIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := drawEntry(rt).Bytes()
		if !verify.CanonicalEntry(b) {
			rt.Fatalf("refused %x", b)
		}
		if rapid.Bool().Draw(rt, "whole") {
			return
		}
		b[rapid.IntRange(0, len(b)-1).Draw(rt, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "change"))
		e, err := journal.Parse(b)
		if canonical := err == nil && bytes.Equal(e.Bytes(), b); canonical != verify.CanonicalEntry(b) {
			rt.Fatalf("canonical for the hub: %t; %x", canonical, b)
		}
	})
}

func drawEntry(t *rapid.T) journal.Entry {
	some := func(label string) bool { return rapid.Bool().Draw(t, label) }
	u := func(label string) (id uuid.UUID) {
		if some(label + "?") {
			copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
		}
		return id
	}
	digest := func(label string) (d [32]byte) {
		if some(label + "?") {
			copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
		}
		return d
	}
	text := func(label string) string { return rapid.StringN(0, 5, 9).Draw(t, label) }
	e := journal.Entry{
		ID: u("id"), At: time.UnixMicro(rapid.Int64().Draw(t, "at")).UTC(), Kind: journal.Kind(rapid.Byte().Draw(t, "kind")),
		Participant: rapid.Int32().Draw(t, "participant"), Ente: rapid.Int32().Draw(t, "ente"), Message: u("message"),
		Outcome: text("outcome"), Codes: []hubwords.Code{"SINBA_303", hubwords.Code(text("code"))}, Sealed: digest("sealed"),
		Commitment: digest("commitment"), Severities: digest("severities"), Actor: text("actor"), Other: u("other"),
	}
	if some("evidence") {
		e.Evidence = journal.Evidence{
			Outbound: digest("outbound"), State: digest("state"), Schema: text("schema"), Rules: rapid.Int32().Draw(t, "rules"),
			Reference: text("reference"), Hub: text("hub"), NationEpoch: rapid.Int32().Draw(t, "epoch"),
			Origin: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "origin"),
		}
		if some("started") {
			e.StartedAt = time.UnixMicro(rapid.Int64().Draw(t, "started")).UTC()
		}
	}
	return e
}

// The hub writes no time at all as 0. Its first year's begin, which Go takes for no time, is no other form of it.
func TestEntryWithTheBeginOfYearOneIsNotCanonical(t *testing.T) {
	t.Parallel()
	b := journal.Entry{Evidence: journal.Evidence{Hub: "x", StartedAt: time.UnixMicro(1)}}.Bytes()
	at := bytes.LastIndex(b, binary.BigEndian.AppendUint64([]byte{0, 0, 0, 8}, 1))
	if !verify.CanonicalEntry(b) || at < 0 {
		t.Fatalf("%x", b)
	}
	begin := time.Time{}.UnixMicro()
	binary.BigEndian.PutUint64(b[at+4:], uint64(begin))
	if verify.CanonicalEntry(b) {
		t.Error("it is taken")
	}
}

package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// unfit is a journal whose entries are authentic, and may not fit each other.
type unfit struct {
	name   string
	code   verify.Code
	member string
	leaf   int64
	// make fills the journal, and gives what changes the bundle, nil for nothing.
	make func(h *hub) func(b *bundle)
}

// unfitNumbers are about the numbers and the form of entries.
func unfitNumbers() []unfit {
	return []unfit{
		{"a number left out", verify.Incomplete, "tile/entries", 1, func(h *hub) func(*bundle) {
			for range 4 {
				h.accept(1, 10)
			}
			h.records[2].seq = 5
			return nil
		}},
		{"numbers that do not begin with 1", verify.Incomplete, "", 0, func(h *hub) func(*bundle) {
			h.accept(1, 10).seq = 2
			return nil
		}},
		{"a number given twice", verify.Tampered, "tile/entries", 1, func(h *hub) func(*bundle) {
			h.accept(1, 10)
			h.accept(1, 10)
			h.accept(1, 10).seq = 2
			return nil
		}},
		{"numbers going back", verify.Tampered, "tile/entries", 0, func(h *hub) func(*bundle) {
			h.accept(1, 10).seq = 7
			h.accept(1, 10).seq = 3
			return nil
		}},
		{"a number of 0", verify.Tampered, "tile/entries", 0, func(h *hub) func(*bundle) {
			h.accept(1, 10).suffix = []byte{0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0}
			return nil
		}},
		{"another participant behind the entry", verify.Tampered, "tile/entries", 0, func(h *hub) func(*bundle) {
			h.accept(1, 10).suffix = []byte{0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1}
			return nil
		}},
		{"another ente behind the entry", verify.Tampered, "tile/entries", 0, func(h *hub) func(*bundle) {
			h.accept(1, 10).suffix = []byte{0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1}
			return nil
		}},
		{"a layout that a newer hub wrote", verify.Incomplete, "tile/entries", 1, func(h *hub) func(*bundle) {
			h.accept(1, 10)
			h.accept(1, 10).raw = []byte{6, 1, 2, 3}
			return nil
		}},
		{"bytes that are no entry", verify.Tampered, "tile/entries", 1, func(h *hub) func(*bundle) {
			h.accept(1, 10)
			h.accept(1, 10).raw = []byte("\x01hello")
			return nil
		}},
		{"an entry in a higher version than it needs", verify.Tampered, "tile/entries", 0, func(h *hub) func(*bundle) {
			r := h.add(&record{kind: 7, participant: 1, ente: 10})
			b := r.bytes()
			b[0] = 2
			r.raw = field(b, make([]byte, 32))
			return nil
		}},
	}
}

// unfitEvents are about events and their outcomes.
func unfitEvents() []unfit {
	return []unfit{
		{"an event with an outcome that stands as open", verify.Tampered, "open", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.attempt(a, "retrying")
			h.attempt(a, "delivered")
			return func(b *bundle) { b.members["open"] = fmt.Appendf(nil, "%s %s retrying\n", a.message, a.delivery) }
		}},
		{"an event that was tried, and stands as parked", verify.Tampered, "open", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			return func(b *bundle) { b.members["open"] = fmt.Appendf(nil, "%s %s parked\n", a.message, a.delivery) }
		}},
		{"an event without outcome or line", verify.Incomplete, "open", 0, func(h *hub) func(*bundle) {
			h.attempt(h.accept(1, 10), "uncertain")
			return nil
		}},
		{"an event with the outcome of a delivery that is not its own", verify.Incomplete, "open", 0, func(h *hub) func(*bundle) {
			h.attempt(h.accept(1, 10), "delivered").delivery = h.id()
			return nil
		}},
		{"an event tried again after its outcome", verify.Incomplete, "open", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.attempt(a, "dead")
			h.attempt(a, "uncertain")
			return nil
		}},
		{"the same with a line", verify.Good, "", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.attempt(a, "dead")
			h.add(&record{kind: 9, message: a.message, delivery: a.delivery, outcome: "retry", actor: "op", reason: "r"})
			h.attempt(a, "retrying")
			return nil
		}},
		{"an event renewed under another delivery", verify.Good, "", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.attempt(a, "refused")
			renewed := h.add(&record{kind: 9, message: a.message, delivery: h.id(), outcome: "renew", actor: "op", reason: "r"})
			h.attempt(a, "delivered").delivery = renewed.delivery
			return nil
		}},
		{"an event that an operator parked before it was tried", verify.Good, "", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.add(&record{kind: 9, message: a.message, delivery: a.delivery, outcome: "park", actor: "op", reason: "r"})
			return func(b *bundle) { b.members["open"] = fmt.Appendf(nil, "%s %s parked\n", a.message, a.delivery) }
		}},
		{"an attempt whose leaf lies before its event", verify.Good, "", 0, func(h *hub) func(*bundle) {
			a := &record{kind: 1, participant: 1, ente: 10, message: h.id(), delivery: h.id(), commitment: [32]byte{1}}
			h.attempt(a, "delivered")
			h.add(a)
			return nil
		}},
		{"an event accepted behind the end of the range", verify.Good, "", 0, func(h *hub) func(*bundle) {
			h.attempt(h.accept(1, 10), "delivered")
			h.accept(1, 10)
			return func(b *bundle) { b.head = strings.Replace(b.head, "end 3", "end 2", 1); b.members["open"] = nil }
		}},
		{"an outcome behind the end of the range, and a line", verify.Good, "", 0, func(h *hub) func(*bundle) {
			a := h.accept(1, 10)
			h.attempt(a, "delivered")
			return func(b *bundle) {
				b.head = strings.Replace(b.head, "end 2", "end 1", 1)
				b.members["open"] = fmt.Appendf(nil, "%s %s pending\n", a.message, a.delivery)
			}
		}},
	}
}

// unfitOthers are about what stands alone.
func unfitOthers() []unfit {
	return []unfit{
		{"an attempt for an event from before", verify.Good, "", 0, func(h *hub) func(*bundle) {
			h.attempt(&record{participant: 1, ente: 10, message: h.id(), delivery: h.id()}, "delivered")
			return nil
		}},
		{"entries of kinds to come", verify.Good, "", 0, func(h *hub) func(*bundle) {
			h.add(&record{kind: 77, participant: 1, ente: 10, other: h.id(), severities: [32]byte{2}})
			h.add(&record{kind: 2, participant: 1, ente: 10, severities: [32]byte{2}})
			return nil
		}},
		{"no entry", verify.Incomplete, "", -1, func(_ *hub) func(*bundle) { return nil }},
		{"no entry whose body is left", verify.Incomplete, "", -1, func(h *hub) func(*bundle) {
			for range 3 {
				h.accept(1, 10).gone = true
			}
			return nil
		}},
	}
}

// What entries say of each other is held together, though each is authentic.
func TestBundleOfAuthenticEntriesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(unfitNumbers(), unfitEvents(), unfitOthers()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, 5)
			change := c.make(h)
			h.checkpoint(t)
			b := h.export(t, 0)
			b.members["open"] = slices.DeleteFunc(b.members["open"], func(byte) bool { return c.code == verify.Incomplete && c.member == "open" })
			if change != nil {
				change(b)
			}
			r := inspect(b.pack(t), verify.BundleOptions{})
			if r.Verdict != c.code || c.code != verify.Good && !found(r, c.code, c.member, c.leaf) {
				t.Errorf("want %s of %q, leaf %d: %s", c.code, c.member, c.leaf, show(r))
			}
		})
	}
}

// A body that went by retention leaves its hash, and the numbers around it show that it was there.
func TestBundleWhoseBodiesWentByRetention(t *testing.T) {
	t.Parallel()
	h := newHub(t, 6).live(600)
	gone := 0
	for i, r := range h.records {
		if i < 200 || i > 300 && i < 310 || r.kind == 2 {
			r.gone = true
			gone++
		} else if i%3 == 0 && r.sealed != nil {
			r.unsealed = true
		}
	}
	h.checkpoint(t)
	h.closing = len(h.points)
	h.retire("journal", int64(gone))
	h.retire("messages", 500)
	h.retire("attempts", 500)
	h.checkpoint(t)
	r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{})
	if r.Verdict != verify.Good || r.Bundle.Gone != int64(gone) || r.Bundle.Retired != int64(gone) || r.Bundle.SealedGone == 0 || r.Bundle.SealedRetired != r.Bundle.SealedGone {
		t.Errorf("%d bodies gone: %s", gone, show(r))
	}
	// But no more numbers may be missing than bodies are.
	p := slices.IndexFunc(h.records[400:], func(r *record) bool { return r.participant == 1 && r.ente == 10 && r.kind != 2 }) + 400
	for _, r := range h.records[p:] {
		if r.participant == 1 && r.ente == 10 {
			r.seq = 1000
			break
		}
	}
	h.points, h.closing = nil, 0
	h.checkpoint(t)
	if r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{}); r.Verdict != verify.Incomplete {
		t.Errorf("900 numbers missing: %s", show(r))
	}
}

package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// A vendor's whole stored answer is as good as the note in it, and says besides what its event was.
func TestBundleAgainstStoredAnswers(t *testing.T) {
	t.Parallel()
	soap := func(body string) string { return fmt.Sprintf(envelope, body) }
	for _, c := range []struct {
		name   string
		code   verify.Code
		result string // of the answer
		point  string // of its checkpoint, empty for none
		file   func(h *hub, i int) string
		change func(h *hub, i int) // behind the answer
	}{
		{"a state in its envelope", verify.Good, "agrees", "agrees", func(h *hub, i int) string { return soap(h.stateOf(t, i)) }, nil},
		{"a bare state behind a mark of its encoding", verify.Good, "agrees", "agrees", func(h *hub, i int) string { return "\ufeff" + h.stateOf(t, i) }, nil},
		{"a receipt in its envelope", verify.Good, "agrees", "", func(h *hub, i int) string { return soap(h.receiptOf(i)) }, nil},
		{"a state from another branch", verify.Tampered, "contradicts", "contradicts", func(h *hub, i int) string { return soap(h.stateOf(t, i)) }, func(h *hub, i int) {
			h.records[i].commitment[0] ^= 1
			h.records[i-1], h.records[i] = h.records[i], h.records[i-1]
			h.points = h.points[:0]
			h.checkpoint(t)
		}},
		{"a receipt of another content", verify.Tampered, "contradicts", "", func(h *hub, i int) string { return h.receiptOf(i) }, func(h *hub, i int) {
			h.records[i].commitment[0] ^= 1
			h.points = h.points[:0]
			h.checkpoint(t)
		}},
		{"a receipt whose entry was never written", verify.Incomplete, "missing", "", func(h *hub, i int) string { return h.receiptOf(i) }, func(h *hub, i int) {
			h.records[i].message = h.id()
			h.points = h.points[:0]
			h.checkpoint(t)
		}},
		{"a receipt whose entry was retired", verify.Good, "gone", "", func(h *hub, i int) string { return h.receiptOf(i) }, func(h *hub, i int) {
			h.records[i].gone = true
			h.closing = len(h.points)
			h.retire("journal", 1)
			h.checkpoint(t)
		}},
		{"a receipt from before the range", verify.Good, "elsewhere", "", func(h *hub, i int) string {
			r := *h.records[i]
			r.message, r.at = h.id(), r.at.AddDate(0, -1, 0)
			return (&hub{records: []*record{&r}}).receiptOf(0)
		}, nil},
		{"a state whose note another key signed", verify.Tampered, "agrees", "", func(h *hub, i int) string {
			strange, _ := newKey(t, 93, origin)
			other := *h
			p := h.points[2]
			other.points = []point{signPoint(t, strange, origin, p.size, p.root, p.at)}
			return other.stateOf(t, i)
		}, nil},
		{"a document that is no answer", verify.Unusable, "", "", func(*hub, int) string { return soap("<x/>") }, nil},
		{"a document that is broken", verify.Unusable, "", "", func(h *hub, i int) string { return h.stateOf(t, i)[:300] }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := grown(t)
			i := leafOf(t, h, 300, func(r *record) bool { return r.kind == 1 && r.at.After(h.points[0].at.Add(2*time.Minute)) })
			file := c.file(h, i)
			if c.change != nil {
				c.change(h, i)
			}
			r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{Checkpoints: []verify.Document{document("stato.xml", []byte(file))}})
			if r.Verdict != c.code || strings.Contains(show(r), "another journal") {
				t.Fatalf("want %s: %s", c.code, show(r))
			}
			if kept := r.Bundle.Kept; c.result == "" && len(kept) > 0 || c.result != "" && (len(kept) != 1 || kept[0].Result != c.result) {
				t.Errorf("want %q: %+v", c.result, kept)
			}
			if points := r.Bundle.Outside; c.point == "" && len(points) > 0 || c.point != "" && (len(points) != 1 || points[0].Result != c.point) {
				t.Errorf("checkpoint, want %q: %+v", c.point, points)
			}
		})
	}
}

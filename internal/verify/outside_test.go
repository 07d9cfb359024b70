package verify_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/verify"
)

func document(name string, b []byte) verify.Document { return verify.Document{Name: name, Bytes: b} }

// An auditor's own checkpoint is what makes a rewritten history show.
func TestBundleAgainstCheckpointsFromOutside(t *testing.T) {
	t.Parallel()
	for _, c := range append(pointsOutside(t), pointsOfABranch(t)...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := grown(t)
			p := c.given(h)
			first := int64(512)
			if len(h.points) == 1 {
				first = 0
			}
			r := inspect(h.export(t, first).pack(t), verify.BundleOptions{Checkpoints: []verify.Document{document("given", p.note)}})
			if r.Verdict != c.code || len(r.Bundle.Outside) != 1 || r.Bundle.Outside[0].Result != c.result {
				t.Errorf("want %s, %s: %s", c.code, c.result, show(r))
			}
			if hint := strings.Contains(strings.Join(r.Notes, "\n"), "with --prove 290,"); hint != (c.result == "unprovable") {
				t.Errorf("how to have it proven is told: %v: %s", hint, show(r))
			}
			if c.code != verify.Good && !found(r, c.code, "given", -1) {
				t.Errorf("the checkpoint is not named: %s", show(r))
			}
		})
	}
}

// pointOutside is a checkpoint that is given with a bundle.
type pointOutside struct {
	name   string
	code   verify.Code
	result string
	given  func(h *hub) point // also changes the hub before the export
}

func pointsOutside(t *testing.T) []pointOutside {
	t.Helper()
	return []pointOutside{
		{"one of the bundle", verify.Good, "agrees", func(h *hub) point { return h.points[1] }},
		{"the closing one", verify.Good, "agrees", func(h *hub) point { return h.points[2] }},
		{"one from before the bundle at the edge of a tile", verify.Good, "agrees", func(h *hub) point { return at(t, h, 256, h.records[256].at) }},
		{"one inside the first tile of the bundle", verify.Good, "agrees", func(h *hub) point { return at(t, h, 513, h.records[513].at) }},
		{"one from before the bundle within a tile", verify.Good, "unprovable", func(h *hub) point { return at(t, h, 290, h.records[290].at) }},
		{"one from before the bundle within a tile, of a size that it proves", verify.Good, "agrees", func(h *hub) point { return at(t, h, 300, h.records[300].at) }},
		{"one of the empty journal", verify.Good, "agrees", func(h *hub) point { return at(t, h, 0, h.records[0].at.Add(-time.Hour)) }},
		{"one that is newer", verify.Good, "newer", func(h *hub) point {
			h.live(900)
			p := h.checkpoint(t)
			h.points = h.points[:3]
			return p
		}},
		{"one that is newer than a bundle whose export found none: the tail was cut", verify.Incomplete, "newer", func(h *hub) point {
			h.live(900)
			p := h.checkpoint(t)
			h.points, h.early = h.points[:3], true
			return p
		}},
		{"one of a bundle whose export found no later one", verify.Good, "agrees", func(h *hub) point {
			h.early = true
			return h.points[2]
		}},
		{"a forged one", verify.Tampered, "contradicts", func(h *hub) point { return forged(t, h, 600, h.points[1].at) }},
		{"a forged one at the edge of a tile before the bundle", verify.Tampered, "contradicts", func(h *hub) point { return forged(t, h, 256, h.points[0].at) }},
		{"a forged one of the bundle's size", verify.Tampered, "contradicts", func(h *hub) point { return forged(t, h, 700, h.points[2].at) }},
		{"a forged one of the empty journal", verify.Tampered, "contradicts", func(h *hub) point { return forged(t, h, 0, h.points[0].at.Add(-time.Hour)) }},
		{"a larger one of an earlier time: the tail was cut", verify.Tampered, "contradicts", func(h *hub) point { return forged(t, h, 800, h.points[2].at.Add(-time.Second)) }},
		{"a smaller one of a later time", verify.Tampered, "contradicts", func(h *hub) point { return at(t, h, 520, h.points[2].at.Add(time.Second)) }},
	}
}

// pointsOfABranch are from a history that was left with a restore.
func pointsOfABranch(t *testing.T) []pointOutside {
	t.Helper()
	lost := func(h *hub) point { // one of 600 entries of a branch that was lost, 250 of them shared
		other := newHub(t, 1)
		other.records = append(other.records, h.records[:250]...)
		other.now = h.records[249].at
		other.live(600)
		other.now = h.points[1].at
		return other.checkpoint(t)
	}
	restored := func(h *hub, size int64, root string) { // as the 251st entry
		tail := h.records[250:]
		h.records = h.records[:250:250]
		h.add(&record{kind: 11, actor: "op", reason: fmt.Sprintf("restored after %d %s: ticket 7", size, root)}).at = h.points[2].at
		h.records = append(h.records, tail...)
		h.checkpoint(t)
		h.points = h.points[3:] // those before it were of the branch
	}
	return []pointOutside{
		{"another branch", verify.Tampered, "contradicts", lost},
		{"a branch lost with a restore that was signed", verify.Incomplete, "lost", func(h *hub) point {
			p := lost(h)
			restored(h, p.size, p.root.String())
			return p
		}},
		{"a branch lost, and the restore names a later one", verify.Incomplete, "lost", func(h *hub) point {
			p := lost(h)
			restored(h, p.size+50, h.points[0].root.String())
			return p
		}},
		{"a branch lost, and the restore names an earlier one", verify.Incomplete, "lost", func(h *hub) point {
			p := lost(h)
			restored(h, p.size-50, h.points[0].root.String())
			return p
		}},
		{"a branch lost, and the restore names another of its size", verify.Tampered, "contradicts", func(h *hub) point {
			p := lost(h)
			restored(h, p.size, h.points[0].root.String())
			return p
		}},
		{"history from before a restore rewritten", verify.Tampered, "contradicts", func(h *hub) point {
			restored(h, 600, h.points[0].root.String())
			return forged(t, h, 200, h.points[0].at.Add(-time.Hour))
		}},
		{"a forged one from after a restore", verify.Tampered, "contradicts", func(h *hub) point {
			restored(h, 600, h.points[0].root.String())
			return forged(t, h, 650, h.points[0].at)
		}},
		{"a restore that names nothing", verify.Tampered, "contradicts", func(h *hub) point {
			p := lost(h)
			restored(h, 600, "?")
			return p
		}},
	}
}

// at is a true checkpoint of an earlier size.
func at(tb testing.TB, h *hub, size int, when time.Time) point {
	tb.Helper()
	early := &hub{records: h.records[:size], signer: h.signer, origin: h.origin, now: when.Add(-time.Second)}
	return early.checkpoint(tb)
}

func TestBundleAgainstOddCheckpointsFromOutside(t *testing.T) {
	t.Parallel()
	h := grown(t)
	file := h.export(t, 0).pack(t)
	strange, _ := newKey(t, 97, origin)
	elsewhere, _ := newKey(t, 96, "sinbahub/PROD")
	p := h.points[0]
	for _, c := range []struct {
		name  string
		code  verify.Code
		given []byte
	}{
		{"signed by another key", verify.Tampered, signPoint(t, strange, origin, p.size, p.root, p.at).note},
		{"of another journal", verify.Unusable, signPoint(t, elsewhere, "sinbahub/PROD", p.size, p.root, p.at).note},
		{"with a false signature", verify.Unusable, bytes.Replace(p.note, []byte("\n300\n"), []byte("\n301\n"), 1)},
		{"that is no note", verify.Unusable, []byte("hello")},
		{"that is empty", verify.Unusable, nil},
		{"that mail has changed", verify.Good, append([]byte("\r\n"), bytes.ReplaceAll(bytes.TrimSpace(p.note), []byte("\n"), []byte("\r\n"))...)},
	} {
		r := inspect(file, verify.BundleOptions{Checkpoints: []verify.Document{document("given", c.given)}})
		if r.Verdict != c.code || c.code != verify.Good && !found(r, c.code, "given", -1) {
			t.Errorf("%s: want %s: %s", c.name, c.code, show(r))
		}
	}
	fork := []verify.Document{document("one", forged(t, h, 900, h.now.Add(time.Hour)).note), document("two", at(t, h, 700, h.now).note), document("three", nil)}
	fork[2].Bytes = signPoint(t, h.signer, origin, 900, p.root, h.now.Add(2*time.Hour)).note
	if r := inspect(file, verify.BundleOptions{Checkpoints: fork}); r.Verdict != verify.Tampered || !found(r, verify.Tampered, "three", -1) {
		t.Errorf("a fork beyond the bundle: %s", show(r))
	}
}

// A bundle signed anew with another key is good by itself: only the auditor's own key or checkpoint shows it.
func TestBundleSignedWithAnotherKey(t *testing.T) {
	t.Parallel()
	h := grown(t)
	other := grown(t)
	other.signer, other.vkey = newKey(t, 95, origin)
	other.points = nil
	other.checkpoint(t)
	file := other.export(t, 0).pack(t)
	key := document("key", []byte("# ours\n\n"+h.vkey+"\n"))
	if r := inspect(file, verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Keys[0].Given {
		t.Errorf("by itself: %s", show(r))
	}
	if r := inspect(file, verify.BundleOptions{Key: &key}); r.Verdict != verify.Tampered || !found(r, verify.Tampered, "MANIFEST", -1) || !found(r, verify.Tampered, "checkpoint", -1) {
		t.Errorf("with the auditor's key: %s", show(r))
	}
	if r := inspect(file, verify.BundleOptions{Checkpoints: []verify.Document{document("given", h.points[0].note)}}); r.Verdict != verify.Tampered {
		t.Errorf("with the auditor's checkpoint: %s", show(r))
	}
	if r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{Key: &key}); r.Verdict != verify.Good || !r.Bundle.Keys[0].Given {
		t.Errorf("the true one: %s", show(r))
	}
	bad := document("key", []byte("x"))
	if r := inspect(file, verify.BundleOptions{Key: &bad}); r.Verdict != verify.Unusable {
		t.Errorf("with a key that is none: %s", show(r))
	}
}

package verify_test

import (
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

func TestBundleThatIsSoundIsGood(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 255, 256, 257, 511, 512, 700} {
		h := newHub(t, uint64(n)).live(n)
		h.checkpoint(t)
		r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{})
		if r.Verdict != verify.Good || r.Bundle.Entries != int64(n) || r.Bundle.Checkpoints != r.Bundle.Proven {
			t.Errorf("%d entries: %s", n, show(r))
		}
	}
}

// A tree of more than 65,536 leaves has tiles of three levels.
func TestBundleOfATreeOfThreeLevels(t *testing.T) {
	t.Parallel()
	h := newHub(t, 4)
	for range 66_000 {
		h.add(&record{kind: 2, participant: 1, ente: 10})
	}
	tree := grow(t, h.leaves())
	h.pointAt(t, tree, 300)
	h.pointAt(t, tree, 65_700)
	h.pointAt(t, tree, 66_000)
	whole := h.export(t, 0)
	late := h.export(t, 65_536)
	if r := inspect(late.pack(t), verify.BundleOptions{Checkpoints: []verify.Document{document("given", h.points[1].note)}}); r.Verdict != verify.Good ||
		r.Bundle.Entries != 464 || r.Bundle.Proven != 3 || r.Bundle.Outside[0].Result != "agrees" {
		t.Error(show(r))
	}
	if r := inspect(whole.pack(t), verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Entries != 66_000 || r.Bundle.Proven != 3 {
		t.Error(show(r))
	}
	for name, member := range map[string]string{"tile/1/000": "tile/1/000", "tile/2/000.p/1": "checkpoint", "tile/1/001.p/1": "checkpoint"} {
		b := h.export(t, 65_536)
		b.members[name][5] ^= 1
		if r := inspect(b.pack(t), verify.BundleOptions{}); r.Verdict != verify.Tampered || !found(r, verify.Tampered, member, -1) {
			t.Errorf("%s changed: %s", name, show(r))
		}
	}
}

// Places of tiles are those of C2SP tlog-tiles.
func TestTilePath(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]int64{
		"000": {0, 256}, "999": {999, 256}, "x001/000": {1000, 256}, "x001/x234/067": {1_234_067, 256}, "x001/x000/000.p/255": {1_000_000, 255},
		"000.p/1": {0, 1},
	} {
		if got := verify.TilePath(c[0], c[1]); got != want {
			t.Errorf("%v: %q, want %q", c, got, want)
		}
		if number, width, ok := verify.ParseTilePath(want); !ok || number != c[0] || width != c[1] {
			t.Errorf("%q: %d %d %t", want, number, width, ok)
		}
	}
	for _, bad := range []string{"", "0", "00", "0000", "x000/001", "1000", "000.p/0", "000.p/256", "000.p/01", "-01", "x1/234", "001/234", "x001/234/", "+01", "4611686018427387904"} {
		if _, _, ok := verify.ParseTilePath(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Which versions an entry was judged with, and are not there, is no fault, and said.
func TestBundleTellsOfVersionsThatItLacks(t *testing.T) {
	t.Parallel()
	h := newHub(t, 8)
	h.accept(1, 10)
	h.checkpoint(t)
	b := h.export(t, 0)
	b.members["mapping/2/foglie.tsv"] = []byte("x")
	b.members["versions-missing"] = []byte("reference ref\n")
	r := inspect(b.pack(t), verify.BundleOptions{})
	if r.Verdict != verify.Good || len(r.Notes) != 4 || r.Notes[0] != "Entries name reference ref, which is not in the bundle, as the bundle says." ||
		r.Notes[1] != "Entries name rules 1, which is not in the bundle, and the bundle does not say so." {
		t.Errorf("%q", r.Notes)
	}
}

// A bundle must not leave out what came between the begin of its range and its first leaf.
func TestBundleThatBeginsBehindItsRangeIsIncomplete(t *testing.T) {
	t.Parallel()
	h := grown(t)
	b := h.export(t, 512)
	if b.members["consistency"] == nil {
		t.Fatal("no checkpoint from before the range")
	}
	if r := inspect(b.pack(t), verify.BundleOptions{}); r.Verdict != verify.Good || r.Bundle.Proven != r.Bundle.Checkpoints {
		t.Errorf("with a checkpoint from before its range: %s", show(r))
	}
	_, rest, _ := strings.Cut(b.head, "\nto ")
	b.head = "sinba-evidence/v2\norigin " + origin + "\nfrom 2026-03-01T00:00:00Z\nto " + rest
	if r := inspect(b.pack(t), verify.BundleOptions{}); r.Verdict != verify.Incomplete || !found(r, verify.Incomplete, "checkpoints", -1) {
		t.Errorf("with a range that begins earlier: %s", show(r))
	}
}

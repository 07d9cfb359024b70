package verify_test

import (
	"strings"
	"testing"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// TestFindingNamesWhatItsEntryIsOf breaks a bundle about one event in the ways that leave its ids at hand.
func TestFindingNamesWhatItsEntryIsOf(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(h *hub, b *bundle){
		"no outcome and no line":     func(_ *hub, b *bundle) { b.members["open"] = nil },
		"sealed bytes absent":        nil,
		"sealed bytes changed":       func(_ *hub, b *bundle) { b.members["sealed/000.p/1"][5] ^= 1 },
		"another entry in its place": func(_ *hub, b *bundle) { b.members["tile/entries/000.p/1"][2+1+4+16+4+8+4+1+4+1+4+3] ^= 1 },
	} {
		h := newHub(t, 5)
		a := h.accept(1, 10)
		if mend == nil {
			a.unsealed = true
		}
		h.checkpoint(t)
		b := h.export(t, 0)
		if mend != nil {
			mend(h, b)
		}
		r := inspect(b.pack(t), verify.BundleOptions{})
		if len(r.Findings) == 0 {
			t.Errorf("%s: %s", name, show(r))
			continue
		}
		want := verify.IDs{Entry: a.id.String(), Message: a.message.String(), Event: a.event.String(), Delivery: a.delivery.String()}
		if f := r.Findings[0]; f.IDs != want || f.Leaf == nil || *f.Leaf != 0 {
			t.Errorf("%s: %+v, want %+v", name, f, want)
		}
		if text := show(r); !strings.Contains(text, "(entry "+want.Entry+", message "+want.Message+", event "+want.Event+", delivery "+want.Delivery+")") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

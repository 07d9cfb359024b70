package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/verify"
)

// absence is something that is absent of a bundle, and an entry of retention or none.
type absence struct {
	name string
	code verify.Code
	// what and leaf are what the report must name, of an absence that nothing accounts for.
	what string
	leaf int64
	make func(h *hub)
	// then comes behind the closing checkpoint.
	then func(h *hub)
}

// entriesAbsent are cases of entries; leaf 3 is an acceptance or the like, and leaf 5, too.
func entriesAbsent() []absence {
	gone := func(leaves ...int) func(*hub) {
		return func(h *hub) {
			for _, i := range leaves {
				h.records[i].gone = true
			}
		}
	}
	return []absence{
		{"an entry, and nothing retired", verify.Incomplete, "entry", 3, gone(3), nil},
		{"entries in a row, and nothing retired", verify.Incomplete, "entry", 3, gone(3, 4, 5), nil},
		{"the last entry, and nothing retired", verify.Incomplete, "entry", 299, gone(299), nil},
		{"an entry of a month that went", verify.Good, "", 0, gone(3), func(h *hub) { h.retire("journal", 1) }},
		{"more entries of a month that went than were counted", verify.Good, "", 0, gone(3, 4, 5), func(h *hub) { h.retire("journal", 2) }},
		{"an entry, and the messages of its month went", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.retire("messages", 900) }},
		{"an entry, and another month went", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.retire("journal", 900).codes[1] = "month:2026_04" }},
		{"an entry, and no month went", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.retire("journal", 900).codes[1] = "month:?" }},
		{"an entry of a month that went before its time", verify.Incomplete, "entry", 3, gone(3), func(h *hub) {
			h.now = time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
			h.add(&record{kind: 14, codes: []string{"journal:900", "month:2026_03"}})
		}},
		{"an entry of a month that went, by an entry from the future", verify.Incomplete, "entry", 3, gone(3), func(h *hub) {
			h.add(&record{kind: 14, codes: []string{"journal:900", "month:2026_03"}}).at = time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"a refusal that went and is named, by an entry from the future", verify.Incomplete, "entry", 3, gone(3), func(h *hub) {
			h.add(&record{kind: 14, codes: []string{"refusals:1", "leaf:3"}}).at = time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"a refusal that went and is named", verify.Good, "", 0, gone(3, 5, 6), func(h *hub) {
			h.refuse(8, "refusals:3", "leaf:3", "leaf:5-6")
		}},
		{"an entry beside refusals that are named", verify.Incomplete, "entry", 4, gone(3, 4, 5), func(h *hub) {
			h.refuse(8, "refusals:2", "leaf:3", "leaf:5")
		}},
		{"refusals that are named and not counted alike", verify.Incomplete, "entry", 3, gone(3, 5), func(h *hub) {
			h.refuse(8, "refusals:1", "leaf:3", "leaf:5")
		}},
		{"refusals younger than their least time", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.refuse(5, "refusals:1", "leaf:3") }},
		{"refusals that are only counted", verify.Good, "", 0, gone(3, 5), func(h *hub) { h.refuse(8, "refusals:2") }},
		{"more entries than refusals are counted", verify.Incomplete, "entry", 7, gone(3, 5, 7), func(h *hub) { h.refuse(8, "refusals:2") }},
		{"counted refusals younger than their least time", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.refuse(5, "refusals:1") }},
		{"an entry, and cases went", verify.Incomplete, "entry", 3, gone(3), func(h *hub) { h.refuse(900, "cases:5", "events:9") }},
	}
}

// refuse adds an entry of retention so many days later.
func (h *hub) refuse(days int, codes ...string) {
	h.now = h.now.AddDate(0, 0, days)
	h.add(&record{kind: 14, codes: codes, reason: "policy: refusals 7 days"})
}

// sealedAbsent are cases of sealed bytes: those of the first acceptance or attempt.
func sealedAbsent() []absence {
	unseal := func(kind byte, n int) func(*hub) {
		return func(h *hub) {
			for _, r := range h.records {
				if r.kind == kind && r.sealed != nil && n > 0 {
					r.unsealed = true
					n--
				}
			}
		}
	}
	return []absence{
		{"a sealed message, and nothing retired", verify.Incomplete, "sealed message", -2, unseal(1, 1), nil},
		{"a sealed outbound event, and nothing retired", verify.Incomplete, "sealed outbound event", -2, unseal(3, 1), nil},
		{"sealed messages of a month that went", verify.Good, "", 0, unseal(1, 20), func(h *hub) { h.retire("messages", 20) }},
		{"sealed events of a month that went", verify.Good, "", 0, unseal(3, 20), func(h *hub) { h.retire("attempts", 20) }},
		{"sealed messages of a month that went in parts", verify.Good, "", 0, unseal(1, 20), func(h *hub) {
			h.retire("messages", 19)
			h.retire("messages", 1)
		}},
		{"more sealed messages than went", verify.Incomplete, "sealed message", -2, unseal(1, 21), func(h *hub) { h.retire("messages", 20) }},
		{"sealed messages, and the attempts of their month went", verify.Incomplete, "sealed message", -2, unseal(1, 2), func(h *hub) { h.retire("attempts", 20) }},
		{"sealed messages of a month that went before its time", verify.Incomplete, "sealed message", -2, unseal(1, 2), func(h *hub) {
			h.now = time.Date(2026, 4, 30, 22, 0, 0, 0, time.UTC)
			h.add(&record{kind: 14, codes: []string{"messages:20", "month:2026_03"}})
		}},
	}
}

// What is absent is found unless an entry of retention accounts for it, wherever that stands: the report
// names the leaf and what is absent, or the entry.
func TestBundleNamesWhatIsAbsentUnlessItWasRetired(t *testing.T) {
	t.Parallel()
	for _, c := range append(entriesAbsent(), sealedAbsent()...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, 11).live(1)
			h.checkpoint(t) // the times of what follows are known by it
			h.live(300).checkpoint(t)
			h.closing = 2
			c.make(h)
			if c.then != nil {
				c.then(h)
				h.checkpoint(t)
			}
			r := inspect(h.export(t, 0).pack(t), verify.BundleOptions{})
			if r.Verdict != c.code {
				t.Fatal(show(r))
			}
			text := show(r)
			switch named := slices.ContainsFunc(r.Bundle.Absent, func(a verify.AbsentFacts) bool {
				return a.What == c.what && (c.leaf == -2 || a.From == c.leaf)
			}); {
			case c.code == verify.Good && (len(r.Bundle.Absent) > 0 || len(r.Bundle.Retirements) == 0 || r.Bundle.Retirements[0].Covers == 0 ||
				!strings.Contains(text, fmt.Sprintf("retired by entry %d on %s", r.Bundle.Retirements[0].Leaf, r.Bundle.Retirements[0].At))):
				t.Error(text)
			case c.code != verify.Good && (!named || !found(r, c.code, "", c.leaf) || !strings.Contains(text, c.what)):
				t.Errorf("%+v %s", r.Bundle.Absent, text)
			}
		})
	}
}

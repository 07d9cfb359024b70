package verify

import (
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// What a file of keys says of the transition from one key to the next. The note's text has five lines: this
// word, the journal's name, the key before, the one after, and when it was made; both keys signed it.
const (
	transitionMark  = "# transition "
	transitionWord  = "sinbahub journal key transition v1"
	transitionLines = 6 // the last one is empty
	mostTransitions = 1000
)

// extend trusts, besides the keys of the ring, those that a transition in a file of keys leads to from one of
// them, forward or back: the two signed that they are keys of one journal. The file itself needs no trust.
func (k *ring) extend(file []byte) {
	var notes [][]byte
	for line := range strings.Lines(string(file)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), transitionMark)
		if b, err := base64.StdEncoding.DecodeString(text); ok && err == nil && len(notes) < mostTransitions {
			notes = append(notes, b)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, b := range notes {
			if v := k.leadsTo(b); v != nil {
				k.verifiers = append(k.verifiers, v)
				grown = true
			}
		}
	}
}

// leadsTo gives the key that a transition adds, nil for none.
func (k *ring) leadsTo(b []byte) note.Verifier {
	cut := strings.Split(string(b), "\n")
	if len(cut) < transitionLines || cut[0] != transitionWord {
		return nil
	}
	var pair [2]note.Verifier
	known := [2]bool{}
	for i := range pair {
		v, err := note.NewVerifier(cut[2+i])
		if err != nil || v.Name() != cut[1] {
			return nil
		}
		pair[i] = v
		known[i] = slices.ContainsFunc(k.verifiers, func(o note.Verifier) bool {
			// By what it verifies, not by its short hash alone: that is 32 bits.
			return o.Name() == v.Name() && o.KeyHash() == v.KeyHash()
		})
	}
	if known[0] == known[1] || pair[0].KeyHash() == pair[1].KeyHash() {
		return nil
	}
	// The key at hand must verify, not one that only has its hash: so the ring's own is asked.
	for i := range pair {
		if known[i] {
			n := slices.IndexFunc(k.verifiers, func(o note.Verifier) bool { return o.KeyHash() == pair[i].KeyHash() && o.Name() == pair[i].Name() })
			signed, err := note.Open(b, note.VerifierList(k.verifiers[n], pair[1-i]))
			if err != nil || len(signed.Sigs) != 2 || strings.Count(signed.Text, "\n") != transitionLines-1 {
				return nil
			}
			return pair[1-i]
		}
	}
	return nil
}

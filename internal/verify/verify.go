// Package verify recomputes what the hub's evidence claims: a bundle given to an auditor, and the proof
// that a vendor stored with a receipt. It reads bytes and asks nobody.
//
// It imports nothing of the hub, so that a mistake there is not made here again: the formats are read
// from their descriptions (deploy/docs/verify.md). What it shares is golang.org/x/mod, for the signatures of
// notes and the arithmetic of the tree.
//
// A report never quotes what it read but for ids, numbers, the names of members, and who had records
// retired and why, which nobody else can judge: evidence may have been written by an enemy, and is about
// children.
package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Code is a verdict; its number is the exit code of sinbaverify.
type Code int

// The verdicts. Tampered outweighs Unusable, that outweighs Incomplete, and Good is what is left.
const (
	// Good means that everything was recomputed and agrees.
	Good Code = 0
	// Tampered means that something is not what was signed, or contradicts it.
	Tampered Code = 2
	// Incomplete means that what is there agrees, and something that belongs to it is not there.
	Incomplete Code = 3
	// Unusable means that nothing can be said: not a bundle, not readable, no key.
	Unusable Code = 4
)

// String is the verdict in one word.
func (c Code) String() string {
	switch c {
	case Good:
		return "good"
	case Tampered:
		return "tampered"
	case Incomplete:
		return "incomplete"
	case Unusable:
		return "unusable"
	}
	return "unknown"
}

// MarshalText writes the word.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Code) weight() int {
	switch c {
	case Tampered:
		return 3
	case Unusable:
		return 2
	case Incomplete:
		return 1
	case Good:
	}
	return 0
}

// IDs name what an entry is of, as it says itself; of one whose bytes were changed that is not proven. What it
// has not is empty.
type IDs struct {
	// Entry is the entry's own id: IdRegistrazione of an accepted event.
	Entry string `json:"entry,omitempty"`
	// Message is IdRicevuta, Event the vendor's IdEvento, Delivery IdTrasmissione.
	Message  string `json:"message,omitempty"`
	Event    string `json:"event,omitempty"`
	Delivery string `json:"delivery,omitempty"`
}

// String lists those that are there, in brackets behind a space.
func (n IDs) String() string {
	var words []string
	for _, w := range [][2]string{{"entry", n.Entry}, {"message", n.Message}, {"event", n.Event}, {"delivery", n.Delivery}} {
		if w[1] != "" {
			words = append(words, w[0]+" "+w[1])
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// Finding is one thing that is not as it must be.
type Finding struct {
	// Code is the verdict that it alone would bring.
	Code Code `json:"code"`
	// Member is the file in the bundle, or the file that was given.
	Member string `json:"member,omitempty"`
	// Leaf is the number of the entry in the journal, nil if it is about none.
	Leaf *int64 `json:"leaf,omitempty"`
	// IDs are those of the leaf's entry, if it is there to be read.
	IDs
	// What says it in a sentence.
	What string `json:"what"`
}

// mostFindings is how many findings of each verdict a report lists; the others are counted.
const mostFindings = 50

// Report is what came out.
type Report struct {
	// Verdict is the worst of the findings.
	Verdict Code `json:"verdict"`
	// Exit is the exit code of the process.
	Exit int `json:"exit"`
	// Findings are those that were kept, by leaf.
	Findings []Finding `json:"findings"`
	// Omitted counts those beyond the first fifty of each verdict.
	Omitted int `json:"omitted"`
	// Notes are what a reader must know that is no fault.
	Notes []string `json:"notes"`
	// Bundle says what a bundle holds; nil for receipts.
	Bundle *BundleFacts `json:"bundle,omitempty"`
	// Receipts say what each proof shows; empty for a bundle.
	Receipts []ReceiptFacts `json:"receipts,omitempty"`

	kept map[Code]int
}

// Document is a file given from outside.
type Document struct {
	// Name is what messages call it.
	Name string
	// Bytes are all of it.
	Bytes []byte
}

// KeyFacts name a public key, so that people can compare it over another channel.
type KeyFacts struct {
	// Name is the signer's, equal to the journal's origin.
	Name string `json:"name"`
	// ID is the note's key hash in hexadecimal digits.
	ID string `json:"id"`
	// Given tells whether the key came from the auditor and not with the bundle.
	Given bool `json:"given"`
}

func newReport() *Report {
	return &Report{Findings: []Finding{}, Notes: []string{}, kept: map[Code]int{}}
}

// add keeps a finding about no leaf.
func (r *Report) add(code Code, member, what string, args ...any) {
	r.keep(Finding{Code: code, Member: member, What: fmt.Sprintf(what, args...)})
}

// leaf keeps a finding about a leaf whose entry nobody can read.
func (r *Report) leaf(code Code, member string, leaf int64, what string, args ...any) {
	r.keep(Finding{Code: code, Member: member, Leaf: &leaf, What: fmt.Sprintf(what, args...)})
}

// entry keeps a finding about a leaf whose entry was read.
func (r *Report) entry(code Code, member string, leaf int64, ids IDs, what string, args ...any) {
	r.keep(Finding{Code: code, Member: member, Leaf: &leaf, IDs: ids, What: fmt.Sprintf(what, args...)})
}

func (r *Report) keep(f Finding) {
	if f.Code.weight() > r.Verdict.weight() {
		r.Verdict = f.Code
	}
	if r.kept[f.Code]++; r.kept[f.Code] > mostFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, f)
}

// mostNotes is how many notes a report has; evidence cannot make it longer than anybody reads.
const mostNotes = 200

func (r *Report) note(what string, args ...any) {
	if len(r.Notes) == mostNotes {
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf(what, args...))
}

// close brings the findings into the order of the journal and sets the exit code.
func (r *Report) close() *Report {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Code.weight(), a.Code.weight()), cmp.Compare(leafOf(a), leafOf(b)))
	})
	r.Exit = int(r.Verdict)
	return r
}

func leafOf(f Finding) int64 {
	if f.Leaf == nil {
		return -1
	}
	return *f.Leaf
}

// stamp is a time as reports show it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

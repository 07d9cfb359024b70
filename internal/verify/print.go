package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text writes the report for people: the verdict first.
func (r *Report) Text(w io.Writer) error {
	p := &page{}
	p.line("%s", strings.ToUpper(r.Verdict.String())+": "+r.sentence())
	for _, f := range r.Findings {
		where := ""
		if f.Leaf != nil {
			where = fmt.Sprintf("leaf %d: ", *f.Leaf)
		}
		if f.Member != "" {
			where = f.Member + ": " + where
		}
		p.line("  %-10s  %s%s%s", f.Code, where, f.What, f.IDs)
	}
	if r.Omitted > 0 {
		p.line("  and %d more", r.Omitted)
	}
	if r.Bundle != nil {
		r.Bundle.text(p)
	}
	for _, f := range r.Receipts {
		f.text(p)
	}
	if len(r.Notes) > 0 {
		p.line("")
	}
	for _, n := range r.Notes {
		p.line("Note: %s", n)
	}
	_, err := io.WriteString(w, p.String())
	return err
}

// sentence says what a verdict means.
func (r *Report) sentence() string {
	switch r.Verdict {
	case Good:
		if r.Bundle == nil {
			return "every entry is in the journal that the key signed, and is the one of its receipt."
		}
		if r.Bundle.Gone+r.Bundle.SealedGone > 0 {
			return "every byte agrees with the signed root; what is gone was retired, as entries of the journal say."
		}
		return "every byte agrees with the signed root, nothing is missing."
	case Tampered:
		return "something is not what was signed."
	case Incomplete:
		return "what is there agrees with what was signed, and something is missing."
	case Unusable:
	}
	return "nothing can be said of it."
}

// page collects lines. What evidence brings in is shown without what moves a terminal's cursor.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) {
	p.WriteString(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...)))
	p.WriteByte('\n')
}

func (b *BundleFacts) text(p *page) {
	p.line("")
	p.line("Journal      %s", b.Origin)
	if b.Ente != "" {
		p.line("Ente         %s", b.Ente)
	}
	for _, k := range b.Keys {
		from := "came with the bundle"
		if k.Given {
			from = "given"
		}
		p.line("Key          %s+%s (%s)", k.Name, k.ID, from)
	}
	p.line("Range        %s to %s, %s, leaves %d to %d", stamp(b.From), stamp(b.To), closedWord(b.Closed), b.First, b.End)
	p.line("Signed root  %s of %d entries at %s", b.Root, b.Size, stamp(b.ClosedAt))
	p.line("Checkpoints  %d, of which %d proven against the tree", b.Checkpoints, b.Proven)
	p.line("Entries      %d, and %d of which only the hash is left, %d of them retired", b.Entries, b.Gone, b.Retired)
	for _, kind := range slices.Sorted(maps.Keys(b.Kinds)) {
		p.line("             %d %s", b.Kinds[kind], kind)
	}
	p.line("Sealed       %d agree with their entry, and %d are gone, %d of them retired", b.Sealed, b.SealedGone, b.SealedRetired)
	p.line("Events       %d accepted, %d with their outcome, %d open", b.Accepted, b.Settled, b.Open)
	b.retirements(p)
	for _, k := range b.Kept {
		p.line("Kept         %s: receipt %s %s", k.File, k.Receipt, k.Result)
	}
	for _, o := range b.Outside {
		p.line("Outside      %s: %s (%d entries, %s)", o.File, o.Result, o.Size, o.At)
	}
}

// mostRunsShown is how many runs of leaves a report shows to people; programs are given more.
const mostRunsShown = 20

// retirements are the entries of retention, and what is absent that none of them accounts for.
func (b *BundleFacts) retirements(p *page) {
	p.line("Retention    %d entries from leaf %d to leaf %d", len(b.Retirements), b.First, b.RetiredTo)
	for _, r := range b.Retirements {
		by := "the hub itself"
		if r.Actor != "" {
			by = r.Actor
		}
		early := ""
		if r.Early {
			early = " (BEFORE ITS TIME, so that it accounts for nothing)"
		}
		p.line("             retired by entry %d on %s: %s%s; accounts for %d absent here", r.Leaf, r.At, strings.Join(r.What, " "), early, r.Covers)
		p.line("               by %s: %s", by, r.Reason)
	}
	for i, a := range b.Absent {
		if i == mostRunsShown {
			p.line("Not there    and %d more runs of leaves, see --json", len(b.Absent)-i)
			break
		}
		p.line("Not there    %s of leaf %s%s", a.What, leafRun([2]int64{a.From, a.To}), a.IDs)
	}
}

func (f *ReceiptFacts) text(p *page) {
	p.line("")
	p.line("Proof        %s", f.File)
	p.line("Event        %s", f.Event)
	p.line("Receipt      %s", f.Receipt)
	if f.Entry != "" {
		p.line("Entry        %s at %s", f.Entry, f.At)
		p.line("Leaf         %d; number %d of participant %d, ente %d", f.Leaf, f.Number, f.Participant, f.Ente)
	}
	if f.Root != "" {
		p.line("Signed root  %s of %d entries at %s", f.Root, f.Size, f.SignedAt)
	}
	p.line("Agrees       %s", strings.Join(f.Compared, " "))
}

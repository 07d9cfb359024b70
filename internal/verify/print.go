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
		p.line("  %-10s  %s%s", f.Code, where, f.What)
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
	p.line("Range        %s to %s, leaves %d to %d", stamp(b.From), stamp(b.To), b.First, b.End)
	p.line("Signed root  %s of %d entries at %s", b.Root, b.Size, stamp(b.ClosedAt))
	p.line("Checkpoints  %d, of which %d proven against the tree", b.Checkpoints, b.Proven)
	p.line("Entries      %d, bodies gone by retention %d", b.Entries, b.Gone)
	for _, run := range slices.Backward(b.GoneLeaves) {
		p.line("             gone: leaves %d to %d", run[0], run[1])
	}
	for _, kind := range slices.Sorted(maps.Keys(b.Kinds)) {
		p.line("             %d %s", b.Kinds[kind], kind)
	}
	p.line("Sealed       %d agree with their entry, %d not in the bundle", b.Sealed, b.SealedGone)
	p.line("Events       %d accepted, %d with their outcome, %d open", b.Accepted, b.Settled, b.Open)
	for _, o := range b.Outside {
		p.line("Outside      %s: %s (%d entries, %s)", o.File, o.Result, o.Size, o.At)
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

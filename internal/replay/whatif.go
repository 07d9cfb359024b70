package replay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// Candidate is what is tried instead of what was recorded. A nil part stays as recorded.
type Candidate struct {
	// Schema is the validator's number of another schema; 0 for none.
	Schema validator.Schema
	// Events reads, judges and maps by another schema or leaf table.
	Events *sinba.Catalogue
	// Severities are another configuration of the rules.
	Severities *sinba.Severities
	// Reference are other dated lists.
	Reference *sinba.Reference
}

// Effect is what a candidate does to a message.
type Effect string

// The effects.
const (
	// NewlyFails is an accepted message that would be refused, or whose national event would not conform.
	NewlyFails Effect = "newly_fails"
	// ComesOutDifferent is one that would be accepted with another result.
	ComesOutDifferent Effect = "comes_out_different"
	// MayNewlyPass is a refused request that may be accepted: an upper bound, made of its codes alone.
	MayNewlyPass Effect = "may_newly_pass"
	// Unchanged is one to which nothing happens.
	Unchanged Effect = "unchanged"
	// NotTried is one that could not be replayed; Line.Part says why.
	NotTried Effect = "not_tried"
)

// Line counts messages to which the same happens. A message that fails for two reasons is in two lines.
type Line struct {
	Sender

	Effect Effect `json:"effect"`
	// Part is what differs: schema, rules, warnings, regional_event, national_event; or a Status.
	Part string `json:"part,omitempty"`
	// Code and Rule are the finding's.
	Code hub.Code `json:"code,omitempty"`
	Rule string   `json:"rule,omitempty"`
	// Path is where, without positions; Change how.
	Path   string `json:"path,omitempty"`
	Change string `json:"change,omitempty"`
}

// Sender is a participant with one of its products.
type Sender struct {
	Participant string `json:"participant"`
	// Product is the vendor's, as the registry knows it; `altro` for one it does not know.
	Product string `json:"product"`
}

// Counted is a Line with how many messages it has.
type Counted struct {
	Line

	Messages int64 `json:"messages"`
}

// Tally is what a sender's messages come to; each is in one of its numbers.
type Tally struct {
	Sender

	Messages  int64 `json:"messages"`
	Unchanged int64 `json:"unchanged"`
	Fails     int64 `json:"newly_fails"`
	Different int64 `json:"comes_out_different"`
	NotTried  int64 `json:"not_tried"`
	// Refused are requests that were refused, MayPass how many of them may pass.
	Refused int64 `json:"refused"`
	MayPass int64 `json:"may_newly_pass"`
}

// WhatIfReport is what a candidate would do.
type WhatIfReport struct {
	Senders []Tally   `json:"senders"`
	Lines   []Counted `json:"lines"`

	senders map[Sender]*Tally
	lines   map[Line]int64
}

// mostLines bounds how many different lines a report has; what is beyond is in the senders' numbers.
const mostLines = 100_000

func (r *WhatIfReport) sender(s Sender) *Tally {
	if r.senders == nil {
		r.senders, r.lines = map[Sender]*Tally{}, map[Line]int64{}
	}
	t := r.senders[s]
	if t == nil {
		t = &Tally{Sender: s}
		r.senders[s] = t
	}
	return t
}

func (r *WhatIfReport) line(l Line, n int64) {
	if _, known := r.lines[l]; known || len(r.lines) < mostLines {
		r.lines[l] += n
	}
}

// add adds a later part.
func (r *WhatIfReport) add(o *WhatIfReport) {
	for _, t := range o.Senders {
		sum := r.sender(t.Sender)
		sum.Messages += t.Messages
		sum.Unchanged += t.Unchanged
		sum.Fails += t.Fails
		sum.Different += t.Different
		sum.NotTried += t.NotTried
		sum.Refused += t.Refused
		sum.MayPass += t.MayPass
	}
	for _, l := range o.Lines {
		r.line(l.Line, l.Messages)
	}
}

// settle lists what was counted, in an order of its own.
func (r *WhatIfReport) settle() {
	r.Senders, r.Lines = nil, nil
	for t := range maps.Values(r.senders) {
		r.Senders = append(r.Senders, *t)
	}
	slices.SortFunc(r.Senders, func(a, b Tally) int { return compareSenders(a.Sender, b.Sender) })
	for l, n := range r.lines {
		r.Lines = append(r.Lines, Counted{l, n})
	}
	slices.SortFunc(r.Lines, func(a, b Counted) int {
		return cmp.Or(compareSenders(a.Sender, b.Sender), strings.Compare(a.key(), b.key()))
	})
}

func compareSenders(a, b Sender) int {
	return cmp.Or(strings.Compare(a.Participant, b.Participant), strings.Compare(a.Product, b.Product))
}

func (l *Line) key() string {
	return strings.Join([]string{string(l.Effect), l.Part, string(l.Code), l.Rule, l.Path, l.Change}, "\x00")
}

// WhatIf replays the messages of a range under a candidate and reports what would be otherwise. Each
// message is judged in its case as it was: that an earlier one of the case would fail is not carried on.
func WhatIf(ctx context.Context, parts *Parts, c *Candidate, o Options) (WhatIfReport, error) {
	report := WhatIfReport{}
	w := &whatIf{parts: parts, candidate: c, library: newLibrary(parts)}
	if c.Events != nil {
		other := *parts
		other.Schemas = make(map[string]Schema, len(parts.Schemas))
		for version, s := range parts.Schemas {
			other.Schemas[version] = Schema{Number: s.Number, Events: c.Events}
		}
		w.others = newLibrary(&other)
	} else {
		w.others = w.library
	}
	s := &source{parts: parts, Range: o.Range, kinds: []journal.Kind{journal.EventAccepted, journal.RequestRefused}}
	err := drive(ctx, s, o, nil, w.evaluate, report.add)
	report.settle()
	return report, err
}

// whatIf tries a candidate. others makes its catalogues.
type whatIf struct {
	parts           *Parts
	candidate       *Candidate
	library, others *library
}

// evaluate tries a page.
func (w *whatIf) evaluate(ctx context.Context, f *fetched) (WhatIfReport, error) {
	tried := make([][]Line, len(f.jobs))
	err := together(ctx, len(f.jobs), func(ctx context.Context, at int) (err error) {
		if f.jobs[at].row.Kind == journal.EventAccepted {
			tried[at], err = w.try(ctx, f.jobs[at])
		}
		return err
	})
	var part WhatIfReport
	for at, j := range f.jobs {
		if j.row.Kind == journal.EventAccepted {
			part.noteAccepted(w.senderOf(j), tried[at])
		} else if !j.unreadable && j.entry.Participant != 0 {
			w.noteRefused(&part, j)
		}
	}
	part.settle()
	return part, err
}

// noteAccepted counts a message with all that happens to it.
func (r *WhatIfReport) noteAccepted(s Sender, lines []Line) {
	t := r.sender(s)
	t.Messages++
	worst := Unchanged
	for _, l := range lines {
		l.Sender = s
		r.line(l, 1)
		if worst == Unchanged || l.Effect == NewlyFails || l.Effect == NotTried {
			worst = l.Effect
		}
	}
	switch worst {
	case NewlyFails:
		t.Fails++
	case ComesOutDifferent:
		t.Different++
	case NotTried:
		t.NotTried++
	case Unchanged, MayNewlyPass:
		t.Unchanged++
	}
}

// senderOf is whose a message is, with the product as the stored regional event has it.
func (w *whatIf) senderOf(j *job) Sender {
	s := Sender{Participant: w.parts.Participants[j.entry.Participant], Product: "-"}
	if j.stored == nil {
		return s
	}
	doc, err := sinba.Leaves(j.stored.Body)
	if err != nil {
		return s
	}
	var words []string
	for _, leaf := range []string{"Fornitore", "Prodotto", "Versione"} {
		if value, ok := doc.Value("/Mittente/Applicativo/" + leaf); ok {
			words = append(words, value)
		}
	}
	if len(words) > 0 {
		s.Product = strings.Join(words, " ")
	}
	return s
}

// notTried is the only line of a message that could not be replayed.
func notTried(why Status) []Line { return []Line{{Effect: NotTried, Part: string(why)}} }

// try gives what happens to an accepted message.
func (w *whatIf) try(ctx context.Context, j *job) ([]Line, error) {
	e, s := &j.entry, j.stored
	switch {
	case j.unreadable || s == nil || len(s.Sealed) == 0:
		return notTried(Gone), nil
	case j.secret.IsZero():
		return notTried(j.forgotten()), nil
	case j.plain.Err != nil:
		return notTried(Unopened), nil //nolint:nilerr // that it does not open is a result
	}
	certified := !slices.Contains(e.Codes, hub.CodeRule24)
	in := inputs{
		plain: j.plain.Plain, at: e.At, rules: int(s.RulesVersion), participant: w.parts.Participants[e.Participant],
		ente: w.parts.Enti[e.Ente].Code, regionEpoch: s.RegionEpoch, factsEpoch: s.FactsEpoch, subject: s.Subject, file: s.Case,
		history: s.History, state: casefile.Fold(s.History), certified: func(string, string) bool { return certified },
	}
	var item Item
	v := verifier{parts: w.parts, library: w.library}
	schema, reference, ok := v.versions(&item, j, &in)
	if !ok {
		return notTried(Missing), nil
	}
	other := in
	var err error
	if in.events, err = w.library.implied(schema, reference, s.Body, nil); err == nil {
		other.events, err = w.others.implied(schema, reference, s.Body, w.candidate.Reference)
	}
	if err != nil {
		return nil, err
	}
	if w.candidate.Schema != 0 {
		other.schema = w.candidate.Schema
	}
	if w.candidate.Severities != nil {
		other.severities = w.candidate.Severities
	}
	before, err := derive(ctx, w.parts.Validator, w.parts.Keys, &in)
	var after derived
	if err == nil && !before.refused() {
		after, err = derive(ctx, w.parts.Validator, w.parts.Keys, &other)
	}
	switch {
	case errors.Is(err, errKey):
		return notTried(Missing), nil
	case err != nil:
		return nil, err
	case before.refused():
		return notTried(Different), nil
	}
	return w.compare(ctx, j, &in, &other, &before, &after)
}

// compare gives what is otherwise.
func (w *whatIf) compare(ctx context.Context, j *job, in, other *inputs, before, after *derived) ([]Line, error) {
	var lines []Line
	note := func(l Line) {
		if !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	if after.refused() {
		for _, v := range after.found {
			if v.Severity == hub.Grave {
				note(Line{Effect: NewlyFails, Part: partOf(v.Code), Code: v.Code, Rule: v.Rule, Path: plainPath(v.Path)})
			}
		}
		return lines, nil
	}
	for _, c := range findingChanges(before.found, after.found) {
		note(c)
	}
	for _, c := range diff(before.regional, after.regional) {
		note(Line{Effect: ComesOutDifferent, Part: "regional_event", Path: c.Path, Change: c.Kind})
	}
	epoch := cmp.Or(j.entry.NationEpoch, w.parts.Keys.Epoch("nation"))
	sent, err := national(in.events, w.parts.Keys, before.regional, epoch, j.stored.IDsEpoch, in.subject, in.file)
	var would []byte
	if err == nil {
		would, err = national(other.events, w.parts.Keys, after.regional, epoch, j.stored.IDsEpoch, in.subject, in.file)
	}
	if errors.Is(err, errKey) {
		return notTried(Missing), nil
	}
	if err != nil {
		note(Line{Effect: NewlyFails, Part: "national_event", Path: "/"})
		return lines, nil //nolint:nilerr // of which no national event can be made fails
	}
	if bytes.Equal(sent, would) {
		return lines, nil
	}
	for _, c := range diff(sent, would) {
		note(Line{Effect: ComesOutDifferent, Part: "national_event", Path: c.Path, Change: c.Kind})
	}
	result, err := w.parts.Validator.Validate(ctx, validator.SissRicezione, validator.Judge, would)
	if err != nil {
		return nil, err
	}
	for _, v := range result.Violations {
		note(Line{Effect: NewlyFails, Part: "national_event", Code: v.Code, Rule: v.Rule, Path: plainPath(v.Path)})
	}
	return lines, nil
}

// partOf is which part of the hub has a code.
func partOf(code hub.Code) string {
	switch {
	case code < hub.CodeSchemaMissing:
		return "message"
	case code < hub.CodeRule01:
		return "schema"
	case code < hub.CodeNoCase:
		return "rules"
	}
	return "case"
}

// findingChanges are the warnings that come and go.
func findingChanges(before, after []hub.Violation) (lines []Line) {
	type warning struct {
		code       hub.Code
		rule, path string
	}
	set := func(found []hub.Violation) map[warning]bool {
		all := map[warning]bool{}
		for _, v := range found {
			all[warning{v.Code, v.Rule, plainPath(v.Path)}] = true
		}
		return all
	}
	was, is := set(before), set(after)
	for one := range was {
		if !is[one] {
			lines = append(lines, Line{Effect: ComesOutDifferent, Part: "warnings", Code: one.code, Rule: one.rule, Path: one.path, Change: removed})
		}
	}
	for one := range is {
		if !was[one] {
			lines = append(lines, Line{Effect: ComesOutDifferent, Part: "warnings", Code: one.code, Rule: one.rule, Path: one.path, Change: added})
		}
	}
	return lines
}

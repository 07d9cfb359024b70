package replay

import (
	"slices"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// noteRefused counts a refused request, or several alike. Its content was never kept: its codes alone
// tell whether it may pass.
func (w *whatIf) noteRefused(part *WhatIfReport, j *job) {
	e := &j.entry
	s := Sender{Participant: w.parts.Participants[e.Participant], Product: "-"}
	n := int64(max(1, e.Count))
	t := part.sender(s)
	t.Refused += n
	lifted, may := w.mayPass(e.Codes, e.At, s.Participant)
	if !may {
		return
	}
	t.MayPass += n
	for _, code := range lifted {
		part.line(Line{Sender: s, Effect: MayNewlyPass, Part: partOf(code), Code: code}, n)
	}
}

// mayPass gives the codes that a candidate may lift; may is true if all
// others may not be why it was refused.
func (w *whatIf) mayPass(codes []hub.Code, at time.Time, participant string) (lifted []hub.Code, may bool) {
	for _, code := range codes {
		switch {
		case w.mayLift(code, at, participant):
			lifted = append(lifted, code)
		case !maySpare(code):
			return nil, false
		}
	}
	return lifted, len(lifted) > 0
}

// mayLift tells whether what a code says may be otherwise under the candidate.
func (w *whatIf) mayLift(code hub.Code, at time.Time, participant string) bool {
	c := w.candidate
	if c.Schema != 0 && partOf(code) == "schema" {
		return true
	}
	// What is not in a list today may be in the other one.
	if c.Reference != nil && code == hub.CodeRule16 {
		return true
	}
	if c.Severities == nil {
		return false
	}
	if code == hub.CodeRule21 { // the day of the cut-off may be another
		return true
	}
	rules := sinba.Rules()
	rule := slices.IndexFunc(rules, func(r sinba.Rule) bool { return r.Code == code && r.Name() != "" })
	if rule < 0 {
		return false
	}
	softened := c.Severities.Context(at, participant).Soften([]hub.Violation{{Code: code, Severity: hub.Grave, Rule: rules[rule].Name()}})
	return softened[0].Severity != hub.Grave
}

// maySpare tells whether a request may have been refused without a code: it is told as a warning, too, or
// follows from what was refused before in the case, which may pass now.
func maySpare(code hub.Code) bool {
	if slices.Contains([]hub.Code{
		hub.CodeRule03, hub.CodeRule05, hub.CodeRule07, hub.CodeRule09, hub.CodeRule12, hub.CodeRule14, hub.CodeRule24,
		hub.CodeSameNumber, hub.CodeNumberGap, hub.CodeOpeningDate, hub.CodeIncongruent,
		hub.CodeNoCase, hub.CodeNotInState, hub.CodeEventAnnulled,
	}, code) {
		return true
	}
	return slices.ContainsFunc(sinba.Rules(), func(r sinba.Rule) bool { return r.Code == code && r.Severity != hub.Grave })
}

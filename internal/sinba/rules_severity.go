package sinba

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// defaultCutOff is the day from which on a case must have moved to be loaded (domain, 0).
const defaultCutOff day = 2012_01_01

// Leniency lets one rule warn instead of refuse until a day, for one participant or for all: a rule
// that is new, or that a vendor's software cannot follow yet.
type Leniency struct {
	// Rule is BR-nn.
	Rule string
	// Participant is its name in the registry, empty for all.
	Participant string
	// BlocksFrom is the day, YYYY-MM-DD in Italy, from which the rule refuses.
	BlocksFrom string
}

// Severities is what an operator decided about the rules. It is made once, is never changed and
// serves any number of goroutines. The zero value and nil are the released table as it is.
type Severities struct {
	cutOff  day
	lenient []leniency
	digest  [sha256.Size]byte
}

// leniency is a Leniency with its day as the instant at which it ends.
type leniency struct {
	Leniency

	at time.Time
}

// rulesInAll is how many numbers of rules there are (domain, 9.5).
const rulesInAll = 26

// firmRules are the rules that never only warn: 20 keeps identities out of what is shown, 22 keeps
// an adoption's two identities apart, 25 a case with its child; 23 and 24 are the authorisation; and
// without 1 and 2 there is nothing to store an event by.
func firmRules() []string {
	return []string{"BR-01", "BR-02", "BR-20", "BR-22", "BR-23", "BR-24", "BR-25"}
}

// SeverityError tells which part of a severity configuration cannot be. Its text holds only what the
// operator wrote.
type SeverityError struct{ What, Where string }

// Error gives what is wrong and where.
func (e *SeverityError) Error() string { return e.Where + ": " + e.What }

// NewSeverities checks a configuration: the day from which on a case must have moved to be loaded
// (YYYY-MM-DD; empty for 2012-01-01) and the leniencies. All faults are told at once.
func NewSeverities(cutOff string, lenient []Leniency) (*Severities, error) {
	s := &Severities{cutOff: defaultCutOff}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, &catalogueError{"time zone not found", "Europe/Rome"}
	}
	var faults []error
	say := func(where, what string) { faults = append(faults, &SeverityError{what, where}) }
	if cutOff != "" {
		d, rest, ok := parseDate([]byte(cutOff))
		if !ok || len(rest) > 0 {
			say("cut_off", "must be a day like 2012-01-01")
		}
		s.cutOff = d
	}
	seen := map[[2]string]bool{}
	for _, l := range lenient {
		key := [2]string{l.Rule, l.Participant}
		where := strings.TrimSuffix(l.Rule+" "+l.Participant, " ")
		d, rest, ok := parseDate([]byte(l.BlocksFrom))
		switch {
		case !known(l.Rule):
			say(where, "must name a rule, BR-01 to BR-26")
		case slices.Contains(firmRules(), l.Rule):
			say(where, "this rule protects identity, authorisation or what is stored: it can never only warn")
		case !ok || len(rest) > 0:
			say(where, "must have a day like 2027-03-31")
		case seen[key]:
			say(where, "stands twice")
		}
		seen[key] = true
		at := time.Date(d.year(), time.Month(d.month()), d.dayOfMonth(), 0, 0, 0, 0, rome)
		s.lenient = append(s.lenient, leniency{l, at})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	// What is said of one participant goes before what is said of all.
	slices.SortFunc(s.lenient, func(a, b leniency) int {
		return strings.Compare(b.Participant+" "+b.Rule, a.Participant+" "+a.Rule)
	})
	s.digest = s.sum()
	return s, nil
}

// known tells whether a text is the name of a rule.
func known(rule string) bool {
	digits, ok := strings.CutPrefix(rule, "BR-")
	n, isNumber := number2(digits)
	return ok && isNumber && n >= 1 && n <= rulesInAll
}

// number2 reads two digits.
func number2(text string) (int, bool) {
	n, ok := digits([]byte(text), 2)
	return n, ok && len(text) == 2
}

// sum is the digest of everything that may change a verdict; zero if nothing was configured.
func (s *Severities) sum() [sha256.Size]byte {
	if s.cutOff == defaultCutOff && len(s.lenient) == 0 {
		return [sha256.Size]byte{}
	}
	var text bytes.Buffer
	text.Write(appendDigits(nil, s.cutOff.year(), 4))
	text.Write(appendDigits(nil, int(s.cutOff)%10_000, 4))
	for _, l := range s.lenient {
		text.WriteString("\n" + l.Rule + " " + l.Participant + " " + l.BlocksFrom)
	}
	return sha256.Sum256(text.Bytes())
}

// Digest names the configuration in the record of an accepted event, so that replay knows under
// which one it was judged: all zeroes for the table of RulesVersion as it was released, else SHA-256
// of the cut-off date as yyyymmdd and a line `rule participant day` for each leniency.
func (s *Severities) Digest() [sha256.Size]byte {
	if s == nil {
		return [sha256.Size]byte{}
	}
	return s.digest
}

// Context gives what a verdict about an event of one participant depends on.
func (s *Severities) Context(now time.Time, participant string) RuleContext {
	ctx := RuleContext{Now: now}
	if s == nil {
		return ctx
	}
	ctx.CutOff = s.cutOff.time()
	for i := range s.lenient {
		if l := &s.lenient[i]; l.Participant == "" || l.Participant == participant {
			ctx.Lenient = append(ctx.Lenient, *l)
		}
	}
	return ctx
}

// cutOff is the context's, or the default.
func (ctx RuleContext) cutOff() day {
	if ctx.CutOff.IsZero() {
		return defaultCutOff
	}
	return dayOf(ctx.CutOff, time.UTC)
}

// Soften turns what would refuse into a warning where the configuration says so for now, and has the
// violation tell from when it refuses. Judge does it to its own findings; rules that are judged
// elsewhere, with a case's history, call it once with theirs. It changes found in place.
func (ctx RuleContext) Soften(found []hub.Violation) []hub.Violation {
	if len(ctx.Lenient) == 0 {
		return found
	}
	for i := range found {
		v := &found[i]
		if v.Severity != hub.Grave || v.Rule == "" {
			continue
		}
		// The first is the one for this participant, if there is one.
		at := slices.IndexFunc(ctx.Lenient, func(l leniency) bool { return l.Rule == v.Rule })
		if at >= 0 && ctx.Now.Before(ctx.Lenient[at].at) {
			v.Severity, v.BlocksFrom = hub.Lieve, ctx.Lenient[at].BlocksFrom
		}
	}
	return found
}

package casefile

import (
	"slices"
	"strconv"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// NeedsHistory tells whether an event can be judged only with all events of its case: it does not
// stand after all of them, or refers to one of them.
func (s *State) NeedsHistory(op sinba.Operation, sequence int32) bool {
	return op != sinba.Inserimento || sequence < s.LastNumber
}

// Judge judges an event that asks to be taken into its case, in the state at its place (domain, 9.4
// and 9.5), and gives the state of the case with it. history are all events of the case; it may be
// nil if NeedsHistory says so. The paths of the violations begin below the message's root. If any of
// them is GRAVE, and the caller does not soften it, the case stays as it is and the state given is of
// no use: which events a case takes is configuration, what they make of it is not.
func Judge(s *State, history []Event, e *Event) (State, []hub.Violation) {
	v := verdict{event: e}
	if len(e.Facts.Items) > MaxItems {
		v.find(hub.CodeTooManyItems, hub.Grave, pathType, "", "")
		return *s, v.found
	}
	var after State
	if s.NeedsHistory(e.Operation, e.Sequence) {
		after = v.judgeWithin(s, history)
	} else {
		after = v.judgeAtEnd(s)
	}
	if i := slices.IndexFunc(v.found, isNoCase); i >= 0 {
		// One cause: numbers and all else mean nothing without a case.
		return *s, v.found[i : i+1]
	}
	return after, v.found
}

// refused tells whether anything GRAVE was found.
func (v *verdict) refused() bool {
	return slices.ContainsFunc(v.found, func(f hub.Violation) bool { return f.Severity == hub.Grave })
}

// isNoCase tells whether a violation says that there is no case that takes events.
func isNoCase(f hub.Violation) bool {
	return f.Code == hub.CodeNoCase || f.Code == hub.CodeCaseAnnulled
}

// MaxItems is how many items a case may have, far above any real one: what a case costs to judge, one
// after the other under its lock, is bounded by them.
const MaxItems = 1_000

// verdict collects what is found of one event.
type verdict struct {
	event *Event
	found []hub.Violation
}

// The paths that the life cycle complains of.
const (
	pathType     = "/Testata/TipoEvento"
	pathNumber   = "/Testata/ProgressivoCartella"
	pathRefersTo = "/Testata/IdEventoRiferito"
	pathSubject  = "/Soggetto/IdAssistitoLocale"
	pathOpened   = "/Cartella/DataApertura"
	pathIdentity = "/Soggetto/Identificativo"
)

// find adds a violation.
func (v *verdict) find(code hub.Code, severity hub.Severity, path, reason, about string) {
	rule := ""
	if code >= hub.CodeRule01 && code < hub.CodeNoCase {
		rule = "BR-" + string(code[len(code)-2:])
	}
	v.found = append(v.found, hub.Violation{Code: code, Severity: severity, Rule: rule, Path: path, Reason: reason, About: about})
}

// judgeAtEnd judges a new event that stands after all others.
func (v *verdict) judgeAtEnd(s *State) State {
	v.number(s.LastNumber, s.LastNumber == v.event.Sequence)
	v.identity(s)
	after := s.clone()
	v.place(s, &after)
	after.LastNumber = max(s.LastNumber, v.event.Sequence)
	return after
}

// judgeWithin judges an event that stands before others, or refers to one.
func (v *verdict) judgeWithin(s *State, history []Event) State {
	if s.Status == Annulled {
		v.find(hub.CodeCaseAnnulled, hub.Grave, pathType, "", "")
		return *s
	}
	with := *v.event
	for i := range history {
		with.Position = max(with.Position, history[i].Position+1)
	}
	e := &with
	v.number(s.LastNumber, slices.ContainsFunc(history, func(h Event) bool { return h.Sequence == e.Sequence }))
	was := newLine(history)
	at := e
	if e.Operation != sinba.Inserimento {
		original, ok := v.original(s, was)
		if !ok || v.refused() {
			return *s
		}
		at = original
	}
	v.identity(s)
	if e.Operation != sinba.Annullamento {
		before := was.fold(at)
		after := before.clone()
		if !v.place(&before, &after) {
			return *s
		}
	}
	after := newLine(append(slices.Clip(history), with)).fold(nil)
	if more := after.Incongruent - s.Incongruent; more > 0 {
		v.find(hub.CodeIncongruent, hub.Lieve, pathNumber, "count", strconv.Itoa(int(more)))
	}
	return after
}

// number judges ProgressivoCartella: an equal number and a gap are accepted.
func (v *verdict) number(last int32, taken bool) {
	first, until := int64(last)+1, int64(v.event.Sequence)-1
	switch {
	case taken:
		v.find(hub.CodeSameNumber, hub.Lieve, pathNumber, "", "")
	case first == until:
		v.find(hub.CodeNumberGap, hub.Lieve, pathNumber, "missing", strconv.FormatInt(first, 10))
	case first < until:
		v.find(hub.CodeNumberGap, hub.Lieve, pathNumber, "missing", strconv.FormatInt(first, 10)+"-"+strconv.FormatInt(until, 10))
	}
}

// original is BR-02: what an R or A refers to, an event of this case and of the same type that is
// not annulled.
func (v *verdict) original(s *State, l *line) (*Event, bool) {
	e := v.event
	original, ok := l.root[e.RefersTo]
	switch {
	case s.Status == None:
		v.find(hub.CodeNoCase, hub.Grave, pathType, "", "")
	case !ok:
		v.find(hub.CodeRule02, hub.Grave, pathRefersTo, "unknown", "")
	case l.dead[original.ID]:
		v.find(hub.CodeEventAnnulled, hub.Grave, pathRefersTo, "", "")
	default:
		v.againstOriginal(original, l)
		return original, true
	}
	return nil, false
}

// againstOriginal compares an R or A with the live event it refers to.
func (v *verdict) againstOriginal(original *Event, l *line) {
	e := v.event
	if e.Type != original.Type {
		v.find(hub.CodeRule02, hub.Grave, pathType, "type", "")
	}
	if e.Operation == sinba.Rettifica && e.Facts.Subject != original.Facts.Subject {
		v.find(hub.CodeRule02, hub.Grave, pathSubject, "subject", "")
	}
	if e.Operation == sinba.Annullamento && l.places[0].original == original && len(l.places) > 1 {
		v.find(hub.CodeOpeningHeld, hub.Grave, pathRefersTo, "", "")
	}
}

// place judges content at its place: before is the state there, after becomes the state with it. It
// tells whether the life cycle allows it there.
func (v *verdict) place(before, after *State) bool {
	e := v.event
	if !after.apply(e.Type, &e.Facts) {
		switch {
		case before.Status == None:
			v.find(hub.CodeNoCase, hub.Grave, pathType, "", "")
		case before.Status == Annulled:
			v.find(hub.CodeCaseAnnulled, hub.Grave, pathType, "", "")
		case opens(e.Type, &e.Facts):
			v.find(hub.CodeCaseOpen, hub.Grave, pathType, "", "")
		default:
			v.find(hub.CodeNotInState, hub.Grave, pathType, "state", before.Status.String())
		}
		return false
	}
	if before.Status != None && e.Facts.OpenedOn != before.OpenedOn {
		v.find(hub.CodeOpeningDate, hub.Lieve, pathOpened, "", "")
	}
	if len(after.Items) > MaxItems {
		v.find(hub.CodeTooManyItems, hub.Grave, pathType, "", "")
		return false
	}
	v.rules(before, after)
	return true
}

// identity is BR-25: the event names the child as the case's own events did, wherever it stands among
// them, or replaces such a name. Only the case is asked: what others know of the child says nothing
// here. A case of a child that was adopted takes no other name (BR-22).
func (v *verdict) identity(s *State) {
	f := &v.event.Facts
	if s.Status == None || f.Identity == "" || slices.Contains(s.Identities, f.Identity) {
		return
	}
	switch {
	case !slices.Contains(s.Identities, f.Previous):
		v.find(hub.CodeRule25, hub.Grave, pathIdentity, "", "")
	case s.Frozen:
		v.find(hub.CodeRule22, hub.Grave, pathIdentity, "", "")
	}
}

package casefile

import (
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/sinba"
)

// Fold is the state of a case after all its accepted events, in whatever order they are given.
func Fold(history []Event) State { return newLine(history).fold(nil) }

// Live gives the events of a history that count, in the order of the fold, each with its last
// content: neither those that are annulled nor those that the fold skips.
func Live(history []Event) []Event {
	l := newLine(history)
	var s State
	live := make([]Event, 0, len(l.places))
	for _, p := range l.places {
		if s.apply(p.content.Type, &p.content.Facts) {
			live = append(live, *p.content)
		}
	}
	return live
}

// Original gives the event that an R or A of a history means in the end: the I event, whether its
// reference names that or one of its Rs. The nil id if there is none.
func Original(history []Event, refersTo uuid.UUID) uuid.UUID {
	if original, ok := newLine(history).root[refersTo]; ok {
		return original.ID
	}
	return uuid.Nil
}

// line is a history with its references resolved.
type line struct {
	// places are the live originals in the order of the fold.
	places []place
	// root has the original of every I and R; dead the originals that are annulled.
	root map[uuid.UUID]*Event
	dead map[uuid.UUID]bool
	// last is the highest number of all.
	last int32
	// empty: there was never an event.
	empty bool
}

// place is one live original and what it says today.
type place struct{ original, content *Event }

// newLine resolves the references of a history. An R or A whose reference is not there cannot be
// among accepted events; it is left out.
func newLine(history []Event) *line {
	l := &line{root: make(map[uuid.UUID]*Event, len(history)), dead: map[uuid.UUID]bool{}, empty: len(history) == 0}
	events := make([]*Event, len(history))
	for i := range history {
		events[i] = &history[i]
		l.last = max(l.last, history[i].Sequence)
	}
	// An event is accepted after the one it refers to.
	slices.SortFunc(events, func(a, b *Event) int { return int(a.Position - b.Position) })
	content := make(map[uuid.UUID]*Event, len(history))
	for _, e := range events {
		switch e.Operation {
		case sinba.Inserimento:
			l.root[e.ID] = e
			content[e.ID] = e
		case sinba.Rettifica:
			original, ok := l.root[e.RefersTo]
			if !ok {
				continue
			}
			l.root[e.ID] = original
			if now := content[original.ID]; now == original || now.before(e) {
				content[original.ID] = e
			}
		case sinba.Annullamento:
			if original, ok := l.root[e.RefersTo]; ok {
				l.dead[original.ID] = true
			}
		}
	}
	for _, e := range events {
		if e.Operation == sinba.Inserimento && !l.dead[e.ID] {
			l.places = append(l.places, place{e, content[e.ID]})
		}
	}
	slices.SortStableFunc(l.places, func(a, b place) int {
		if a.original.before(b.original) {
			return -1
		}
		return 1
	})
	return l
}

// fold applies the live events before an original, or all of them.
func (l *line) fold(until *Event) State {
	var s State
	for _, p := range l.places {
		if until != nil && !p.original.before(until) {
			break
		}
		if !s.apply(p.content.Type, &p.content.Facts) {
			s.Incongruent++
		}
	}
	s.LastNumber = l.last
	if len(l.places) == 0 && !l.empty && until == nil {
		s = State{Status: Annulled, LastNumber: l.last}
	}
	return s
}

// clone gives a state that can be changed without changing s.
func (s *State) clone() State {
	c := *s
	c.Items, c.Identities = slices.Clone(s.Items), slices.Clone(s.Identities)
	return c
}

// apply goes on to what an event makes of the case; false, and nothing changed, if the life cycle
// does not allow it here.
func (s *State) apply(t sinba.EventType, f *sinba.Facts) bool {
	status, ok := next(s.Status, t, f)
	if !ok {
		return false
	}
	if s.Status == None {
		s.OpenedOn = f.OpenedOn
	}
	s.Status = status
	if f.TakenOn != 0 {
		s.TakenOn = f.TakenOn
	}
	if f.BornIn != 0 {
		s.BornIn, s.Presumed, s.Citizenship = f.BornIn, f.Presumed, f.Citizenship
	}
	if n := len(f.Minors); n > 0 {
		s.Unaccompanied = f.Minors[n-1].Unaccompanied
	}
	if f.Family.Told {
		s.Mother, s.Father = f.Family.Mother, f.Family.Father
	}
	if f.Identity != "" && !slices.Contains(s.Identities, f.Identity) {
		s.Identities = append(s.Identities, f.Identity)
	}
	s.Frozen = s.Frozen || f.Adopted
	for i := range f.Items {
		s.put(&f.Items[i])
	}
	return true
}

// put adds or replaces an item. A service that ended is of no interest to any rule; placements and
// care are kept, since others must not overlap them, and orders are, since others name them.
func (s *State) put(told *sinba.Item) {
	item := Item{
		Kind: told.Kind, ID: told.ID, Start: told.Start, End: told.End, Closed: told.Closed,
		Residential: told.Residential, Where: told.Where,
	}
	at := slices.IndexFunc(s.Items, func(i Item) bool { return i.Kind == item.Kind && i.ID == item.ID })
	switch {
	case item.Kind == sinba.ItemService && item.Closed:
		if at >= 0 {
			s.Items = slices.Delete(s.Items, at, at+1)
		}
	case at >= 0:
		s.Items[at] = item
	default:
		s.Items = append(s.Items, item)
	}
}

package casefile

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// File is one of several cases of a child, with all its accepted events in the order of acceptance.
// Structures have the same name in the Facts of all of them (sinba.RegionalFacts).
type File struct {
	// Ente is whose case it is.
	Ente   int32
	Events []Filed
}

// Filed is an accepted event.
type Filed struct {
	Event

	// Message is IdRicevuta, At when it was received.
	Message uuid.UUID
	At      time.Time
}

// before tells which of two enti's events was received first; of one moment, the one whose id was
// made first.
func (f *Filed) before(o *Filed) bool {
	return cmp.Or(f.At.Compare(o.At), slices.Compare(f.Message[:], o.Message[:])) < 0
}

// Finding is what two enti's events together say of a child, and neither alone (domain, 9.5). No
// answer may depend on it.
type Finding struct {
	// Rule is hub.CodeRule14 or hub.CodeRule22.
	Rule hub.Code
	// Later and Earlier are IdRicevuta of the two events, by when they were received.
	Later, Earlier uuid.UUID
}

// maxOverlaps is how many overlaps of two cases are told: no child has as many, and a person who is
// told of them looks at both cases.
const maxOverlaps = 100

// Across finds what the cases of one child say together where they are of different enti:
//
//   - BR-14: a placement of one overlaps a placement of the other in another structure, or residential
//     care. A structure that is in no list has no name and counts as another one. It is told by the
//     events that told of the two first, so that changing or ending them is not told again.
//   - BR-22: one told of the child's adoption and the other goes on: with an event received after that
//     which does not only close, or because its case was open at that moment.
//
// What is found depends on nothing but what was accepted: looking again finds the same, and more only
// for more events.
func Across(files []File) []Finding {
	var found []Finding
	told := make([]toldFile, len(files))
	for i := range files {
		told[i] = newToldFile(&files[i])
	}
	for i := range told {
		for j := range told[:i] {
			if told[i].Ente == told[j].Ente {
				continue
			}
			found = append(found, overlapsAcross(&told[i], &told[j])...)
			found = append(found, goesOn(&told[i], &told[j])...)
			found = append(found, goesOn(&told[j], &told[i])...)
		}
	}
	return found
}

// toldFile is a case folded, with which event told what.
type toldFile struct {
	*File

	// stays are the residential items, each with the event that told of it first.
	stays []stay
	// adoption is the first live event that told of one, nil if there is none.
	adoption *Filed
}

// stay is where a child lives, or lived.
type stay struct {
	Item

	by *Filed
}

func newToldFile(file *File) toldFile {
	t := toldFile{File: file}
	history := make([]Event, len(file.Events))
	filed := make(map[uuid.UUID]*Filed, len(file.Events))
	for i := range file.Events {
		history[i] = file.Events[i].Event
		filed[history[i].ID] = &file.Events[i]
	}
	type key struct {
		kind ItemKind
		id   string
	}
	first := map[key]*Filed{}
	var s State
	for _, p := range newLine(history).places {
		if !s.apply(p.content.Type, &p.content.Facts) {
			continue
		}
		by := filed[p.original.ID]
		if p.content.Facts.Adopted && t.adoption == nil {
			t.adoption = filed[p.content.ID]
		}
		for i := range p.content.Facts.Items {
			item := &p.content.Facts.Items[i]
			if k := (key{item.Kind, item.ID}); first[k] == nil {
				first[k] = by
			}
		}
	}
	for _, item := range s.Items {
		if item.Residential && (item.Kind == sinba.ItemPlacement || item.Kind == sinba.ItemCare) {
			t.stays = append(t.stays, stay{item, first[key{item.Kind, item.ID}]})
		}
	}
	return t
}

// overlapsAcross is BR-14 between two cases.
func overlapsAcross(a, b *toldFile) []Finding {
	var found []Finding
	for i := range a.stays {
		for j := range b.stays {
			one, other := &a.stays[i], &b.stays[j]
			placements := one.Kind == sinba.ItemPlacement && other.Kind == sinba.ItemPlacement
			differ := one.Kind != other.Kind || placements && (one.Where != other.Where || one.Where == sinba.Altro)
			if !differ || !overlap(one.Start, one.End, &other.Item) {
				continue
			}
			if found = append(found, together(hub.CodeRule14, one.by, other.by)); len(found) == maxOverlaps {
				return found
			}
		}
	}
	return found
}

// goesOn is BR-22 between a case that told of an adoption and another one.
func goesOn(adopted, other *toldFile) []Finding {
	if adopted.adoption == nil {
		return nil
	}
	var found []Finding
	var before []Event
	var last *Filed
	for i := range other.Events {
		e := &other.Events[i]
		switch {
		case e.before(adopted.adoption):
			before, last = append(before, e.Event), e
		case e.Operation == sinba.Inserimento && !e.Facts.Closing:
			found = append(found, together(hub.CodeRule22, adopted.adoption, e))
		}
	}
	if s := Fold(before); s.Status == Open || s.Status == InCharge {
		found = append(found, together(hub.CodeRule22, adopted.adoption, last))
	}
	return found
}

// together makes a finding of two events.
func together(rule hub.Code, a, b *Filed) Finding {
	if a.before(b) {
		a, b = b, a
	}
	return Finding{Rule: rule, Later: a.Message, Earlier: b.Message}
}

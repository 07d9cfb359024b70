package casefile

import (
	"strings"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// rules are the rules beyond the schema that need the case's own history (domain, 9.5).
func (v *verdict) rules(before, after *State) {
	v.frozen(before)
	v.placesOfLife(before, after)
	v.overlaps(after)
	v.orders(after)
	v.stillOpen(before)
	v.days(before)
	v.unaccompanied(before)
}

// frozen is BR-22 inside the case: after the adoption only what closes.
func (v *verdict) frozen(before *State) {
	if before.Frozen && v.event.Operation == sinba.Inserimento && !v.event.Facts.Closing {
		v.find(hub.CodeRule22, hub.Grave, pathType, "", "")
	}
}

// placesOfLife is BR-13: LuogoVita agrees with what is open. Before a case is in charge nothing can
// be open yet.
func (v *verdict) placesOfLife(before, after *State) {
	if before.Status == Open || before.Status == None && after.Status == Open {
		return
	}
	care, placement := after.living(sinba.ItemCare), after.living(sinba.ItemPlacement)
	for _, m := range v.event.Facts.Minors {
		path := m.Path + "/LuogoVita"
		switch {
		case v.event.Type == sinba.CaricamentoIniziale && strings.Contains(path, "/PresaInCarico/"):
			// Where the child lived when it was taken in charge, not where it lives.
		case m.Place == "3" && !care:
			v.find(hub.CodeRule13, hub.Lieve, path, "care", "")
		case m.Place == "4" && !placement:
			v.find(hub.CodeRule13, hub.Lieve, path, "placement", "")
		case m.Place != "3" && care:
			v.find(hub.CodeRule13, hub.Lieve, path, "no_care", "")
		case m.Place != "4" && placement:
			v.find(hub.CodeRule13, hub.Lieve, path, "no_placement", "")
		}
	}
}

// living tells whether a residential item of a kind is open.
func (s *State) living(kind ItemKind) bool {
	for i := range s.Items {
		if item := &s.Items[i]; item.Kind == kind && item.Residential && item.open() {
			return true
		}
	}
	return false
}

// open tells whether an item has not ended.
func (i *Item) open() bool { return !i.Closed && i.End == 0 }

// overlaps is BR-14. Intervals are half open: out and in on one day is fine.
func (v *verdict) overlaps(after *State) {
	for _, told := range v.event.Facts.Items {
		if told.Kind != sinba.ItemPlacement && (told.Kind != sinba.ItemCare || !told.Residential) {
			continue
		}
		structures, care := false, false
		for i := range after.Items {
			other := &after.Items[i]
			if !other.Residential || other.Kind == told.Kind && other.ID == told.ID || !overlap(told.Start, told.End, other) {
				continue
			}
			structures = structures || told.Kind == sinba.ItemPlacement && other.Kind == sinba.ItemPlacement && told.Where != other.Where
			care = care || told.Kind != other.Kind
		}
		if structures {
			v.find(hub.CodeRule14, hub.Grave, told.Path, "structures", "")
		}
		if care {
			v.find(hub.CodeRule14, hub.Lieve, told.Path, "care", "")
		}
	}
}

// overlap tells whether two residential items, one of them from start to end, share a day; an empty
// interval has none.
func overlap(start, end sinba.Date, with *Item) bool {
	const open = sinba.Date(99_991_231)
	endWith := with.End
	if end == 0 {
		end = open
	}
	if endWith == 0 {
		endWith = open
	}
	return max(start, with.Start) < min(end, endWith)
}

// orders is BR-15: what a court decided names its order.
func (v *verdict) orders(after *State) {
	for _, told := range v.event.Facts.Items {
		switch {
		case !told.Judicial:
		case told.Order == "":
			v.find(hub.CodeRule15, hub.Lieve, told.Path, "missing", "")
		case !after.knows(told.Order):
			v.find(hub.CodeRule15, hub.Lieve, told.Path+"/IdProvvedimento", "", "")
		}
	}
}

// knows tells whether an order was told.
func (s *State) knows(order string) bool {
	for i := range s.Items {
		if s.Items[i].Kind == sinba.ItemOrder && s.Items[i].ID == order {
			return true
		}
	}
	return false
}

// stillOpen is BR-17: nothing may be open when the case is closed.
func (v *verdict) stillOpen(before *State) {
	if v.event.Type != sinba.ChiusuraCartella {
		return
	}
	names := map[ItemKind]string{
		sinba.ItemService: "Intervento", sinba.ItemCare: "Affidamento", sinba.ItemPlacement: "InserimentoStruttura",
	}
	var open []string
	for i := range before.Items {
		item := &before.Items[i]
		if name := names[item.Kind]; name != "" && item.open() {
			open = append(open, name)
			delete(names, item.Kind)
		}
	}
	if len(open) > 0 {
		v.find(hub.CodeRule17, hub.Grave, pathType, "open", strings.Join(open, ", "))
	}
}

// days are BR-05, 06 and 18 of an event that does not say itself when the child was born or taken in
// charge. Of the birth the case knows the month, of a presumed one the year: the doubt speaks for the
// sender.
func (v *verdict) days(before *State) {
	f := &v.event.Facts
	if f.ClosedOn != 0 && f.ClosedOn < before.TakenOn {
		v.find(hub.CodeRule06, hub.Grave, "/Dettaglio/ChiusuraCartella/DataChiusura", "before_charge", "DataChiusura")
	}
	if f.BornIn != 0 || before.BornIn == 0 {
		return
	}
	if f.TakenOn != 0 {
		path := "/Dettaglio/" + takenIn(v.event.Type) + "/DataPresaInCarico"
		switch age := before.youngest(f.TakenOn); {
		case age >= 21:
			v.find(hub.CodeRule05, hub.Grave, path, "too_old", "DataPresaInCarico")
		case age >= 18:
			v.find(hub.CodeRule05, hub.Lieve, path, "adult", "DataPresaInCarico")
		}
	}
	if f.OfAge && before.oldest(f.ClosedOn) < 18 {
		v.find(hub.CodeRule18, hub.Lieve, "/Dettaglio/ChiusuraCartella/MotivazioneChiusuraCarico", "minor", "MotivazioneChiusuraCarico")
	}
}

// takenIn is the body that has DataPresaInCarico. One without Anagrafica is no Fotografia (BR-26).
func takenIn(t sinba.EventType) string {
	if t == sinba.RiaperturaCartella {
		return "RiaperturaCartella"
	}
	return "PresaInCarico"
}

// youngest is the child's age in whole years on a day if it was born on the last day it may have
// been, oldest if on the first.
func (s *State) youngest(on sinba.Date) int32 {
	year, month := int32(on/10_000), int32(on/100%100)
	if s.Presumed || month <= s.BornIn%100 {
		return year - s.BornIn/100 - 1
	}
	return year - s.BornIn/100
}

func (s *State) oldest(on sinba.Date) int32 {
	year, month := int32(on/10_000), int32(on/100%100)
	if !s.Presumed && month < s.BornIn%100 {
		return year - s.BornIn/100 - 1
	}
	return year - s.BornIn/100
}

// unaccompanied is BR-09 between an event and what the case was told before: an unaccompanied foreign
// minor is neither Italian nor of the Union, and lives with neither parent.
func (v *verdict) unaccompanied(before *State) {
	f := &v.event.Facts
	for _, m := range f.Minors {
		path := m.Path + "/MinoreStranieroNoAcc"
		if m.Unaccompanied && f.BornIn == 0 && before.Citizenship == sinba.CitizenshipEU {
			v.find(hub.CodeRule09, hub.Grave, path, "citizen", "CodiceCittadinanza")
		}
		if m.Unaccompanied && !f.Family.Told && (before.Mother || before.Father) {
			v.find(hub.CodeRule09, hub.Lieve, path, "parent", "ComposizioneFamiglia")
		}
	}
	if f.Family.Told && len(f.Minors) == 0 && before.Unaccompanied && (f.Family.Mother || f.Family.Father) {
		v.find(hub.CodeRule09, hub.Lieve, f.Family.Path+"/ComposizioneFamiglia", "parent", "ComposizioneFamiglia")
	}
}

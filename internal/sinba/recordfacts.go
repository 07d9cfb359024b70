package sinba

import "strings"

// fact is one block of an event that a record may be made from: a Valutazione, the DatiMinore in
// it, an Anagrafica.
type fact struct {
	kind string
	// day is when it held: the block's own business date, or the day of the event where the block
	// has none.
	day day
	// values are by leaf, those of containers inside the block with their name before: Padre/…
	values map[string][]string
}

// first gives a leaf's first value, empty if there is none. A free code that the hub did not keep
// says nothing.
func (f *fact) first(name string) string {
	if f == nil || len(f.values[name]) == 0 || f.values[name][0] == Altro {
		return ""
	}
	return f.values[name][0]
}

// date reads a date leaf, zero if absent.
func (f *fact) date(name string) day {
	d, _ := parseDay([]byte(f.first(name)))
	return d
}

// spell says which leaves of a block tell its id, its begin and its end.
type spell struct{ id, begin, end string }

// spells are the blocks that begin, change and end under one id.
func spells(kind string) (spell, bool) {
	switch kind {
	case "Intervento":
		return spell{"IdIntervento", "DataInizioPrestazione", "DataFinePrestazione"}, true
	case "Affidamento":
		return spell{"IdAffidamento", "DataInizio", "DataFine"}, true
	case "InserimentoStruttura":
		return spell{"IdInserimento", "DataIngresso", "DataDimissione"}, true
	case "ProvvedimentoGiudiziario":
		return spell{"IdProvvedimento", "DataProvvedimentoGiudiziario", "DataCessazione"}, true
	}
	return spell{}, false
}

// dateOf is the leaf that dates a block which happens once, empty for one without a date of its
// own; ok is false for what no record is made from.
func dateOf(kind string) (leaf string, ok bool) {
	switch kind {
	case "Segnalazione":
		return "DataSegnalazione", true
	case "PresaInCarico":
		return "DataPresaInCarico", true
	case "Valutazione":
		return "DataValutazione", true
	case "NucleoFamiliare":
		return "DataRiferimento", true
	case "ChiusuraCartella":
		return "DataChiusura", true
	case "RiaperturaCartella":
		return "DataRiapertura", true
	case "Anagrafica", "AperturaCartella", "DatiMinore":
		return "", true
	}
	return "", false
}

// recordReader collects the facts of one event.
type recordReader struct {
	ev *Event
	// inside and prefix are by element: the innermost fact around it and the path from there.
	inside []*fact
	prefix []string
	facts  []*fact
	// around is the fact in which another one stands.
	around map[*fact]*fact
}

// readFacts gives an event's facts in document order, dated.
func readFacts(ev *Event, occurred day) []*fact {
	r := recordReader{
		ev: ev, inside: make([]*fact, len(ev.elems)), prefix: make([]string, len(ev.elems)), around: map[*fact]*fact{},
	}
	for i := 1; i < len(ev.elems); i++ {
		r.element(i)
	}
	for _, f := range r.facts {
		f.day = r.dayOf(f, occurred)
	}
	return r.facts
}

// element takes one element: a block, a container inside one, or a leaf.
func (r *recordReader) element(i int) {
	n, up := &r.ev.cat.nodes[r.ev.elems[i].node], r.ev.elems[i].parent
	around := r.inside[up]
	if n.typ != nil {
		if around != nil {
			name := r.prefix[up] + n.name
			around.values[name] = append(around.values[name], r.ev.value(i))
		}
		return
	}
	_, phased := spells(n.name)
	if _, once := dateOf(n.name); !phased && !once {
		r.inside[i], r.prefix[i] = around, r.prefix[up]+n.name+"/"
		return
	}
	f := &fact{kind: n.name, values: map[string][]string{}}
	r.inside[i] = f
	r.around[f] = around
	r.facts = append(r.facts, f)
}

// dayOf dates a fact: DatiMinore by the block around it.
func (r *recordReader) dayOf(f *fact, occurred day) day {
	own := day(0)
	s, phased := spells(f.kind)
	switch leaf, _ := dateOf(f.kind); {
	case f.kind == "DatiMinore" && r.around[f] != nil:
		return r.dayOf(r.around[f], occurred)
	case f.kind == "AperturaCartella":
		own = r.ev.day(r.ev.cat.at.openedOn)
	case phased && f.first("Fase") == "APERTURA":
		own = f.date(s.begin)
	case phased && f.first("Fase") == "CHIUSURA":
		own = f.date(s.end)
	case leaf != "":
		own = f.date(leaf)
	}
	if own == 0 {
		return occurred
	}
	return own
}

// projection makes one record.
type projection struct {
	// at is the reference date; since is the same day a year before, the last one that does not
	// count as one of the twelve months.
	at, since day
	record    Record
	// facts are in fold order, then in document order.
	facts []*fact
	// opened is the first DataApertura that an event tells.
	opened day
	// unknownService says that a service was given whose code the hub did not keep.
	unknownService bool
}

// read adds an event.
func (p *projection) read(ev *Event) {
	if p.opened == 0 {
		p.opened = ev.day(ev.cat.at.openedOn)
	}
	p.facts = append(p.facts, readFacts(ev, dayOf(ev.occurredAt, ev.cat.rome))...)
}

// set gives an attribute a value, nothing for an empty one.
func (p *projection) set(attribute, value string) {
	if value != "" {
		p.record.values[attribute] = value
	}
}

// monthYear is a day as the record writes it, MM/yyyy; empty for no day.
func (d day) monthYear() string {
	if d == 0 {
		return ""
	}
	return string(appendDigits(append(appendDigits(nil, d.month(), 2), '/'), d.year(), 4))
}

// last is the latest fact of a kind by its date up to the reference date; of one day, the last in
// fold order. nil if there is none.
func (p *projection) last(kind string) *fact {
	var found *fact
	for _, f := range p.facts {
		if f.kind == kind && f.day <= p.at && (found == nil || f.day >= found.day) {
			found = f
		}
	}
	return found
}

// run is what the events of one id (of an Affidamento, say) come to at the reference date.
type run struct {
	fact

	begin, end day
}

// open tells whether it has not ended by the reference date.
func (r *run) open() bool { return r.end == 0 }

// runs are the things of a kind that began by the reference date, in the order of their first event.
// What a later event leaves out stays as it was. What happens after the reference date is left out:
// the thing was still open then.
func (p *projection) runs(kind string) []*run {
	s, _ := spells(kind)
	byID := map[string]*run{}
	var all []*run
	for _, f := range p.facts {
		begin := f.date(s.begin)
		if f.kind != kind || begin > p.at {
			continue
		}
		r := byID[f.first(s.id)]
		late := f.day > p.at
		if r != nil && late {
			continue
		}
		if r == nil {
			r = &run{fact: fact{kind: kind, values: map[string][]string{}}}
			byID[f.first(s.id)] = r
			all = append(all, r)
		}
		end := f.endOf(s)
		if late = late || end > p.at; late {
			end = 0
		}
		if r.begin = begin; end != 0 || f.first("Fase") == "APERTURA" {
			r.end = end
		}
		for name, values := range f.values {
			if !late || !strings.HasPrefix(name, "Esito") {
				r.values[name] = values
			}
		}
	}
	return all
}

// endOf is when a thing ended by this event, zero if it has not. One that ends without a date (the
// rules ask for it) ended when the event happened.
func (f *fact) endOf(s spell) day {
	if end := f.date(s.end); end != 0 || f.first("Fase") != "CHIUSURA" {
		return end
	}
	return f.day
}

// latest is the open one that began last, else the one that began last; nil if there is none. Of
// one day, the last in fold order.
func latest(all []*run) *run {
	var found *run
	for _, r := range all {
		if found == nil || r.open() && !found.open() || r.open() == found.open() && r.begin >= found.begin {
			found = r
		}
	}
	return found
}

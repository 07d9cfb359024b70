package sinba

import (
	"errors"
	"strconv"
)

// NationalCodes is what the pseudonym store gives for one event in the national domain, of the
// epoch recorded in its delivery.
type NationalCodes struct {
	// Beneficiary is IDBeneficiario, 20 characters of base32.
	Beneficiary string
	// Rekey gives the national id for a regional one (contract, "What is rekey in both columns is
	// re-keyed from its regional id"). kind is as in RegionalCodes.
	Rekey func(kind, value string) string
}

// Faults of a stored regional event: a defect of the hub, or another mapping's.
var (
	errNotRegional    = errors.New("document is not a regional event")
	errUnknownMapping = errors.New("regional event of an unknown mapping version")
	errNoBeneficiary  = errors.New("national event without a code for the child")
)

// The tags of the national event's root.
const (
	nationalRoot = "EventoNazionale"
	nationalOpen = "<" + nationalRoot + ` xmlns="` + NamespaceNational + `">`
)

// National makes the event that leaves from a stored regional one, by the mapping version recorded
// in it. It is a pure function: the same arguments give the same bytes in every attempt, for ever.
// Dates become months (of Europe/Rome for instants), the birth month a year and an age band, rare
// nations their group, ids are re-keyed again; the result validates against
// xsd/evento-nazionale-v1.xsd.
func (c *Catalogue) National(regional []byte, codes NationalCodes) ([]byte, error) {
	return c.AppendNational(make([]byte, 0, len(regional)), regional, codes)
}

// AppendNational is National behind what stands in to.
func (c *Catalogue) AppendNational(to, regional []byte, codes NationalCodes) ([]byte, error) {
	ev, err := c.readRegional(regional)
	if err != nil {
		return nil, err
	}
	if codes.Beneficiary == "" {
		return nil, errNoBeneficiary
	}
	w := writer{out: append(to, nationalOpen...), event: ev}
	for i := 1; i < len(ev.elems); i++ {
		n := &c.nodes[ev.elems[i].node]
		if n.typ != nil {
			c.nationalLeaf(&w, i, n, codes)
		}
	}
	w.closeTo(0)
	return append(w.out, "</"+nationalRoot+">"...), nil
}

// Route gives the CodiceEnte of a stored regional event: it routes the national answer and stands
// outside the national event.
func (c *Catalogue) Route(regional []byte) (string, error) {
	ev, err := c.readRegional(regional)
	if err != nil {
		return "", err
	}
	return ev.text(c.at.ente), nil
}

// readRegional reads what Regional wrote.
func (c *Catalogue) readRegional(regional []byte) (*Event, error) {
	r := reader{message: &message{cat: c, doc: regional}, regional: true}
	if r.run() != nil || r.root != regionalRoot {
		return nil, errNotRegional
	}
	for rest := r.rootAttributes; ; {
		name, value, left, ok := attribute(rest)
		if !ok {
			return nil, errUnknownMapping
		}
		if string(name) == "mappa" {
			if string(value) != strconv.Itoa(MappingVersion) {
				return nil, errUnknownMapping
			}
			break
		}
		rest = left
	}
	ev := &Event{r.message}
	if i, ok := ev.find(c.at.occurredAt); ok {
		ev.occurredAt, _ = parseInstant(ev.raw(i))
	}
	return ev, nil
}

// nationalLeaf writes one leaf as its class says. What does not change is copied with its escapes.
func (c *Catalogue) nationalLeaf(w *writer, i int, n *node, codes NationalCodes) {
	if n.national == ClassDrop || n.national == ClassRoute {
		return
	}
	raw := w.event.raw(i)
	w.enter(i)
	w.out = append(w.out, n.nationalOpen...)
	switch n.national {
	case ClassKeep, ClassRegion:
		w.out = append(w.out, raw...)
	case ClassPseudonym:
		w.out = appendText(w.out, codes.Beneficiary)
	case ClassRekey:
		w.out = appendText(w.out, w.rekey(n.rekeyKind, i, codes.Rekey))
	case ClassMonth:
		w.out = c.appendMonth(w.out, n, raw)
	case ClassYearBand:
		w.out = append(w.out, raw[:4]...)
		born, _ := parseMonth(raw)
		if band := ageBand(born, dayOf(w.event.occurredAt, c.rome)); band != "" {
			w.out = append(append(append(w.out, n.nationalClose...), '<'), n.outputs[1]...)
			w.out = append(append(append(w.out, '>'), band...), "</"...)
			w.out = append(append(w.out, n.outputs[1]...), '>')
			return
		}
	case ClassGroup:
		if group := w.event.groups[int32(i)]; group != "" { //nolint:gosec // elements are counted in int32
			w.out = appendText(w.out, group)
		} else {
			w.out = append(w.out, raw...)
		}
	case ClassDrop, ClassRoute:
	}
	w.out = append(w.out, n.nationalClose...)
}

// appendMonth appends the month of a date, or of an instant in Europe/Rome.
func (c *Catalogue) appendMonth(to []byte, n *node, raw []byte) []byte {
	if n.typ.kind != kindInstant {
		return append(to, trim(raw)[:monthLength]...)
	}
	t, _ := parseInstant(raw)
	return dayOf(t, c.rome).appendMonth(to)
}

// The bands of FasciaEta are half-open and three years wide: [0,3) is 1, [15,18) is 6.
const (
	bandYears = 3
	bands     = 6
)

// ageBand gives FasciaEta of a child born in one month for an event in another, both judged by
// their months; empty from 18 years on. A birth after the event (a presumed date, or an event told
// with a wrong date) counts as age zero.
func ageBand(born, at day) string {
	months := max(0, (at.year()-born.year())*12+at.month()-born.month())
	band := months/(12*bandYears) + 1
	if band > bands {
		return ""
	}
	return strconv.Itoa(band)
}

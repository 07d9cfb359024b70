package sinba

import "strconv"

// RegionalCodes is what the pseudonym store gives for one event in the regional domain.
type RegionalCodes struct {
	// Pseudonym stands for the child, 20 characters of base32.
	Pseudonym string
	// Rekey gives the stand-in of a local id. kind is the name of the thing (IdProgetto, IdCartella,
	// …), the same wherever a reference to it stands.
	Rekey func(kind, value string) string
}

// regionalRoot opens a regional event; @mappa is the version of the mapping that made it.
const (
	regionalRoot = "EventoRegionale"
	regionalOpen = "<" + regionalRoot + ` xmlns="` + NamespaceRegional + `" mappa="`
)

// Regional makes the form of an event that is stored: the same paths and names as in the message,
// without what foglie.tsv drops; the child as a Pseudonimo in the place of its identifier; local ids
// re-keyed; the birth date as its month; the municipality as its region; free codes that are in no
// closed list as `altro`; rare nations with their group; values as in the content form.
//
// From here on no direct identifier exists. The result is canonical XML, the same for the same
// message and codes.
func (c *Catalogue) Regional(ev *Event, codes RegionalCodes) []byte {
	w := writer{out: make([]byte, 0, len(ev.doc)), event: ev}
	w.out = append(strconv.AppendInt(append(w.out, regionalOpen...), MappingVersion, 10), `">`...)
	for i := 1; i < len(ev.elems); i++ {
		n := &c.nodes[ev.elems[i].node]
		if n.typ == nil || n.regional == ClassDrop {
			continue
		}
		c.regionalLeaf(&w, i, n, codes)
	}
	w.closeTo(0)
	return append(w.out, "</"+regionalRoot+">"...)
}

// regionalLeaf writes one leaf as its class says.
func (c *Catalogue) regionalLeaf(w *writer, i int, n *node, codes RegionalCodes) {
	raw := w.event.raw(i)
	switch n.regional {
	case ClassKeep:
		w.enter(i)
		if n.national == ClassGroup {
			w.out = c.appendNation(w.out, n, raw)
			return
		}
		w.out = append(w.out, n.open...)
		w.out = c.appendKept(w.out, n, raw)
		w.out = append(w.out, n.close...)
	case ClassPseudonym:
		w.enter(i)
		w.leaf(&c.nodes[c.at.pseudonym], codes.Pseudonym)
	case ClassRekey:
		w.enter(i)
		w.leaf(n, w.rekey(n.rekeyKind, i, codes.Rekey))
	case ClassMonth:
		w.enter(i)
		w.out = append(append(append(w.out, n.open...), trim(raw)[:monthLength]...), n.close...)
	case ClassRegion:
		if region, ok := c.ref.regionOf(raw, dayOf(w.event.occurredAt, c.rome)); ok {
			w.enter(i)
			w.leaf(n, region)
		}
	case ClassDrop, ClassYearBand, ClassGroup, ClassRoute:
	}
}

// appendKept appends a kept value: one of a closed set, or by value what is a number, a date, an
// instant or a UUID. None of these needs an escape but a code of a closed list.
func (c *Catalogue) appendKept(to []byte, n *node, raw []byte) []byte {
	switch n.typ.kind {
	case kindText:
		text, _ := decode(raw)
		return appendText(to, c.ref.keep(n.list, text))
	case kindEnum:
		return append(to, raw...) // Read found it in the list, so it needs no escape either
	case kindUUID, kindDate, kindInstant, kindInt, kindDecimal:
	}
	return n.typ.appendTyped(to, raw)
}

// groupAttribute marks a rare nation in the regional event with the group that the national event
// says instead. The list of common nations is configuration: deciding here, once, keeps the
// national event a pure function of the stored one.
const groupAttribute = "gruppo"

// appendNation appends a nation leaf, with its group if it is rare.
func (c *Catalogue) appendNation(to []byte, n *node, raw []byte) []byte {
	code := c.ref.keep(n.list, raw)
	group := c.ref.group(code)
	to = append(append(to, '<'), n.name...)
	if group != code {
		to = append(append(append(to, " "+groupAttribute+`="`...), group...), '"')
	}
	return append(append(append(to, '>'), code...), n.close...)
}

// writer writes a document in the order of another one. Containers are opened only when a leaf
// inside them is written, so none is ever empty.
type writer struct {
	out   []byte
	event *Event
	// stack are the opened containers, as indexes of the event's elements, without the root.
	stack [maxDepth]int32
	depth int
	// rekeyed are the ids written last, at the place of the next.
	rekeyed [keptIDs]rekeyed
	at      int
}

// keptIDs is how many ids a writer keeps with what stands for them: what belongs to a project names it
// again and again, and each stand-in is an HMAC.
const keptIDs = 8

// rekeyed is an id as written in the document that is read, and what stands for it.
type rekeyed struct {
	kind, code string
	raw        []byte
}

// rekey gives what stands for the id in element i.
func (w *writer) rekey(kind string, i int, stand func(kind, value string) string) string {
	raw := w.event.raw(i)
	for k := range w.rekeyed {
		if r := &w.rekeyed[k]; r.code != "" && r.kind == kind && string(r.raw) == string(raw) {
			return r.code
		}
	}
	code := stand(kind, w.event.value(i))
	w.rekeyed[w.at] = rekeyed{kind, code, raw}
	w.at = (w.at + 1) % keptIDs
	return code
}

// enter makes the containers above element i the open ones.
func (w *writer) enter(i int) { w.container(w.event.elems[i].parent) }

// container makes element e and those above it the open containers.
func (w *writer) container(e int32) {
	if w.depth > 0 && w.stack[w.depth-1] == e {
		return
	}
	if e <= 0 {
		w.closeTo(0)
		return
	}
	for k := range w.depth {
		if w.stack[k] == e {
			w.closeTo(k + 1)
			return
		}
	}
	w.container(w.event.elems[e].parent)
	w.out = append(w.out, w.event.cat.nodes[w.event.elems[e].node].open...)
	w.stack[w.depth] = e
	w.depth++
}

// closeTo closes containers until only depth are open.
func (w *writer) closeTo(depth int) {
	for w.depth > depth {
		w.depth--
		w.out = append(w.out, w.event.cat.nodes[w.event.elems[w.stack[w.depth]].node].close...)
	}
}

// leaf writes a leaf under the node's own name.
func (w *writer) leaf(n *node, value string) {
	w.out = append(appendText(append(w.out, n.open...), value), n.close...)
}

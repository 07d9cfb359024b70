package sinba

import (
	"math"

	"github.com/google/uuid"
)

// Read reads one event from the canonical bytes of InviaEventoRichiesta, VerificaEventoRichiesta
// or the Evento of a lot, as the validator wrote them. It keeps canonical: the caller must not
// change it afterwards. Every value is checked for its type, so that everything made from an Event
// is total; an error means a defect of the hub, since the document was valid, and holds no content.
func (c *Catalogue) Read(canonical []byte) (*Event, error) {
	m := &message{cat: c, doc: canonical}
	r := reader{message: m, cat: c}
	if err := r.run(); err != nil {
		return nil, err
	}
	switch m.root {
	case "InviaEventoRichiesta", "VerificaEventoRichiesta", "Evento":
	default:
		return nil, errNotAnEvent
	}
	for rest := r.rootAttributes; ; {
		name, value, left, ok := attribute(rest)
		if !ok {
			break
		}
		if string(name) == "versione" {
			m.version = string(value)
		}
		rest = left
	}
	ev := &Event{m}
	if !ev.parseHeader() {
		return nil, errNotAnEvent
	}
	return ev, nil
}

// parseHeader reads the values that are needed of every event. Each of them is required by the
// schema but the reference.
func (e Event) parseHeader() bool {
	at := &e.cat.at
	_, typed := e.find(at.eventType)
	_, operated := e.find(at.operation)
	if !typed || !operated {
		return false
	}
	var ok bool
	if e.messageID, ok = e.uuid(at.messageID); !ok {
		return false
	}
	if e.eventID, ok = e.uuid(at.eventID); !ok {
		return false
	}
	e.refersTo, e.refers = e.uuid(at.refersTo)
	i, ok := e.find(at.occurredAt)
	if !ok {
		return false
	}
	e.occurredAt, _ = parseInstant(e.raw(i))
	if i, ok = e.find(at.sentAt); !ok {
		return false
	}
	e.sentAt, _ = parseInstant(e.raw(i))
	if i, ok = e.find(at.sequence); !ok {
		return false
	}
	e.sequence, ok = parseInt(e.raw(i))
	return ok
}

// uuid is the value of the first leaf at a node.
func (e Event) uuid(at int16) (uuid.UUID, bool) {
	i, ok := e.find(at)
	if !ok {
		return uuid.UUID{}, false
	}
	id, err := uuid.ParseBytes(e.raw(i))
	return id, err == nil
}

// reader walks a document along the tree of the catalogue.
type reader struct {
	*message

	cat *Catalogue
	scanner
	rootAttributes []byte
	// regional: the document is a regional event, whose values are not of the schema's types.
	regional bool
	frames   [maxDepth]frame
	depth    int
}

// frame is one open element.
type frame struct {
	// raw is the name as written, prefix and all.
	raw  []byte
	elem int32
	// child is the position among the node's children from which the next one is looked for, count
	// how often the child at child has occurred.
	child int16
	count int32
}

// bytesPerElem is below the mean size of an element of real events, so that one allocation holds
// them all.
const bytesPerElem = 40

// run reads the whole document into elems.
func (r *reader) run() error {
	r.scanner.doc = r.message.doc
	if len(r.message.doc) > math.MaxInt32 || r.next() != tokenOpen {
		return errNotCanonical
	}
	r.root = string(local(r.name))
	r.rootAttributes = r.attributes
	r.elems = append(make([]elem, 0, len(r.message.doc)/bytesPerElem+8), elem{parent: -1, pos: 1})
	r.frames[0] = frame{raw: r.name}
	r.depth = 1
	for r.depth > 0 {
		switch r.next() {
		case tokenText:
			if !blank(r.message.doc[r.from:r.to]) {
				return errNotAnEvent
			}
		case tokenOpen:
			if err := r.enter(); err != nil {
				return err
			}
		case tokenClose:
			r.depth--
			if string(r.frames[r.depth].raw) != string(r.name) {
				return errNotCanonical
			}
		case tokenEnd, tokenBad:
			return errNotCanonical
		}
	}
	if r.next() != tokenEnd {
		return errNotCanonical
	}
	return nil
}

// enter takes the element whose tag was just read. A leaf is read to its end at once.
func (r *reader) enter() error {
	top := &r.frames[r.depth-1]
	at, ok := r.step(top, local(r.name))
	if !ok {
		return errNotAnEvent
	}
	n := &r.cat.nodes[at]
	el := elem{
		node: at, parent: top.elem, pos: top.count,
		positioned: top.count > 1 || r.elems[top.elem].positioned,
	}
	if n.typ == nil {
		if r.depth >= maxDepth {
			return errNotAnEvent
		}
		r.frames[r.depth] = frame{raw: r.name, elem: int32(len(r.elems))} //nolint:gosec // bounded by the document's length, checked in run
		r.depth++
		r.elems = append(r.elems, el)
		return nil
	}
	if r.regional && len(r.attributes) > 0 {
		r.group()
	}
	name := r.name
	el.from, el.to = int32(r.pos), int32(r.pos) //nolint:gosec // bounded by the document's length, checked in run
	t := r.next()
	if t == tokenText {
		el.from, el.to = int32(r.from), int32(r.to) //nolint:gosec // bounded by the document's length, checked in run
		t = r.next()
	}
	if t != tokenClose || string(name) != string(r.name) {
		return errNotAnEvent
	}
	r.elems = append(r.elems, el)
	return r.check(n, r.message.doc[el.from:el.to])
}

// group keeps the group that Regional wrote beside a rare nation.
func (r *reader) group() {
	name, value, _, _ := attribute(r.attributes)
	if string(name) != groupAttribute {
		return
	}
	if r.groups == nil {
		r.groups = make(map[int32]string)
	}
	r.groups[int32(len(r.elems))] = string(value) //nolint:gosec // bounded by the document's length, checked in run
}

// step finds the child with this name at or behind the place reached so far: elements of a
// sequence stand in the schema's order, of a choice only one may stand.
func (r *reader) step(top *frame, name []byte) (int16, bool) {
	parent := &r.cat.nodes[r.elems[top.elem].node]
	for i := int(top.child); i < len(parent.children); i++ {
		at := parent.children[i]
		n := &r.cat.nodes[at]
		if n.name != string(name) || n.regionalOnly && !r.regional {
			if top.count > 0 && parent.choice {
				return 0, false
			}
			top.count = 0
			continue
		}
		top.child = int16(i) //nolint:gosec // at most maxNodes children
		top.count++
		if int(top.count) > n.most {
			return 0, false
		}
		return at, true
	}
	return 0, false
}

// check tells whether the raw text of a leaf is of its type.
func (r *reader) check(n *node, raw []byte) error {
	ok := true
	switch n.typ.kind {
	case kindText:
		_, ok = decode(raw)
	case kindEnum:
		ok = n.typ.value(raw) != ""
	case kindUUID:
		ok = len(raw) == 36 && uuid.Validate(string(raw)) == nil
	case kindDate:
		if r.regional && n.regional == ClassMonth {
			_, ok = parseMonth(raw)
		} else {
			_, ok = parseDay(raw)
		}
	case kindInstant:
		_, ok = parseInstant(raw)
	case kindInt:
		_, ok = parseInt(raw)
	case kindDecimal:
		ok = isDecimal(raw)
	}
	if !ok {
		return errNotAnEvent
	}
	return nil
}

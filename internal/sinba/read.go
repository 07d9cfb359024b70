package sinba

import (
	"bytes"
	"math"

	"github.com/google/uuid"
)

// Read reads one event from the canonical bytes of InviaEventoRichiesta, VerificaEventoRichiesta
// or the Evento of a lot, as the validator wrote them. It keeps canonical: the caller must not
// change it afterwards. Every value is checked for its type, so that everything made from an Event
// is total; an error means a defect of the hub, since the document was valid, and holds no content.
func (c *Catalogue) Read(canonical []byte) (*Event, error) {
	m := &message{cat: c, doc: canonical}
	r := reader{message: m}
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
		text, ok := decode(value)
		if !ok {
			return nil, errNotCanonical
		}
		if string(name) == "versione" {
			m.version = string(text)
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

// reader walks a document along the tree of the catalogue. It works with offsets and guesses the
// next tag from the schema, which is nearly always right; what it cannot guess (attributes, another
// prefix than the root's) goes through the scanner.
type reader struct {
	*message

	rootAttributes []byte
	// regional: the document is a regional event, whose values are not of the schema's types.
	regional bool
	// prefix is that of the root with its colon, as most documents have one prefix throughout.
	prefix string
	pos    int
	// attributes are those of the last open tag.
	attributes []byte
	frames     [maxDepth]frame
	depth      int
}

// frame is one open element.
type frame struct {
	// from and to bound the name as written, prefix and all.
	from, to int32
	elem     int32
	node     int16
	// child is the position among the node's children from which the next one is looked for, count
	// how often the child at child has occurred.
	child int16
	count int32
}

// bytesPerElem is below the mean size of an element of real events, so that one allocation holds
// them all.
const bytesPerElem = 32

// run reads the whole document into elems.
func (r *reader) run() error {
	s := scanner{doc: r.doc}
	if len(r.doc) > math.MaxInt32 || s.next() != tokenOpen {
		return errNotCanonical
	}
	name := local(s.name)
	r.root, r.prefix = string(name), string(s.name[:len(s.name)-len(name)])
	r.rootAttributes, r.pos = s.attributes, s.pos
	r.elems = append(make([]elem, 0, len(r.doc)/bytesPerElem+8), elem{parent: -1, pos: 1})
	r.frames[0] = frame{from: 1, to: int32(1 + len(s.name))} //nolint:gosec // bounded by the document's length
	r.depth = 1
	for r.depth > 0 {
		if err := r.skipBlanks(); err != nil {
			return err
		}
		if r.pos+1 >= len(r.doc) {
			return errNotCanonical
		}
		if r.doc[r.pos+1] != '/' {
			if err := r.enter(); err != nil {
				return err
			}
			continue
		}
		r.depth--
		if !r.closing(r.frames[r.depth].from, r.frames[r.depth].to) {
			return errNotCanonical
		}
	}
	if r.pos != len(r.doc) {
		return errNotCanonical
	}
	return nil
}

// skipBlanks goes to the next tag over the white space that may stand between elements.
func (r *reader) skipBlanks() error {
	for r.pos < len(r.doc) {
		switch r.doc[r.pos] {
		case '<':
			return nil
		case ' ', '\n', '\t', '\r':
			r.pos++
		default:
			return errNotAnEvent
		}
	}
	return errNotCanonical
}

// closing reads the closing tag whose name is doc[from:to] from its '<' on.
func (r *reader) closing(from, to int32) bool {
	end := r.pos + 2 + int(to-from)
	if end >= len(r.doc) || r.doc[end] != '>' || r.doc[r.pos+1] != '/' ||
		string(r.doc[r.pos+2:end]) != string(r.doc[from:to]) {
		return false
	}
	r.pos = end + 1
	return true
}

// enter takes the element whose tag begins at pos. A leaf is read to its end at once.
func (r *reader) enter() error {
	top := &r.frames[r.depth-1]
	from := r.pos + 1
	at, to := r.guess(top, from)
	if at < 0 {
		var err error
		if at, to, err = r.scan(top, from); err != nil {
			return err
		}
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
		r.frames[r.depth] = frame{from: int32(from), to: int32(to), elem: int32(len(r.elems)), node: at} //nolint:gosec // bounded by the document's length
		r.depth++
		r.elems = append(r.elems, el)
		return nil
	}
	if r.regional && len(r.attributes) > 0 {
		r.group()
	}
	start := r.pos
	length := bytes.IndexByte(r.doc[start:], '<')
	if length < 0 {
		return errNotCanonical
	}
	r.pos = start + length
	el.from, el.to = int32(start), int32(r.pos) //nolint:gosec // bounded by the document's length
	r.elems = append(r.elems, el)
	if r.pos+1 >= len(r.doc) || !r.closing(int32(from), int32(to)) { //nolint:gosec // bounded by the document's length
		return errNotAnEvent
	}
	return r.check(n, r.doc[start:start+length])
}

// guess compares what stands at from with the names that may come next, with the root's prefix and
// without attributes. It gives the node and where the name ends, or a negative node.
func (r *reader) guess(top *frame, from int) (at int16, to int) {
	begin := from + len(r.prefix)
	if begin >= len(r.doc) || string(r.doc[from:begin]) != r.prefix {
		return -1, 0
	}
	parent := &r.cat.nodes[top.node]
	for i := int(top.child); i < len(parent.children); i++ {
		at = parent.children[i]
		name := r.cat.nodes[at].name
		to = begin + len(name)
		if to >= len(r.doc) || r.doc[to] != '>' || string(r.doc[begin:to]) != name {
			continue
		}
		if !r.step(top, i) {
			return -1, 0
		}
		r.pos, r.attributes = to+1, nil
		return at, to
	}
	return -1, 0
}

// scan reads a tag with the scanner and looks its name up.
func (r *reader) scan(top *frame, from int) (at int16, to int, err error) {
	s := scanner{doc: r.doc, pos: from}
	if s.openTag() != tokenOpen {
		return 0, 0, errNotCanonical
	}
	r.pos, r.attributes = s.pos, s.attributes
	parent := &r.cat.nodes[top.node]
	for i := int(top.child); i < len(parent.children); i++ {
		at = parent.children[i]
		if r.cat.nodes[at].name == string(local(s.name)) && r.step(top, i) {
			return at, from + len(s.name), nil
		}
	}
	return 0, 0, errNotAnEvent
}

// step goes on to child i: elements of a sequence stand in the schema's order, of a choice only one
// may stand, and none more often than it may.
func (r *reader) step(top *frame, i int) bool {
	parent := &r.cat.nodes[top.node]
	n := &r.cat.nodes[parent.children[i]]
	if n.regionalOnly && !r.regional {
		return false
	}
	if i != int(top.child) {
		if parent.choice && top.count > 0 {
			return false
		}
		top.child, top.count = int16(i), 0 //nolint:gosec // at most maxNodes children
	}
	top.count++
	return int(top.count) <= n.most
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
	r.groups[int32(len(r.elems))] = string(value) //nolint:gosec // bounded by the document's length
}

// check tells whether the raw text of a leaf is of its type.
func (r *reader) check(n *node, raw []byte) error {
	ok := true
	switch n.typ.kind {
	case kindText:
		_, ok = decode(raw)
	case kindEnum:
		ok = n.typ.has(raw)
	case kindUUID:
		ok = isUUID(raw)
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
		_, _, _, ok = number(raw)
	}
	if !ok {
		return errNotAnEvent
	}
	return nil
}

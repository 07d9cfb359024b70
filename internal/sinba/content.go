package sinba

import (
	"slices"
	"strings"
)

// inContent tells whether a leaf belongs to an event's content: all but what changes in an honest
// retry or when a vendor upgrades between two attempts (contract, "Duplicates").
func inContent(path string) bool {
	switch path {
	case "/Testata/IdMessaggio", "/Testata/DataOraInvio", "/@versione":
		return false
	}
	return !strings.HasPrefix(path, "/Mittente/Applicativo/")
}

// AppendContent appends the form in which two sendings of one event are compared and which the receipt's
// commitment is made of (contract, "Duplicates" and ImprontaMessaggio): one line path=value for
// each leaf in document order, ended by \n; paths as in foglie.tsv, local names from below the
// root, positions from the second same-named sibling on as [n]; without Testata/IdMessaggio,
// Testata/DataOraInvio, @versione and Mittente/Applicativo. Values are compared, not spellings:
// days without their zone, instants in UTC (RFC 3339, no trailing zeros), numbers by value, UUIDs
// in lower case. No value of the contract can hold a line break.
//
// The form is fixed for ever: what it gives for a stored event is never changed.
func (e Event) AppendContent(to []byte) []byte {
	size := 0
	for i := range e.elems {
		if n := &e.cat.nodes[e.elems[i].node]; n.typ != nil && n.content {
			size += len(n.path) + int(e.elems[i].to-e.elems[i].from) + lineOverhead
		}
	}
	to = slices.Grow(to, size)
	// The leaves of an element stand together: its path is put together once.
	var room [128]byte
	above, of := room[:0], int32(0) // that of the root is empty
	for i := range e.elems {
		el := &e.elems[i]
		n := &e.cat.nodes[el.node]
		if n.typ == nil || !n.content {
			continue
		}
		if !el.positioned {
			to = append(to, n.path...)
		} else {
			if el.parent != of {
				above, of = e.appendPath(above[:0], int(el.parent)), el.parent
			}
			to = e.appendName(append(to, above...), i)
		}
		to = append(n.typ.appendTyped(append(to, '='), e.raw(i)), '\n')
	}
	return to
}

// lineOverhead is what a line has besides path and value, with room for a position.
const lineOverhead = 6

// Content is AppendContent to nothing.
func (e Event) Content() []byte { return e.AppendContent(nil) }

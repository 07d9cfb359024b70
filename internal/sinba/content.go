package sinba

import "strings"

// inContent tells whether a leaf belongs to an event's content: all but what changes in an honest
// retry or when a vendor upgrades between two attempts (contract, "Duplicates").
func inContent(path string) bool {
	switch path {
	case "/Testata/IdMessaggio", "/Testata/DataOraInvio", "/@versione":
		return false
	}
	return !strings.HasPrefix(path, "/Mittente/Applicativo/")
}

// lineOverhead is what a line has besides path and value, with room for a position.
const lineOverhead = 6

// Content gives the form in which two sendings of one event are compared and which the receipt's
// commitment is made of (contract, "Duplicates" and ImprontaMessaggio): one line path=value for
// each leaf in document order, ended by \n; paths as in foglie.tsv, local names from below the
// root, positions from the second same-named sibling on as [n]; without Testata/IdMessaggio,
// Testata/DataOraInvio, @versione and Mittente/Applicativo. Values are compared, not spellings:
// days without their zone, instants in UTC (RFC 3339, no trailing zeros), numbers by value, UUIDs
// in lower case. No value of the contract can hold a line break.
//
// The form is fixed for ever: what it gives for a stored event is never changed.
func (e Event) Content() []byte {
	size := 0
	for i := range e.elems {
		size += len(e.cat.nodes[e.elems[i].node].path) + int(e.elems[i].to-e.elems[i].from) + lineOverhead
	}
	to := make([]byte, 0, size)
	for i := range e.elems {
		n := &e.cat.nodes[e.elems[i].node]
		if n.typ == nil || !n.content {
			continue
		}
		to = append(e.appendPath(to, i), '=')
		to = append(n.typ.appendTyped(to, e.raw(i)), '\n')
	}
	return to
}

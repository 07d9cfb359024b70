package sinba

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Event is one event as its vendor wrote it, read from canonical bytes. It holds the child's
// identity: it prints as a placeholder everywhere, and every value comes out only through a method
// asked for it. It is not changed after Read and may be used by several goroutines.
//
// Event is a handle of one pointer, so that no printer can reach the bytes through reflection of an
// outer struct's unexported field.
type Event struct{ *message }

// message is what an Event holds.
type message struct {
	cat *Catalogue
	doc []byte
	// root is the local name of the root element.
	root string
	// version is @versione as written, empty if absent.
	version string
	// elems are the elements in document order; elems[0] is the root.
	elems []elem

	messageID, eventID, refersTo uuid.UUID
	refers                       bool
	occurredAt, sentAt           time.Time
	sequence                     int32

	// groups has the group of each rare nation of a regional event, by element.
	groups map[int32]string
}

// elem is one element of a document.
type elem struct {
	node int16
	// positioned: this element or one above it has a position other than 1, so its path is not
	// its node's.
	positioned bool
	parent     int32
	// pos counts same-named siblings from 1.
	pos int32
	// from and to bound the raw text of a leaf.
	from, to int32
}

// Format prints a placeholder for every verb and flag.
func (Event) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String gives a placeholder.
func (Event) String() string { return redacted }

// MarshalText gives a placeholder, which also covers JSON, XML and YAML.
func (Event) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Root is the local name of the root element: InviaEventoRichiesta, VerificaEventoRichiesta or
// Evento.
func (e Event) Root() string { return e.root }

// Version is @versione, SchemaVersion if absent.
func (e Event) Version() string {
	if e.version == "" {
		return SchemaVersion
	}
	return e.version
}

// MessageID is Testata/IdMessaggio: this attempt.
func (e Event) MessageID() uuid.UUID { return e.messageID }

// EventID is Testata/IdEvento: the event, in every attempt.
func (e Event) EventID() uuid.UUID { return e.eventID }

// RefersTo is Testata/IdEventoRiferito; ok is false if absent.
func (e Event) RefersTo() (id uuid.UUID, ok bool) { return e.refersTo, e.refers }

// Type is Testata/TipoEvento.
func (e Event) Type() EventType { return EventType(e.text(e.cat.at.eventType)) }

// Operation is Testata/TipoOperazione.
func (e Event) Operation() Operation { return Operation(e.text(e.cat.at.operation)) }

// Sequence is Testata/ProgressivoCartella, at least 1.
func (e Event) Sequence() int32 { return e.sequence }

// OccurredAt is Testata/DataOraEvento in UTC.
func (e Event) OccurredAt() time.Time { return e.occurredAt }

// SentAt is Testata/DataOraInvio in UTC.
func (e Event) SentAt() time.Time { return e.sentAt }

// Environment is Testata/Ambiente; ok is false if absent, which means the endpoint's own.
func (e Event) Environment() (env hub.Environment, ok bool) {
	return hub.ParseEnvironment(e.text(e.cat.at.environment))
}

// EnteCode is Mittente/Ente/CodiceEnte. Until authorisation found it in the registry it is a free
// text of the sender: do not log it.
func (e Event) EnteCode() string { return e.text(e.cat.at.ente) }

// Product is the vendor's software (Mittente/Applicativo), free texts until they are found in the
// registry.
type Product struct{ Vendor, Name, Version, Certification string }

// Product gives Mittente/Applicativo.
func (e Event) Product() Product {
	return Product{
		Vendor: e.text(e.cat.at.vendor), Name: e.text(e.cat.at.product),
		Version: e.text(e.cat.at.productVersion), Certification: e.text(e.cat.at.certificate),
	}
}

// LocalSubject is Soggetto/IdAssistitoLocale.
func (e Event) LocalSubject() hub.Identifier { return e.identifier(e.cat.at.localSubject) }

// LocalCase is Cartella/IdCartella.
func (e Event) LocalCase() hub.Identifier { return e.identifier(e.cat.at.localCase) }

// OpenedOn is Cartella/DataApertura as midnight UTC of that day.
func (e Event) OpenedOn() time.Time { return e.day(e.cat.at.openedOn).time() }

// Identity says who a child is, or was.
type Identity struct {
	Kind IdentifierKind
	// Value is the code; for NonIdentificato the reason, which identifies nobody.
	Value hub.Identifier
}

// Subject is the child's identifier (Soggetto, IdentificativoPersonaType).
func (e Event) Subject() Identity {
	id, _ := e.identity(e.cat.at.identifier)
	return id
}

// Previous is VariazioneAnagrafica/IdentificativoPrecedente; ok is false if absent.
func (e Event) Previous() (id Identity, ok bool) { return e.identity(e.cat.at.previous) }

// identity reads the one child of an IdentificativoPersonaType.
func (e Event) identity(container int16) (Identity, bool) {
	i, ok := e.identityElem(container)
	if !ok {
		return Identity{}, false
	}
	return Identity{
		Kind:  kindOf(e.cat.nodes[e.elems[i].node].name),
		Value: hub.NewIdentifier(e.value(i)),
	}, true
}

// identityElem finds the leaf inside an IdentificativoPersonaType.
func (e Event) identityElem(container int16) (int, bool) {
	at, ok := e.find(container)
	if !ok || at+1 >= len(e.elems) || int(e.elems[at+1].parent) != at {
		return 0, false
	}
	return at + 1, true
}

// Value gives the text of the first leaf with this path (below the root, without positions), as
// the vendor wrote it.
func (e Event) Value(path string) (value string, ok bool) {
	for i := range e.elems {
		n := &e.cat.nodes[e.elems[i].node]
		if n.typ != nil && n.path == path {
			return e.value(i), true
		}
	}
	return "", false
}

// All goes through every leaf in document order, with paths from below the root. The root's
// attribute is not among them.
func (e Event) All() iter.Seq[Leaf] {
	return func(yield func(Leaf) bool) {
		for i := range e.elems {
			if e.cat.nodes[e.elems[i].node].typ == nil {
				continue
			}
			if !yield(Leaf{Path: string(e.appendPath(nil, i)), Value: e.value(i)}) {
				return
			}
		}
	}
}

// find gives the first element at a node.
func (e Event) find(at int16) (int, bool) {
	for i := range e.elems {
		if e.elems[i].node == at {
			return i, true
		}
	}
	return 0, false
}

// raw is the text of a leaf as it stands in the document.
func (e Event) raw(i int) []byte { return e.doc[e.elems[i].from:e.elems[i].to] }

// value is the text of a leaf. Read checked that it decodes.
func (e Event) value(i int) string {
	text, _ := decode(e.raw(i))
	return string(text)
}

// text is the value of the first leaf at a node, empty if there is none.
func (e Event) text(at int16) string {
	i, ok := e.find(at)
	if !ok {
		return ""
	}
	return e.value(i)
}

// identifier wraps the value of the first leaf at a node.
func (e Event) identifier(at int16) hub.Identifier {
	i, ok := e.find(at)
	if !ok {
		return hub.Identifier{}
	}
	return hub.NewIdentifier(e.value(i))
}

// day is the date of the first leaf at a node, zero if there is none.
func (e Event) day(at int16) day {
	i, ok := e.find(at)
	if !ok {
		return 0
	}
	d, _ := parseDay(e.raw(i))
	return d
}

// appendPath appends the path of an element, from below the root.
func (e Event) appendPath(to []byte, i int) []byte {
	el := &e.elems[i]
	if !el.positioned {
		return append(to, e.cat.nodes[el.node].path...)
	}
	return e.appendName(e.appendPath(to, int(el.parent)), i)
}

// appendName appends the last step of an element's path.
func (e Event) appendName(to []byte, i int) []byte {
	el := &e.elems[i]
	to = append(append(to, '/'), e.cat.nodes[el.node].name...)
	if el.pos > 1 {
		to = appendPosition(to, int(el.pos))
	}
	return to
}

// path is where an element stands in the vendor's message, as in the validator's violations.
func (e Event) path(i int) string {
	return string(e.appendPath(append(make([]byte, 0, 64), "/"+e.root...), i))
}

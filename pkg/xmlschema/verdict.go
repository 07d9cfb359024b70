package xmlschema

// Mode says which element of a document is validated.
type Mode uint8

// The modes.
const (
	// Envelope takes a SOAP 1.1 or 1.2 message and validates the only child of its Body.
	Envelope Mode = 0
	// Bare validates the root itself.
	Bare Mode = 1
	// Judge validates the root itself and gives no payload.
	Judge Mode = 2
)

// Status is the outcome of a check.
type Status uint8

// The outcomes. Only Valid carries a payload (unless only judged), only Invalid carries findings.
const (
	// Valid: well-formed, the right frame, and the element conforms to the schema.
	Valid Status = 0
	// Invalid: the element is known to the schema but does not conform to it.
	Invalid Status = 1
	// Malformed: not well-formed XML, or not well-formed with namespaces.
	Malformed Status = 2
	// Doctype: a document type declaration, whatever stands in it.
	Doctype Status = 3
	// NotSOAP: no envelope, or no Body with exactly one element and nothing else in it.
	NotSOAP Status = 4
	// UnknownRoot: the element to validate is no global element of the schema's namespace.
	UnknownRoot Status = 5
	// TooLarge: memory, or the room for the answer, did not suffice.
	TooLarge Status = 6
	// UnknownEnvelope: an Envelope in a namespace that is neither SOAP 1.1's nor 1.2's.
	UnknownEnvelope Status = 7
	// WrongEncoding: anything but UTF-8, or a NUL character.
	WrongEncoding Status = 8
	// LotJudged: the element is a lot with the right frame; each of its items has its own verdict.
	LotJudged Status = 9
)

// Lot describes documents that hold others: a frame of the root Root around elements Item, each of
// which is judged alone, as if it were the global element As. A frame that does not conform makes
// the whole document Invalid, whatever its items are. Judge takes such a document as a whole.
type Lot struct {
	Root, Item, As string
}

// Codes of findings that are this package's own. All others are libxml2's xmlParserErrors.
const (
	// CodeSplitValue: a comment or a processing instruction inside a value, so that two
	// readers may see two values.
	CodeSplitValue = 100001
	// CodeBlanks: the value was refused, and it has white space before or after it.
	CodeBlanks = 100002
	// CodeMissingChild: an element ends before a child that the schema requires.
	// libxml2 gives it the number of an unexpected child (1871).
	CodeMissingChild = 100003
	// CodeMisplaced: the child belongs in its parent, but at another place.
	CodeMisplaced = 100004
	// CodeTooMany: the child, or another of its choice, stands more often than the schema allows.
	CodeTooMany = 100005
	// CodeNamespace: the child has the right name in the wrong namespace.
	CodeNamespace = 100006
)

// MaxFindings is how many findings a verdict lists at most; Total counts them all.
const MaxFindings = 100

// Step is one element (or, as the last step, one attribute) on the way to a finding.
type Step struct {
	// Name is the local name, "@name" for an attribute; empty if the schema does not know
	// it, because a stranger's names can carry identities too.
	Name string
	// Pos is the position, from 1, among the siblings of the same local name; for an unknown
	// name, among all sibling elements; 0 for an attribute.
	Pos int
}

// Finding is one violation of the schema. It never holds a value of the document.
type Finding struct {
	// Code is libxml2's number (xmlParserErrors) or one of this package's own.
	Code int
	// Line in the document, from 1; libxml2 counts to 65,535.
	Line int
	// Path goes from the validated element to the node.
	Path []Step
	// Child is the element that a CodeMissingChild misses, or that should stand where another does;
	// the first of them if it is a choice; empty if all of an element's children are missing.
	Child string
	// Value describes a value that breaks its type.
	Value Value
}

// Value is all that is told of a value of the document.
type Value struct {
	// Told says whether the finding is about a value.
	Told bool
	// Kind is what it consists of, 0 for an empty one.
	Kind Kind
	// Length is its number of characters, at most 65,535.
	Length int
}

// Kind is a set of kinds of characters.
type Kind uint8

// The kinds of characters.
const (
	Lower Kind = 1 << iota
	Upper
	Digits
	Signs
	Spaces
	Others

	allKinds = Lower | Upper | Digits | Signs | Spaces | Others
)

// Verdict is what a check says of a document.
type Verdict struct {
	// Status is the outcome.
	Status Status
	// SOAP is 1 for SOAP 1.1, 2 for SOAP 1.2, 0 for a bare document or no envelope.
	SOAP uint8
	// Root is the local name of the validated element; empty if the schema does not have it
	// as a global element.
	Root string
	// Version is what the element's attribute "versione" declares, at most 8 digits and points;
	// "?" for any other text, empty without one.
	Version string
	// Header is the exclusive canonical form of the SOAP Header element, nil without one.
	Header []byte
	// Payload is the exclusive canonical form of the validated element, only if Valid and the mode
	// is not Judge.
	Payload []byte
	// Findings are the violations, at most MaxFindings, in document order.
	Findings []Finding
	// Total is how many findings there were.
	Total int
	// Items are the verdicts on a lot's items, in document order, only if LotJudged; Payload is
	// then the canonical frame, without the items.
	Items []Item
	// Line is where a Malformed document breaks, 0 if unknown.
	Line int
}

// MaxItems is how many items a lot may have.
const MaxItems = 1000

// Item is the verdict on one item of a lot, as if it were a document of its own. Paths begin with
// the item; lines count from the one in which it begins, 0 if unknown.
type Item struct {
	// Version is what the item's attribute "versione" declares, as in Verdict.
	Version string
	// Payload is the exclusive canonical form of the item, nil if there are findings.
	Payload []byte
	// Findings are the violations, at most MaxFindings.
	Findings []Finding
	// Total is how many there were.
	Total int
	// ID is the UUID in Testata/IdEvento of an item with findings, empty if there is none.
	ID string
}

// Refused counts the items with findings.
func (v *Verdict) Refused() int {
	n := 0
	for i := range v.Items {
		if v.Items[i].Payload == nil {
			n++
		}
	}
	return n
}

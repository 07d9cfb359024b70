package hub

import "time"

// Kind is the closed list of reasons for which the hub refuses. internal/gateway/fault.go maps
// each to SOAP fault codes, HTTP status, metric label and log level.
type Kind uint8

// The kinds, in the order of the way of a message (architecture, section 3).
const (
	Internal         Kind = iota // our own defect
	BadRequest                   // HTTP that others might read as another request
	Unauthenticated              // no or wrong credential
	TooLarge                     // over a limit of size
	RateLimited                  // try again later: the participant's own share or rate is used up
	Overloaded                   // try again later: load, a key being accepted now
	UnsupportedMedia             // content type or encoding
	Malformed                    // not the XML or SOAP the contract asks for
	NotUnderstood                // a mustUnderstand header we do not know
	VersionMismatch              // an envelope that is neither SOAP 1.1 nor 1.2
	UnknownOperation             // the body's child is no operation of the contract
	Forbidden                    // authenticated, but not for this
	Invalid                      // schema, rules or life cycle
	Conflict                     // the same id with other content
	NotFound                     // asked for something this participant does not have
	Unavailable                  // a part of the hub does not answer; nothing was stored
)

// Kinds lists all of them, for tables that must be complete.
func Kinds() []Kind {
	all := make([]Kind, 0, Unavailable+1)
	for k := Internal; k <= Unavailable; k++ {
		all = append(all, k)
	}
	return all
}

// Severity of a violation (codRilevanza): only Grave refuses.
type Severity uint8

// The severities of the contract.
const (
	Info Severity = iota + 1
	Lieve
	Grave
)

// String gives the contract's word.
func (s Severity) String() string {
	switch s {
	case Info:
		return "INFO"
	case Lieve:
		return "LIEVE"
	case Grave:
		return "GRAVE"
	}
	return ""
}

// Violation is one finding of schema or rules (AnomaliaType). It never holds a value of the
// message: names outside the schema are written *[n].
type Violation struct {
	// Code is the stable SINBA_nnn; its texts are in Codes.
	Code Code
	// Severity decides whether it refuses.
	Severity Severity
	// Rule is BR-nn, or the name of the XSD constraint; at most 36 characters of [A-Za-z0-9._:/-].
	Rule string
	// Path is where: local names from the body's child on, positions from 2 as [n].
	Path string
	// Line in the message as received, from 1; 0 if unknown.
	Line int
	// Reason chooses one of the code's Sentences; empty for the code's own text.
	Reason string
	// About is what the sentence speaks of: a name of the schema or a number the hub made, never a
	// value or a name of the message.
	About string
	// BlocksFrom is the day, YYYY-MM-DD, from which a rule that only warns for now refuses; empty
	// else.
	BlocksFrom string
	// Form is what the schema asks for, for a sentence that says it: a name of Forms, a number, or
	// values or names of the schema with | between them.
	Form string
	// Next is what an element stands between: two names of the schema with | between them, either
	// of which may be empty.
	Next string
	// Kind and Length describe a value: what it consists of, and its number of characters.
	Kind   ValueKind
	Length int
}

// ValueKind is a set of kinds of characters; all that is told of a value besides its length.
type ValueKind uint8

// The kinds of characters.
const (
	LowerCase ValueKind = 1 << iota
	UpperCase
	Digits
	Signs
	Blanks
	OtherCharacters
	// Described marks a value that is described at all: an empty one has no other kind.
	Described
)

// Error is the one error type of the hub. Public is told to the sender and holds no content;
// Err is for the log and must hold none either (replace, do not wrap, at content borders).
type Error struct {
	Kind Kind
	// Public are the violations to tell, at least one.
	Public []Violation
	// Total is how many there were, if more than Public lists.
	Total int
	// RetryAfter is when to try again, zero if that makes no sense.
	RetryAfter time.Duration
	// Note is told behind the first violation's text: what an operator says of a maintenance.
	Note string
	// Err is the cause, for the log only.
	Err error
}

// NewError makes an error with a single code at the message's root.
func NewError(kind Kind, code Code, cause error) *Error {
	return &Error{Kind: kind, Public: []Violation{{Code: code, Severity: Grave, Path: "/"}}, Err: cause}
}

// Error gives the code and the cause, neither of which holds content.
func (e *Error) Error() string {
	s := "refused"
	if len(e.Public) > 0 {
		s = string(e.Public[0].Code)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

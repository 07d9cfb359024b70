// Package sinba knows what an event of child care says: it reads one from canonical XML, judges
// it by the rules beyond the schema, and turns it into the regional event that is stored and the
// national event that leaves.
//
// Everything here is a pure function of its arguments: no clock, no input, no output, no state
// but the Catalogue built once by Load. The structure of an event comes from
// xsd/sinba-eventi-v1.xsd (MessaggioEventoType), what becomes of each of its leaves from
// foglie.tsv (contract, mapping version 1); Load refuses to go on when the two do not cover each
// other exactly, so that no leaf can slip through undecided.
//
// An Event holds a child's identity. It prints as a placeholder in every verb and encoding;
// values come out only through methods that are asked for them, and no error of this package
// holds one.
package sinba

// The namespaces of the three forms of an event.
const (
	// NamespaceEvent is the vendors' contract, xsd/sinba-eventi-v1.xsd.
	NamespaceEvent = "urn:sinba:eventi:v1"
	// NamespaceRegional is the stored form, without identities.
	NamespaceRegional = "urn:sinba:regionale:v1"
	// NamespaceNational is the form that leaves, xsd/evento-nazionale-v1.xsd.
	NamespaceNational = "urn:sinba:siss:v1"
)

// The versions recorded beside every accepted event, so that it can be judged and mapped again
// with the same result. A released version is never edited; a new one stands beside it.
const (
	// SchemaVersion is the contract version this package reads (@versione; absent means this).
	SchemaVersion = "1.0"
	// MappingVersion is the version of foglie.tsv, written as @mappa into the regional event.
	MappingVersion = 1
	// RulesVersion is the version of the table in rules.go.
	RulesVersion = 2
)

// Altro stands in the regional and national event for a free code that is in no closed list, so
// that no free text is ever stored in clear (contract, "A leaf kept whose type is …").
const Altro = "altro"

// redacted is what printers, loggers and encoders see of anything that holds message content.
const redacted = "[redacted]"

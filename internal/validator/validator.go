// Package validator runs the jailed workers that parse, validate and canonicalise what
// strangers send, and speaks with them.
//
// A worker is this same binary, taken over by a C constructor before Go starts (jail_boot.c):
// one thread, eight system calls, no file, no network, 256 MB (jail.go). It is the only place where C
// touches a stranger's bytes. The hub believes nothing it says: every number is bounded, names
// are taken from the schema's own table, an answer's size is capped, and whatever breaks the
// protocol ends the worker. A worker is replaced after some documents or some time, and when
// it dies its unanswered documents are sent to a fresh one, one by one; the document that ends
// that one too is refused, and nobody else notices.
//
// Findings never hold a value of a message (contract, "Any refusal of a message").
package validator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/soap"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// Schema names one of the contracts a pool validates against.
type Schema uint8

// The contracts.
const (
	// SinbaEventi is xsd/sinba-eventi-v1.xsd: what vendors send.
	SinbaEventi Schema = 1
	// SissRicezione is xsd/siss-ricezione-v1.xsd: what the national side takes and answers.
	SissRicezione Schema = 2
)

// maxSchema is the largest number the worker has room for (jail_serve.c, MAX_SCHEMAS).
const maxSchema Schema = 7

// Mode says which element of a document is validated.
type Mode uint8

// The modes.
const (
	// Envelope takes a SOAP 1.1 or 1.2 message and validates the only child of its Body.
	Envelope = Mode(xmlschema.Envelope)
	// Bare validates the root itself.
	Bare = Mode(xmlschema.Bare)
	// Judge validates the root itself and gives no payload back, which saves its way.
	Judge = Mode(xmlschema.Judge)
)

// MaxDocument is how many bytes a document may have. The gateway's own limit is lower; this one
// keeps a worker's buffers bounded whoever calls.
const MaxDocument = 4 << 20

// Documents that take longer, by their bytes.
const (
	// BigDocument is how many a document must have more than to have its worker to itself, so that
	// nothing waits behind it.
	BigDocument = 16 << 10
	// LargeDocument is how many it must have more than to go to the worker of the large ones.
	LargeDocument = 64 << 10
)

// SchemaFiles is one contract: its files by the names they include each other with.
type SchemaFiles struct {
	// Main is the name of the file to begin with.
	Main string
	// Files are all of them, Main included; nothing is read from disk or network.
	Files map[string][]byte
	// Namespace must be the target namespace of Main; it is not checked if empty.
	Namespace string
	// Lot says which documents are lots of others; zero for none.
	Lot xmlschema.Lot
}

// EventLot is how SinbaEventi sends many events at once: each Evento of a LottoType is judged as if
// it were an InviaEventoRichiesta, which has the same type (contract, "Lots").
func EventLot() xmlschema.Lot {
	return xmlschema.Lot{Root: "InviaLottoRichiesta", Item: "Evento", As: "InviaEventoRichiesta"}
}

// Config is what a pool needs.
type Config struct {
	// Workers is how many there are, besides one for large documents; 0 means one per processor
	// (GOMAXPROCS).
	Workers int
	// Deadline is how long a worker may take for one document before it is killed, and the one for
	// large documents five times as long; 0 means two seconds.
	Deadline time.Duration
	// Schemas are the contracts to validate against, at least one.
	Schemas map[Schema]SchemaFiles
	// Executable is the binary to start workers from, which must link this package; empty
	// means the running one.
	Executable string
	// RequireJail lets no worker serve whose jail lacks a part (Parts). Without it workers run
	// with what the system allows, and log and metrics say what it refuses.
	RequireJail bool
	// Logger gets a line for every worker that dies; nil means none.
	Logger *zap.Logger
	// Registerer takes the pool's metrics; nil means that they are not published.
	Registerer prometheus.Registerer
}

// Sender says whose a document is: senders take turns at the workers.
type Sender int32

// Hub is the sender of the hub's own documents.
const Hub Sender = 0

// Result is what a worker found in a document that is well-formed and has the right frame.
type Result struct {
	// SOAP is the envelope's version, 0 for Bare.
	SOAP soap.Version
	// Root is the local name of the validated element, in the schema's target namespace.
	Root string
	// Version is what the element declares as its contract's version: digits and points, "?" for
	// any other text, empty for none. It is told for invalid documents too.
	Version string
	// Header is the exclusive canonical form of the SOAP Header, nil without one.
	Header []byte
	// Payload is the exclusive canonical form of the validated element, without comments and
	// processing instructions; nil if there are violations or the mode is Judge.
	Payload []byte
	// Violations are the findings of the schema, at most 100, in document order.
	Violations []hub.Violation
	// Total is how many there were.
	Total int
	// Items are those of a lot whose frame is right, in document order; Payload is then the
	// frame without them. nil for every other document.
	Items []Item
}

// Conforms tells whether the schema has nothing against the document nor, in a lot, any of its items.
func (r *Result) Conforms() bool {
	return len(r.Violations) == 0 && !slices.ContainsFunc(r.Items, func(i Item) bool { return len(i.Violations) > 0 })
}

// Item is what a worker found in one item of a lot, as if it had come alone. Paths begin with the
// item; lines count from the one in which it begins, 0 if unknown.
type Item struct {
	// Version, Payload, Violations and Total are as in Result.
	Version    string
	Payload    []byte
	Violations []hub.Violation
	Total      int
	// ID is Testata/IdEvento of an item with violations, in its own spelling; empty if there is
	// none that can be read.
	ID string
}

// What went wrong, for the log. None of them holds content.
var (
	errConfig     = errors.New("validator: no schema, or a schema number out of range")
	errNamespace  = errors.New("validator: schema has another target namespace")
	errNotStarted = errors.New("validator: not started")
	errNoWorker   = errors.New("validator: no worker is alive")
	errClosed     = errors.New("validator: closed")
	errPoison     = errors.New("validator: document ended two workers")
	errTooLarge   = errors.New("validator: document too large for a worker")
	errRefused    = errors.New("validator: document refused before its schema")
	errSchema     = errors.New("validator: schema not configured")
)

// Validate has a worker parse doc and judge the element that m names by schema s. A document
// that does not conform is no error: the result lists its violations. doc must not be changed until
// there is one, nor after an error: when ctx ends first, a worker may still be about to read it.
//
// Errors are *hub.Error: Malformed, VersionMismatch or UnknownOperation for a document that
// has no element to judge, TooLarge if it needs more memory than a worker has, Internal
// (SINBA_501) if it ended two workers, Unavailable if ctx ended or the pool is closed. Beside
// an error the result holds the envelope's version, if there was one.
func (p *Pool) Validate(ctx context.Context, s Schema, m Mode, doc []byte) (Result, error) {
	return p.ValidateFor(ctx, Hub, s, m, doc)
}

// ValidateFor is Validate for a document of a sender's.
func (p *Pool) ValidateFor(ctx context.Context, sender Sender, s Schema, m Mode, doc []byte) (Result, error) {
	if _, ok := p.names[s]; !ok || m > Judge {
		return Result{}, hub.NewError(hub.Internal, hub.CodeInternal, errSchema)
	}
	if len(doc) > MaxDocument {
		return Result{}, hub.NewError(hub.TooLarge, hub.CodeBodyTooLarge, errTooLarge)
	}
	c := &call{sender: sender, schema: s, mode: m, doc: doc, answer: make(chan outcome, 1)}
	queue := p.usual
	if len(doc) > LargeDocument {
		queue = p.large
	}
	queue.put(c)
	closed := p.closed
	for {
		select {
		case o := <-c.answer:
			if o.err != nil {
				return Result{}, o.err
			}
			return result(o.verdict, p.names[s])
		case <-ctx.Done():
			queue.remove(c)
			return Result{}, hub.NewError(hub.Unavailable, hub.CodeUnavailable, ctx.Err())
		case <-closed:
			if queue.remove(c) {
				return Result{}, hub.NewError(hub.Unavailable, hub.CodeStopping, errClosed)
			}
			closed = nil // a worker has it, and answers before it ends
		}
	}
}

// call is one document on its way. Whoever takes it off the queue answers it exactly once.
type call struct {
	sender Sender
	schema Schema
	mode   Mode
	doc    []byte
	answer chan outcome
}

func (c *call) isBig() bool { return len(c.doc) > BigDocument }

// outcome is what becomes of a call. err is a *hub.Error if there is no verdict.
type outcome struct {
	verdict xmlschema.Verdict
	err     error
}

// result turns a verdict into what the caller gets.
func result(v xmlschema.Verdict, names xmlschema.Names) (Result, error) {
	// Also a refusal tells the envelope's version, in which it is to be answered.
	frame := Result{SOAP: soap.Version(v.SOAP)}
	switch v.Status {
	case xmlschema.Valid, xmlschema.Invalid, xmlschema.LotJudged:
		r := Result{SOAP: soap.Version(v.SOAP), Root: v.Root, Version: v.Version, Header: v.Header, Payload: v.Payload, Total: v.Total}
		r.Violations = violations(v.Findings, names)
		for _, i := range v.Items {
			r.Items = append(r.Items, Item{Version: i.Version, Payload: i.Payload, Violations: violations(i.Findings, names), Total: i.Total, ID: i.ID})
		}
		return r, nil
	case xmlschema.Malformed:
		err := hub.NewError(hub.Malformed, hub.CodeMalformed, errRefused)
		err.Public[0].Line = v.Line
		return frame, err
	case xmlschema.Doctype:
		return frame, hub.NewError(hub.Malformed, hub.CodeDoctype, errRefused)
	case xmlschema.NotSOAP:
		return frame, hub.NewError(hub.Malformed, hub.CodeNotSOAP, errRefused)
	case xmlschema.UnknownRoot:
		return frame, hub.NewError(hub.UnknownOperation, hub.CodeUnknownOperation, errRefused)
	case xmlschema.TooLarge:
		return frame, hub.NewError(hub.TooLarge, hub.CodeLimit, errTooLarge)
	case xmlschema.UnknownEnvelope:
		return frame, hub.NewError(hub.VersionMismatch, hub.CodeEnvelopeVersion, errRefused)
	case xmlschema.WrongEncoding:
		return frame, hub.NewError(hub.Malformed, hub.CodeEncoding, errRefused)
	}
	return frame, hub.NewError(hub.Internal, hub.CodeInternal, errRefused)
}

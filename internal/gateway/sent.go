package gateway

import (
	"iter"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// sent is one event on its way: the only one of its request, or one of a lot. Each step fills in
// what it found out. The way ends with exactly one of refusal, receipt and, for a dry run, report.
type sent struct {
	// root is the path of the event's element: the request, or /Evento in a lot.
	root string
	// verdict is the validator's.
	verdict validator.Item
	// sealed is what only the opener will read: the whole message, or in a lot the event alone, so
	// that nothing of the others is sealed with its subject.
	sealed []byte

	event *sinba.Event
	// id and kind are the event's, as long as it could be read.
	id    uuid.UUID
	kind  sinba.EventType
	ente  hub.Ente
	known *known
	// found are all findings so far; unless one is GRAVE they are warnings.
	found []hub.Violation
	// named is whom the event's identifier stands for; child is the child of its case.
	named pseudonym.Identity
	child *child
	// asked is what the event's case was asked before the event was prepared, until it is.
	asked candidate
	// receiptID and transmissionID are the event's for ever, however often it is prepared.
	receiptID, transmissionID uuid.UUID
	prepared                  *postgres.Acceptance

	refusal *hub.Error
	receipt *told
	report  *report
}

// ended tells whether the way of the event has ended.
func (e *sent) ended() bool { return e.refusal != nil || e.receipt != nil || e.report != nil }

// refuse ends the way of the event.
func (e *sent) refuse(err error) { e.refusal = asRefusal(err) }

// standing gives those whose way goes on.
func standing(events []*sent) []*sent {
	var on []*sent
	for _, e := range events {
		if !e.ended() {
			on = append(on, e)
		}
	}
	return on
}

// open takes the events out of the request.
func (x *exchange) open() {
	if x.operation.Name != contract.InviaLotto {
		v := x.verdict
		x.events = []*sent{{
			root: "/" + x.operation.Request, sealed: x.body,
			verdict: validator.Item{Version: v.Version, Payload: v.Payload, Violations: v.Violations, Total: v.Total},
		}}
		return
	}
	x.events = make([]*sent, len(x.verdict.Items))
	for i, item := range x.verdict.Items {
		x.events[i] = &sent{root: "/" + validator.EventLot().Item, verdict: item, sealed: item.Payload}
	}
}

// forget drops what was sent, when only the outcomes are still of use.
func (x *exchange) forget() {
	x.body, x.verdict = nil, validator.Result{}
	for _, e := range x.events {
		e.event, e.known, e.sealed, e.asked, e.prepared = nil, nil, nil, candidate{}, nil
		e.verdict.Payload = nil
	}
}

// distinct cuts events, in their order, where a key comes back: what is said of the second depends
// on what became of the first (contract, "the same IdEvento twice in a lot").
func distinct(events []*sent) iter.Seq[[]*sent] {
	return func(yield func([]*sent) bool) {
		type key struct {
			ente  int32
			event uuid.UUID
		}
		from, seen := 0, map[key]bool{}
		for i, e := range events {
			k := key{e.ente.ID, e.id}
			if seen[k] {
				if !yield(events[from:i]) {
					return
				}
				from = i
				clear(seen)
			}
			seen[k] = true
		}
		if from < len(events) {
			yield(events[from:])
		}
	}
}

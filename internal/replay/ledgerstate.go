package replay

import (
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// checkDelivery holds a delivery against the acceptance of its event. One that is not the first was
// ordered by an operator.
func (c *ledgerCheck) checkDelivery(e *journal.Entry, d *postgres.LedgerDelivery) {
	row := LedgerRow{Entry: &e.ID, Message: &e.Message, Delivery: &d.ID}
	var columns differing
	columns.want(rowAdded("hub.delivery"), d.ID == e.Delivery || e.Delivery == uuid.Nil || slices.ContainsFunc(acts(d), func(a journal.Entry) bool {
		return a.Delivery == d.ID && a.Outcome == string(postgres.VerbRenew)
	}))
	columns.want("hub.delivery.environment", d.Environment == int16(e.Environment))
	columns.want("hub.delivery.received_at", d.ReceivedAt.Equal(e.At))
	columns.want("hub.delivery.case_id", d.OfCase)
	columns.want("hub.delivery.position", d.AtPlace)
	if recorded(e) {
		columns.want("hub.delivery.nation_epoch", d.NationEpoch == e.NationEpoch)
	}
	row.Columns = columns
	c.find(row)
}

// acts are what operators did to the deliveries of an event, as far as it can be read.
func acts(d *postgres.LedgerDelivery) []journal.Entry {
	all := make([]journal.Entry, 0, len(d.Acts))
	for _, body := range d.Acts {
		if e, err := journal.Parse(body); err == nil && e.Kind == journal.OperatorActed {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b journal.Entry) int { return a.At.Compare(b.At) })
	return all
}

// checkState holds a delivery's state against the last that happened to it: an attempt's row (which is
// itself held against its entry), an entry of this page if the row has gone, or what an operator did.
func (c *ledgerCheck) checkState(d *postgres.LedgerDelivery, entries map[uuid.UUID]*journal.Entry) {
	if c.said[d.ID] {
		return
	}
	number, state, codes, known := d.Last, d.LastState, d.LastCodes, d.Last > 0
	if e := entries[d.ID]; e != nil && e.Attempt > number {
		number, state, codes, known = e.Attempt, e.Outcome, codesOf(e), true
	}
	var verb postgres.Verb
	for _, a := range acts(d) {
		if a.Delivery == d.ID && a.Attempt >= number {
			verb = postgres.Verb(a.Outcome)
		}
	}
	var columns differing
	if !known && d.Attempts > 0 && c.attempts.Retired(d.ReceivedAt) {
		return // its attempts have gone
	}
	columns.want("hub.delivery.state", follows(verb, state, hub.DeliveryState(d.State)))
	columns.want("hub.delivery.attempts", d.Attempts >= number)
	if known {
		columns.want("hub.delivery.codes", d.Codes == codes)
	}
	if len(columns) > 0 && len(c.said) < mostSuspects {
		c.said[d.ID] = true
	}
	c.find(LedgerRow{Columns: columns, Message: &d.Message, Delivery: &d.ID})
}

// follows tells whether a delivery can be in a state after an operator's verb, or if there was none since
// after an attempt that ended with a state, empty for none. What is not settled changes by itself: a
// claim, a lease that ran out, a process that stops.
func follows(verb postgres.Verb, attempt string, is hub.DeliveryState) bool {
	waits := is == hub.Pending || is == hub.Sending || is == hub.Retrying || is == hub.Uncertain
	switch {
	case verb == postgres.VerbPark:
		return is == hub.Parked
	case verb != "" || attempt == "":
		return waits
	case attempt == string(hub.Retrying):
		return waits && is != hub.Pending
	default: // uncertain, or settled
		return string(is) == attempt
	}
}

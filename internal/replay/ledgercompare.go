package replay

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// differing collects the columns that are not as they must be.
type differing []string

func (d *differing) want(column string, same bool) {
	if !same {
		*d = append(*d, column)
	}
}

// checkPage holds entries against their own columns, and against the rows that belong to them.
func (c *ledgerCheck) checkPage(ctx context.Context, page []postgres.LedgerEntry) error {
	var accepted, settled []*journal.Entry
	var messages []uuid.UUID
	seen := map[uuid.UUID]bool{}
	for i := range page {
		e, ok := c.checkRow(&page[i])
		if !ok {
			continue
		}
		if e.Kind == journal.AttemptSettled {
			c.pending[tryOf(e)] = beganBy(e)
		}
		if c.Ente != 0 && e.Ente != c.Ente {
			continue
		}
		if e.At.Before(c.began) {
			c.out.Entries++
		}
		switch e.Kind { //nolint:exhaustive // no rows belong to the others
		case journal.EventAccepted:
			accepted = append(accepted, e)
		case journal.AttemptSettled:
			settled = append(settled, e)
		case journal.OperatorActed:
			c.out.Acts++
		default:
			continue
		}
		if !seen[e.Message] {
			seen[e.Message] = true
			messages = append(messages, e.Message)
		}
	}
	deliveries, err := c.store.LedgerDeliveries(ctx, messages)
	if err != nil {
		return err
	}
	if err := c.checkAccepted(ctx, accepted, deliveries); err != nil {
		return err
	}
	if err := c.checkSettled(ctx, settled, deliveries); err != nil {
		return err
	}
	last := lastOf(settled)
	for _, message := range messages {
		for i := range deliveries[message] {
			c.checkState(&deliveries[message][i], last)
		}
	}
	return nil
}

// tryOf is the attempt that an entry tells of.
func tryOf(e *journal.Entry) try {
	key := try{e.Delivery, e.Attempt, beganBy(e).UnixMicro()}
	if unsaid(e) {
		key.began = 0
	}
	return key
}

// unsaid tells whether an entry does not say when its attempt began: it is older than the evidence.
func unsaid(e *journal.Entry) bool { return e.StartedAt.IsZero() && !asked(e) }

// beganBy is when an attempt began at the latest.
func beganBy(e *journal.Entry) time.Time {
	if e.StartedAt.IsZero() {
		return e.At
	}
	return e.StartedAt
}

// lastOf are the last of some attempts' entries, by their delivery.
func lastOf(settled []*journal.Entry) map[uuid.UUID]*journal.Entry {
	last := map[uuid.UUID]*journal.Entry{}
	for _, e := range settled {
		if known := last[e.Delivery]; known == nil || known.Attempt < e.Attempt {
			last[e.Delivery] = e
		}
	}
	return last
}

// checkRow holds an entry against the columns by which it is found. It is read unless its bytes are none.
func (c *ledgerCheck) checkRow(row *postgres.LedgerEntry) (*journal.Entry, bool) {
	e, err := journal.Parse(row.Body)
	if err != nil {
		c.find(LedgerRow{Columns: []string{"hub.journal_entry.body"}, Entry: &row.ID})
		return nil, false
	}
	var d differing
	d.want("hub.journal_entry.id", e.ID == row.ID)
	d.want("hub.journal_entry.at", e.At.Equal(row.At))
	d.want("hub.journal_entry.kind", e.Kind == row.Kind)
	d.want("hub.journal_entry.message_id", e.Message == row.Message)
	if !row.Kept {
		d.want(rowRemoved("hub.journal_leaf"), false)
	}
	found := LedgerRow{Columns: d, Entry: &row.ID}
	for _, name := range []struct {
		into **uuid.UUID
		id   *uuid.UUID
	}{{&found.Message, &e.Message}, {&found.Event, &e.Event}, {&found.Delivery, &e.Delivery}} {
		if *name.id != uuid.Nil {
			*name.into = name.id
		}
	}
	c.find(found)
	// One under another id is a copy: what belongs to the entry is compared with the entry itself.
	return &e, e.ID == row.ID
}

// checkAccepted holds acceptances against key, event, message and delivery.
func (c *ledgerCheck) checkAccepted(ctx context.Context, entries []*journal.Entry, deliveries map[uuid.UUID][]postgres.LedgerDelivery) error {
	var keys postgres.LedgerKeys
	for _, e := range entries {
		keys.Add(int16(e.Environment), e.Ente, e.Event, e.Message, e.At)
	}
	rows, err := c.store.LedgerAccepted(ctx, &keys)
	if err != nil {
		return err
	}
	for i, e := range entries {
		c.out.Accepted++
		row := LedgerRow{Entry: &e.ID, Message: &e.Message, Event: &e.Event}
		columns := slices.Concat(keyColumns(e, rows[i].Key), c.eventColumns(e, rows[i].Event), c.messageColumns(e, rows[i].Message))
		if rows[i].Event != nil && e.Delivery != uuid.Nil &&
			!slices.ContainsFunc(deliveries[e.Message], func(d postgres.LedgerDelivery) bool { return d.ID == e.Delivery }) {
			columns = append(columns, rowRemoved("hub.delivery"))
		}
		row.Columns = columns
		c.find(row)
		for n := range deliveries[e.Message] {
			c.checkDelivery(e, &deliveries[e.Message][n])
		}
	}
	return nil
}

// keyColumns are those of an event's key that are not the entry's. It is never deleted.
func keyColumns(e *journal.Entry, k *postgres.LedgerKey) (d differing) {
	if k == nil {
		return differing{rowRemoved("hub.event_key")}
	}
	d.want("hub.event_key.receipt_id", k.Receipt == e.Message)
	d.want("hub.event_key.registration_id", k.Registration == e.ID)
	d.want("hub.event_key.received_at", k.ReceivedAt.Equal(e.At))
	d.want("hub.event_key.outcome", hub.Outcome(k.Outcome).String() == e.Outcome) //nolint:gosec // a CHECK bounds it, or it is another
	d.want("hub.event_key.commitment", bytes.Equal(k.Commitment, e.Commitment[:]))
	return d
}

// eventColumns are those of the event that are not the entry's.
func (c *ledgerCheck) eventColumns(e *journal.Entry, s *postgres.LedgerEvent) (d differing) {
	if s == nil {
		if c.retiredCase(e.At) {
			c.out.Gone++
			return nil
		}
		if len(c.removed) < mostSuspects {
			c.removed[e.Message] = true
		}
		return differing{rowRemoved("hub.event")}
	}
	d.want("hub.event.received_at", s.ReceivedAt.Equal(e.At))
	d.want("hub.event.environment", s.Environment == int16(e.Environment))
	d.want("hub.event.participant_id", s.Participant == e.Participant)
	d.want("hub.event.ente_id", s.Ente == e.Ente)
	d.want("hub.event.event_id", s.Event == e.Event)
	if recorded(e) {
		d.want("hub.event.schema_version", s.Schema == e.Schema)
		d.want("hub.event.rules_version", s.Rules == e.Rules)
		d.want("hub.event.mapping_version", s.Mapping == e.Mapping)
		d.want("hub.event.reference_version", s.Reference == e.Reference)
		d.want("hub.event.region_epoch", s.RegionEpoch == e.RegionEpoch)
	}
	return d
}

// messageColumns are those of the message that are not the entry's.
func (c *ledgerCheck) messageColumns(e *journal.Entry, m *postgres.LedgerMessage) (d differing) {
	if m == nil {
		if c.messages.Retired(e.At) {
			c.out.Gone++
			return nil
		}
		return differing{rowRemoved("hub.message")}
	}
	d.want("hub.message.environment", m.Environment == int16(e.Environment))
	d.want("hub.message.participant_id", m.Participant == e.Participant)
	d.want("hub.message.ente_id", m.Ente == e.Ente)
	d.want("hub.message.digest", bytes.Equal(m.Digest, e.Sealed[:]))
	return d
}

// checkSettled holds attempts' entries against their rows.
func (c *ledgerCheck) checkSettled(ctx context.Context, entries []*journal.Entry, deliveries map[uuid.UUID][]postgres.LedgerDelivery) error {
	var keys postgres.LedgerTries
	for _, e := range entries {
		first := beganBy(e)
		if unsaid(e) {
			first = e.At.Add(-lateBy)
		}
		keys.Add(e.Delivery, e.Attempt, first, beganBy(e))
	}
	rows, err := c.store.LedgerAttempts(ctx, &keys)
	if err != nil {
		return err
	}
	for i, e := range entries {
		c.out.Attempts++
		row := LedgerRow{Entry: &e.ID, Message: &e.Message, Delivery: &e.Delivery, Attempt: e.Attempt}
		if a := rows[i]; a != nil {
			var d differing
			d.want("hub.attempt.state", a.State == e.Outcome)
			d.want("hub.attempt.codes", a.Codes == codesOf(e))
			if e.Hub != "" {
				d.want("hub.attempt.digest", bytes.Equal(a.Digest, e.Outbound[:]) || len(a.Digest) == 0 && e.Outbound == [32]byte{})
			}
			d.want("hub.delivery.message_id", len(deliveries[e.Message]) == 0 ||
				slices.ContainsFunc(deliveries[e.Message], func(d postgres.LedgerDelivery) bool { return d.ID == e.Delivery }))
			row.Columns = d
		} else if c.attempts.Retired(beganBy(e)) {
			c.out.Gone++
		} else {
			row.Columns = []string{rowRemoved("hub.attempt")}
		}
		c.find(row)
	}
	return nil
}

// reconciled is the code of an attempt that SISS was asked about, long after it was sent.
const reconciled = "reconciled"

func asked(e *journal.Entry) bool { return len(e.Codes) > 0 && e.Codes[0] == reconciled }

// codesOf are an entry's codes as the attempt's row has them: only those in plain words, and of what was
// asked about either why it is settled, or SISS's own.
func codesOf(e *journal.Entry) string {
	codes := e.Codes
	if asked(e) {
		if hub.DeliveryState(e.Outcome) == hub.Refused {
			codes = codes[1:]
		} else {
			codes = codes[:1]
		}
	}
	words := make([]string, len(codes))
	for i, code := range codes {
		words[i] = string(code)
	}
	return strings.Join(postgres.PlainCodes(words), " ")
}

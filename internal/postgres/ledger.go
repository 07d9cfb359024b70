package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// What a check of the ledger reads: entries by pages, and for those of a page the rows that belong to
// them, by their keys. Each row and what it is compared with come from one statement, so that a hub that
// works meanwhile never looks like a changed one.

// LedgerEntry is an entry and whether the tree has it.
type LedgerEntry struct {
	JournalRow

	// Kept says that it has its leaf, or waits for one.
	Kept bool
}

const ledgerEntriesSQL = `
SELECT j.id, j.at, j.kind, j.message_id, j.body,
  EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = j.id AND l.entry_at = j.at)
    OR EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = j.id AND q.entry_at = j.at)
FROM hub.journal_entry j
-- of any kind: the column may be wrong
WHERE j.at >= $1 AND j.at < $2 AND j.id > $3 AND j.id >= $4 AND j.id < $5
ORDER BY j.id
LIMIT $6`

// LedgerEntries reads the next entries of a range, of all kinds, in the order of their ids.
func (s *Store) LedgerEntries(ctx context.Context, r EntryRange, most int) ([]LedgerEntry, error) {
	rows, err := s.pool.Query(ctx, ledgerEntriesSQL, r.From, r.To, r.After, uuidAt(r.From.Add(-idSlack)), uuidAt(r.To.Add(idSlack)), most)
	var all []LedgerEntry
	if err == nil {
		var e LedgerEntry
		var message uuid.NullUUID
		_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.At, &e.Kind, &message, &e.Body, &e.Kept}, func() error {
			read := e
			read.At, read.Message = e.At.UTC(), message.UUID
			all = append(all, read)
			e.Body = nil
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read journal entries: %w", masked(err))
	}
	return all, nil
}

// LedgerKeys name what belongs to acceptances: by the event's key, and by the message's id and time.
type LedgerKeys struct {
	environments  []int16
	enti, numbers []int32
	events, ids   uuids
	received      []time.Time
}

// Add asks for what belongs to an acceptance; its rows come back under its number, counted from 0.
func (k *LedgerKeys) Add(environment int16, ente int32, event, message uuid.UUID, receivedAt time.Time) {
	k.numbers = append(k.numbers, int32(len(k.numbers))) //nolint:gosec // a page's
	k.environments, k.enti = append(k.environments, environment), append(k.enti, ente)
	k.events, k.ids, k.received = k.events.add(event), k.ids.add(message), append(k.received, receivedAt)
}

// LedgerKey is a row of hub.event_key.
type LedgerKey struct {
	Receipt, Registration uuid.UUID
	ReceivedAt            time.Time
	Outcome               int16
	Commitment            []byte
}

// LedgerEvent is a row of hub.event.
type LedgerEvent struct {
	ReceivedAt                  time.Time
	Environment                 int16
	Participant, Ente           int32
	Event                       uuid.UUID
	Schema, Reference           string
	Mapping, Rules, RegionEpoch int32
}

// LedgerMessage is a row of hub.message.
type LedgerMessage struct {
	Environment       int16
	Participant, Ente int32
	Digest            []byte
}

// LedgerAccepted are the rows of an acceptance; nil for one that is not there.
type LedgerAccepted struct {
	Key     *LedgerKey
	Event   *LedgerEvent
	Message *LedgerMessage
}

const ledgerAcceptedSQL = `
SELECT i.nr,
  k.receipt_id, k.registration_id, k.received_at, k.outcome, k.commitment,
  e.received_at, e.environment, e.participant_id, e.ente_id, e.event_id, e.schema_version,
  coalesce(e.reference_version, ''), e.mapping_version, e.rules_version, e.region_epoch,
  m.environment, m.participant_id, m.ente_id, m.digest
FROM unnest($1::integer[], $2::smallint[], $3::integer[], $4::uuid[], $5::uuid[], $6::timestamptz[])
  AS i (nr, environment, ente_id, event_id, message_id, at)
LEFT JOIN hub.event_key k ON k.environment = i.environment AND k.ente_id = i.ente_id AND k.event_id = i.event_id
LEFT JOIN hub.event e ON e.id = i.message_id
-- OFFSET keeps it a look-up in the one partition that its time says
LEFT JOIN LATERAL (
  SELECT s.environment, s.participant_id, s.ente_id, s.digest FROM hub.message s
  WHERE s.id = i.message_id AND s.received_at = i.at OFFSET 0
) AS m ON true`

// LedgerAccepted reads the rows of acceptances, in the order in which they were added.
func (s *Store) LedgerAccepted(ctx context.Context, k *LedgerKeys) ([]LedgerAccepted, error) {
	all := make([]LedgerAccepted, len(k.numbers))
	if len(all) == 0 {
		return all, nil
	}
	rows, err := s.pool.Query(ctx, ledgerAcceptedSQL, k.numbers, k.environments, k.enti, k.events, k.ids, k.received)
	if err == nil {
		err = scanAccepted(rows, all)
	}
	if err != nil {
		return nil, fmt.Errorf("read accepted events: %w", masked(err))
	}
	return all, nil
}

func scanAccepted(rows pgx.Rows, into []LedgerAccepted) error {
	var nr int32
	var receipt, registration, event uuid.NullUUID
	var keyAt, eventAt *time.Time
	var outcome, eventIn, messageIn *int16
	var participant, ente, mapping, rules, epoch, from, of *int32
	var schema, reference *string
	var commitment, digest []byte
	columns := []any{
		&nr, &receipt, &registration, &keyAt, &outcome, &commitment, &eventAt, &eventIn, &participant, &ente, &event,
		&schema, &reference, &mapping, &rules, &epoch, &messageIn, &from, &of, &digest,
	}
	_, err := pgx.ForEachRow(rows, columns, func() error {
		a := &into[nr]
		if keyAt != nil {
			a.Key = &LedgerKey{receipt.UUID, registration.UUID, keyAt.UTC(), *outcome, commitment}
		}
		if eventAt != nil {
			a.Event = &LedgerEvent{eventAt.UTC(), *eventIn, *participant, *ente, event.UUID, *schema, *reference, *mapping, *rules, *epoch}
		}
		if messageIn != nil {
			a.Message = &LedgerMessage{*messageIn, *from, *of, digest}
		}
		commitment, digest = nil, nil
		return nil
	})
	return err
}

// LedgerTries name attempts, by their number and when they began.
type LedgerTries struct {
	places, numbers []int32
	deliveries      uuids
	first, last     []time.Time
}

// Add asks for an attempt that began between two instants, both included.
func (k *LedgerTries) Add(delivery uuid.UUID, number int32, first, last time.Time) {
	k.places = append(k.places, int32(len(k.places))) //nolint:gosec // a page's
	k.deliveries, k.numbers = k.deliveries.add(delivery), append(k.numbers, number)
	k.first, k.last = append(k.first, first), append(k.last, last)
}

// LedgerAttempt is a row of hub.attempt.
type LedgerAttempt struct {
	State, Codes string
	Digest       []byte
	// Kept says that what was sent is there, sealed.
	Kept bool
}

const ledgerAttemptsSQL = `
SELECT i.nr, t.state, coalesce(t.codes, ''), t.digest, t.kept
FROM unnest($1::integer[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
  AS i (nr, delivery_id, number, first, last)
CROSS JOIN LATERAL (
  SELECT a.state, a.codes, a.digest, a.sealed IS NOT NULL AS kept FROM hub.attempt a
  WHERE a.delivery_id = i.delivery_id AND a.number = i.number AND a.started_at >= i.first AND a.started_at <= i.last OFFSET 0
) AS t`

// LedgerAttempts reads attempts in the order in which they were added; nil for one that is not there.
func (s *Store) LedgerAttempts(ctx context.Context, k *LedgerTries) ([]*LedgerAttempt, error) {
	all := make([]*LedgerAttempt, len(k.places))
	if len(all) == 0 {
		return all, nil
	}
	rows, err := s.pool.Query(ctx, ledgerAttemptsSQL, k.places, k.deliveries, k.numbers, k.first, k.last)
	if err == nil {
		var nr int32
		var a LedgerAttempt
		_, err = pgx.ForEachRow(rows, []any{&nr, &a.State, &a.Codes, &a.Digest, &a.Kept}, func() error {
			read := a
			all[nr], a.Digest = &read, nil
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", masked(err))
	}
	return all, nil
}

// LedgerDelivery is a row of hub.delivery with what its state must follow from.
type LedgerDelivery struct {
	ID, Message uuid.UUID
	Environment int16
	ReceivedAt  time.Time
	NationEpoch int32
	// OfCase says that it stands in the case of its event, AtPlace that it stands at its place there.
	OfCase, AtPlace bool
	State, Codes    string
	// Attempts is how many began.
	Attempts int32
	// Last is the highest number of an attempt, 0 if there is none, with its State and Codes.
	Last                 int32
	LastState, LastCodes string
	// Acts are the entries of what operators did to deliveries of this event.
	Acts [][]byte
}

const ledgerDeliveriesSQL = `
SELECT d.id, d.message_id, d.environment, d.received_at, d.nation_epoch,
  e.id IS NULL OR d.case_id = e.case_id, e.id IS NULL OR d.position = e.position,
  d.state, coalesce(d.codes, ''), d.attempts,
  coalesce(t.number, 0), coalesce(t.state, ''), coalesce(t.codes, ''),
  ARRAY (
    SELECT j.body FROM hub.journal_entry j
    WHERE j.message_id = d.message_id AND j.kind = 9 AND j.at >= d.received_at - interval '1 hour'
  )
FROM hub.delivery d
LEFT JOIN hub.event e ON e.id = d.message_id
LEFT JOIN LATERAL (
  SELECT a.number, a.state, a.codes FROM hub.attempt a
  -- clocks of several machines; the months before are not looked at
  WHERE a.delivery_id = d.id AND a.started_at >= d.received_at - interval '1 hour'
  ORDER BY a.number DESC, a.started_at DESC
  LIMIT 1
) AS t ON true
WHERE d.message_id = ANY ($1::uuid[])
ORDER BY d.id`

// LedgerDeliveries reads all deliveries of events, by their IdRicevuta.
func (s *Store) LedgerDeliveries(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID][]LedgerDelivery, error) {
	found := make(map[uuid.UUID][]LedgerDelivery, len(messages))
	if len(messages) == 0 {
		return found, nil
	}
	column := uuidColumn(messages)
	rows, err := s.pool.Query(ctx, ledgerDeliveriesSQL, column)
	if err == nil {
		var d LedgerDelivery
		_, err = pgx.ForEachRow(rows, []any{
			&d.ID, &d.Message, &d.Environment, &d.ReceivedAt, &d.NationEpoch, &d.OfCase, &d.AtPlace, &d.State, &d.Codes, &d.Attempts,
			&d.Last, &d.LastState, &d.LastCodes, &d.Acts,
		}, func() error {
			read := d
			read.ReceivedAt, d.Acts = d.ReceivedAt.UTC(), nil
			found[read.Message] = append(found[read.Message], read)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", masked(err))
	}
	return found, nil
}

package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// EntryRange says which entries of the journal are meant.
type EntryRange struct {
	// From and To bound Entry.At: from on, before to.
	From, To time.Time
	// After is the last one that was read, the nil id for none.
	After uuid.UUID
	// Kinds of entries.
	Kinds []journal.Kind
}

// JournalRow is an entry as it stands in the database: its bytes are the evidence, the other columns
// are for finding it, and may be wrong.
type JournalRow struct {
	ID      uuid.UUID
	At      time.Time
	Kind    journal.Kind
	Message uuid.UUID
	Body    []byte
}

// JudgeAt gives what Accept found of an event in its case as it was before: the state of the case and
// the events that it had.
func (a *Acceptance) JudgeAt(state casefile.State, history []casefile.Event) []hub.Violation {
	_, found := judgeIn(&Case{State: state}, history, a)
	return found
}

// Warm opens all connections that the pool may have, so that none has to be opened later.
func (s *Store) Warm(ctx context.Context) error {
	for range s.pool.Config().MaxConns {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return fmt.Errorf("reach the database: %w", masked(err))
		}
		defer conn.Release() // together, at the end
	}
	return nil
}

// idSlack is by how much the id of an entry, which begins with a time, may be away from its At: the id
// is made a moment later, on a clock that may have been set meanwhile.
const idSlack = 24 * time.Hour

// uuidAt is the least UUIDv7 of a time.
func uuidAt(at time.Time) uuid.UUID {
	var id uuid.UUID
	ms := max(0, at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i) & 0xff)
	}
	return id
}

const entriesSQL = `
SELECT j.id, j.at, j.kind, j.message_id, j.body
FROM hub.journal_entry j
WHERE j.at >= $1 AND j.at < $2 AND j.kind = ANY ($3::smallint[])
  -- ids begin with their time: the index finds the first and the last
  AND j.id > $4 AND j.id >= $5 AND j.id < $6
ORDER BY j.id
LIMIT $7`

// Entries reads the next entries of a range in the order of their ids, at most so many.
func (s *Store) Entries(ctx context.Context, r EntryRange, most int) ([]JournalRow, error) {
	rows, err := s.pool.Query(ctx, entriesSQL, r.From, r.To, kinds(r.Kinds), r.After,
		uuidAt(r.From.Add(-idSlack)), uuidAt(r.To.Add(idSlack)), most)
	return readEntries(rows, err)
}

const countEntriesSQL = `
SELECT count(*) FROM hub.journal_entry j
WHERE j.at >= $1 AND j.at < $2 AND j.kind = ANY ($3::smallint[])
  AND j.id > $4 AND j.id >= $5 AND j.id < $6`

// CountEntries tells how many Entries would give.
func (s *Store) CountEntries(ctx context.Context, r EntryRange) (n int64, err error) {
	err = s.pool.QueryRow(ctx, countEntriesSQL, r.From, r.To, kinds(r.Kinds), r.After,
		uuidAt(r.From.Add(-idSlack)), uuidAt(r.To.Add(idSlack))).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count journal entries: %w", masked(err))
	}
	return n, nil
}

const acceptedEntriesSQL = `
SELECT j.id, j.at, j.kind, j.message_id, j.body
FROM hub.event e
JOIN hub.event_key k ON k.environment = e.environment AND k.ente_id = e.ente_id AND k.event_id = e.event_id
JOIN hub.journal_entry j ON j.id = k.registration_id AND j.at = k.received_at
WHERE e.id = ANY ($1::uuid[])
ORDER BY j.id`

// AcceptedEntries reads the entries with which events were accepted, by their IdRicevuta. One that is
// not there is left out.
func (s *Store) AcceptedEntries(ctx context.Context, receipts []uuid.UUID) ([]JournalRow, error) {
	column := uuidColumn(receipts)
	rows, err := s.pool.Query(ctx, acceptedEntriesSQL, column)
	return readEntries(rows, err)
}

func readEntries(rows pgx.Rows, err error) ([]JournalRow, error) {
	var all []JournalRow
	if err == nil {
		var r JournalRow
		var message uuid.NullUUID
		var kind int16
		_, err = pgx.ForEachRow(rows, []any{&r.ID, &r.At, &kind, &message, &r.Body}, func() error {
			read := r
			read.At, read.Kind, read.Message = r.At.UTC(), journal.Kind(kind), message.UUID //nolint:gosec // as it was written
			all = append(all, read)
			r.Body = nil
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read journal entries: %w", masked(err))
	}
	return all, nil
}

func kinds(all []journal.Kind) []int16 {
	column := make([]int16, 0, len(all))
	for _, k := range all {
		column = append(column, int16(k))
	}
	return column
}

// Stored is what the database has of an accepted event.
type Stored struct {
	casefile.Event

	// Receipt is IdRicevuta.
	Receipt     uuid.UUID
	ReceivedAt  time.Time
	Environment hub.Environment
	Participant int32
	Ente        int32
	Subject     uuid.UUID
	Case        uuid.UUID
	// FactsEpoch is the epoch of the case's stand-ins.
	FactsEpoch int32
	// IDsEpoch is the epoch of the case's re-keyed ids for SISS.
	IDsEpoch int32
	// FactsBytes are the facts as they are stored.
	FactsBytes                   []byte
	SchemaVersion                string
	MappingVersion, RulesVersion int32
	ReferenceVersion             string
	RegionEpoch                  int32
	Body                         []byte
	Outcome                      hub.Outcome
	Commitment                   [32]byte
	Sealed                       []byte
	SealedDigest                 [32]byte
	// History are the events of the case before this one.
	History []casefile.Event
	// Sent are its attempts with which something was sent.
	Sent []SentAttempt
}

// SentAttempt is an attempt as its row has it.
type SentAttempt struct {
	Delivery    uuid.UUID
	Number      int32
	NationEpoch int32
	Digest      [32]byte
}

const storedSQL = `
SELECT e.id, e.received_at, e.environment, e.participant_id, e.ente_id, e.event_id, e.case_id, e.subject_id,
  e.type, e.operation, e.refers_to, e.sequence, e.position, e.facts, e.schema_version, e.mapping_version,
  e.rules_version, coalesce(e.reference_version, ''), e.region_epoch, e.body, coalesce(c.facts_epoch, 0),
  coalesce(c.nation_epoch, 0),
  coalesce(k.outcome, 0), k.commitment, m.sealed, m.digest
FROM hub.event e
LEFT JOIN hub.case_file c ON c.id = e.case_id
LEFT JOIN hub.event_key k ON k.environment = e.environment AND k.ente_id = e.ente_id AND k.event_id = e.event_id
-- retention may have dropped the message before the event
LEFT JOIN hub.message m ON m.id = e.id AND m.received_at = e.received_at
WHERE e.id = ANY ($1::uuid[])`

// StoredEvents reads accepted events by their IdRicevuta with all that a replay of them needs: the
// sealed message, the events of the case before, what was sent. One that is not there is left out.
func (s *Store) StoredEvents(ctx context.Context, receipts []uuid.UUID) (map[uuid.UUID]*Stored, error) {
	found := make(map[uuid.UUID]*Stored, len(receipts))
	if len(receipts) == 0 {
		return found, nil
	}
	column := uuidColumn(receipts)
	rows, err := s.pool.Query(ctx, storedSQL, column)
	if err == nil {
		err = readStored(rows, found)
	}
	if err != nil {
		return nil, fmt.Errorf("read accepted events: %w", masked(err))
	}
	seen := map[uuid.UUID]bool{}
	var asked []uuid.UUID
	for _, e := range found {
		if e.Position > 1 && !seen[e.Case] {
			seen[e.Case] = true
			asked = append(asked, e.Case)
		}
	}
	// Facts that cannot be read are none: their own event shows it, and the states after it.
	histories, err := readHistoriesWith(ctx, s.pool, asked, func(facts []byte) (sinba.Facts, error) {
		read, err := casefile.ParseFacts(facts)
		if err != nil {
			return sinba.Facts{}, nil //nolint:nilerr // see above
		}
		return read, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of cases: %w", masked(err))
	}
	for _, e := range found {
		history := histories[e.Case]
		before := 0
		for before < len(history) && history[before].Position < e.Position {
			before++
		}
		e.History = history[:before:before]
	}
	return found, s.readSent(ctx, column, found)
}

func readStored(rows pgx.Rows, into map[uuid.UUID]*Stored) error {
	var e Stored
	var environment, outcome int16
	var refersTo uuid.NullUUID
	var body, commitment, digest []byte
	columns := []any{
		&e.Receipt, &e.ReceivedAt, &environment, &e.Participant, &e.Ente, &e.ID, &e.Case, &e.Subject, &e.Type, &e.Operation,
		&refersTo, &e.Sequence, &e.Position, &e.FactsBytes, &e.SchemaVersion, &e.MappingVersion, &e.RulesVersion,
		&e.ReferenceVersion, &e.RegionEpoch, &body, &e.FactsEpoch, &e.IDsEpoch, &outcome, &commitment, &e.Sealed, &digest,
	}
	_, err := pgx.ForEachRow(rows, columns, func() error {
		read := e
		read.ReceivedAt, read.Environment, read.RefersTo = e.ReceivedAt.UTC(), hub.Environment(environment), refersTo.UUID //nolint:gosec // a CHECK bounds it
		read.Outcome = hub.Outcome(outcome)                                                                                //nolint:gosec // a CHECK bounds it
		copy(read.Commitment[:], commitment)
		copy(read.SealedDigest[:], digest)
		// What cannot be read is left empty: whoever compares sees that it is not what it was.
		read.Body, _ = s2.Decode(nil, body)
		read.Facts, _ = casefile.ParseFacts(e.FactsBytes)
		into[read.Receipt] = &read
		e.FactsBytes, e.Sealed, body, commitment, digest = nil, nil, nil, nil, nil
		return nil
	})
	return err
}

const sentAttemptsSQL = `
SELECT d.message_id, a.delivery_id, a.number, d.nation_epoch, a.digest
FROM hub.delivery d
JOIN hub.attempt a ON a.delivery_id = d.id
WHERE d.message_id = ANY ($1::uuid[]) AND a.digest IS NOT NULL
ORDER BY a.delivery_id, a.number`

// readSent adds the attempts.
func (s *Store) readSent(ctx context.Context, receipts uuids, into map[uuid.UUID]*Stored) error {
	rows, err := s.pool.Query(ctx, sentAttemptsSQL, receipts)
	if err == nil {
		var message uuid.UUID
		var a SentAttempt
		var digest []byte
		_, err = pgx.ForEachRow(rows, []any{&message, &a.Delivery, &a.Number, &a.NationEpoch, &digest}, func() error {
			copy(a.Digest[:], digest)
			if e := into[message]; e != nil {
				e.Sent = append(e.Sent, a)
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("read attempts: %w", masked(err))
	}
	return nil
}

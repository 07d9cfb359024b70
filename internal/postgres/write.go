package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// write is the last round trip: what is to come first, everything a decision adds, and COMMIT. Keys and new cases are
// statements of their own, in that order, because these two may have to wait for another
// writer; the rest waits for nobody. It gives the deliveries that began in the room.
func (d *decision) write(ctx context.Context, conn *pgx.Conn, room Room, first ...string) ([]Claimed, error) {
	var trip pgx.Batch
	for _, statement := range first {
		trip.Queue(statement)
	}
	leases := d.begin(room)
	stored := make(map[uuid.UUID]bool, room.Deliveries)
	if len(d.fresh) > 0 {
		trip.Queue(insertKeysSQL, d.keyArgs()...)
		if opened := d.openedArgs(); opened != nil {
			trip.Queue(insertCasesSQL, opened...)
		}
		if touched := d.touchedArgs(); touched != nil {
			trip.Queue(touchCasesSQL, touched...)
		}
		trip.Queue(insertEventsSQL, append(d.eventArgs(), d.leaseArgs(leases, room)...)...).Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				stored[id] = true
				return nil
			})
			return err
		})
		if checks := d.checkArgs(); checks != nil {
			trip.Queue(insertChecksSQL, checks...)
		}
	} else if d.found {
		trip.Queue(confirmStandbySQL)
	}
	var tag pgconn.CommandTag
	trip.Queue("COMMIT").Exec(func(answer pgconn.CommandTag) error {
		tag = answer
		return nil
	})
	err := conn.SendBatch(ctx, &trip).Close()
	if err := checkCommit(conn, tag, err); err != nil {
		return nil, err
	}
	return d.begun(leases, stored), nil
}

const insertKeysSQL = `
INSERT INTO hub.event_key (environment, ente_id, event_id, receipt_id, received_at,
  registration_id, outcome, warnings, content_mac, commitment)
SELECT i.environment, i.ente_id, i.event_id, i.receipt_id, i.received_at,
  i.registration_id, i.outcome, i.warnings, i.content_mac, i.commitment
FROM unnest($1::smallint[], $2::integer[], $3::uuid[], $4::uuid[], $5::timestamptz[],
  $6::uuid[], $7::smallint[], $8::jsonb[], $9::bytea[], $10::bytea[])
  AS i (environment, ente_id, event_id, receipt_id, received_at,
    registration_id, outcome, warnings, content_mac, commitment)
-- a key that another process inserts now makes us wait: always in this order
ORDER BY i.environment, i.ente_id, i.event_id`

func (d *decision) keyArgs() []any {
	n := len(d.fresh)
	keys := newKeyColumns(n)
	var receipts, registrations uuids
	at := make([]time.Time, 0, n)
	outcomes := make([]int16, 0, n)
	warnings, macs, commitments := make([][]byte, 0, n), make([][]byte, 0, n), make([][]byte, 0, n)
	for _, r := range d.fresh {
		keys.add(r.Key)
		receipts = receipts.add(r.ReceiptID)
		at = append(at, r.ReceivedAt)
		registrations = registrations.add(r.Entry.ID)
		outcomes = append(outcomes, int16(outcomeOf(r.told)))
		warnings = append(warnings, r.warnings)
		macs = append(macs, r.ContentMAC[:])
		commitments = append(commitments, r.Commitment[:])
	}
	return append(keys.args(), receipts, at, registrations, outcomes, warnings, macs, commitments)
}

const insertCasesSQL = `
INSERT INTO hub.case_file (id, environment, ente_id, case_index, index_epoch, subject_id,
  sealed_ids, facts_epoch, nation_epoch, events, created_at, last_event_at, state, status, incongruent)
SELECT i.id, i.environment, i.ente_id, i.case_index, i.index_epoch, i.subject_id,
  i.sealed_ids, i.facts_epoch, i.nation_epoch, i.events, i.last_event_at AS created_at, i.last_event_at, i.state, i.status,
  i.incongruent
FROM unnest($1::smallint[], $2::integer[], $3::bytea[], $4::uuid[], $5::integer[], $6::uuid[],
  $7::bytea[], $8::integer[], $9::integer[], $10::integer[], $11::timestamptz[], $12::bytea[],
  $13::smallint[], $14::integer[])
  AS i (environment, ente_id, case_index, id, index_epoch, subject_id, sealed_ids, facts_epoch,
    nation_epoch, events, last_event_at, state, status, incongruent)
-- as with keys: a new case may be another process's too
ORDER BY i.environment, i.ente_id, i.case_index`

// openedArgs are the new cases, nil if there are none.
func (d *decision) openedArgs() []any {
	var cases caseColumns
	var subjects uuids
	var indexEpochs, factsEpochs, nationEpochs []int32
	var sealed [][]byte
	var taken takenColumns
	for _, c := range d.cases {
		if c.opener == nil {
			continue
		}
		cases.add(c.opener.caseKey())
		subjects = subjects.add(c.Subject)
		indexEpochs = append(indexEpochs, c.opener.Case.IndexEpoch)
		factsEpochs = append(factsEpochs, c.opener.Case.FactsEpoch)
		nationEpochs = append(nationEpochs, c.opener.Case.NationEpoch)
		sealed = append(sealed, c.opener.Case.SealedIDs)
		taken.add(c)
	}
	if len(taken.ids.FlatArray) == 0 {
		return nil
	}
	return append(cases.args(), taken.ids, indexEpochs, subjects, sealed, factsEpochs, nationEpochs,
		taken.events, taken.last, taken.states, taken.statuses, taken.incongruent)
}

// takenColumns are what changes of a case with each event.
type takenColumns struct {
	ids         uuids
	events      []int32
	last        []time.Time
	states      [][]byte
	statuses    []int16
	incongruent []int32
}

func (t *takenColumns) add(c *heldCase) {
	t.ids = t.ids.add(c.ID)
	t.events = append(t.events, c.Events)
	t.last = append(t.last, c.lastAt)
	t.states = append(t.states, c.State.Bytes())
	t.statuses = append(t.statuses, int16(c.State.Status))
	t.incongruent = append(t.incongruent, c.State.Incongruent)
}

const touchCasesSQL = `
UPDATE hub.case_file c
SET events = i.events, last_event_at = greatest(c.last_event_at, i.last_event_at),
  state = i.state, status = i.status, incongruent = i.incongruent
FROM unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::bytea[], $5::smallint[],
  $6::integer[]) AS i (id, events, last_event_at, state, status, incongruent)
WHERE c.id = i.id`

// touchedArgs are the cases known before, nil if there are none. Their locks are held already.
func (d *decision) touchedArgs() []any {
	var taken takenColumns
	for _, c := range d.cases {
		if c.opener == nil {
			taken.add(c)
		}
	}
	if len(taken.ids.FlatArray) == 0 {
		return nil
	}
	return []any{taken.ids, taken.events, taken.last, taken.states, taken.statuses, taken.incongruent}
}

const insertEventsSQL = `
WITH i AS MATERIALIZED (
  SELECT u.id, u.received_at, u.environment, u.participant_id, u.ente_id, u.event_id, u.case_id,
    u.subject_id, u.type, u.operation, u.refers_to, u.original_id, u.sequence, u.position,
    u.facts, u.schema_version,
    u.mapping_version, u.rules_version, u.region_epoch, u.nation_epoch, u.body, u.seal_epoch,
    u.digest, u.sealed, u.transmission_id, u.entry_id, u.entry_at, u.entry_kind, u.entry_body,
    u.reference_version, u.turn, u.ids_epoch,
    -- begun at once only if nothing of its case waits: we hold the case, so nothing joins it now
    CASE WHEN u.lease IS NULL THEN NULL WHEN (
      SELECT e.id FROM hub.delivery e
      WHERE e.case_id = u.case_id AND e.state NOT IN ('delivered', 'refused') LIMIT 1
    ) IS NULL THEN u.lease END AS lease
  FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::integer[], $5::integer[],
    $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::text[], $11::uuid[], $12::integer[],
    $13::integer[], $14::text[], $15::integer[], $16::integer[], $17::integer[], $18::integer[],
    $19::bytea[], $20::uuid[], $21::bytea[], $22::bytea[], $23::uuid[], $24::uuid[],
    $25::timestamptz[], $26::smallint[], $27::bytea[], $28::uuid[], $29::bytea[], $30::text[],
    $31::integer[], $32::integer[], $33::uuid[])
    AS u (id, received_at, environment, participant_id, ente_id, event_id, case_id,
      subject_id, type, operation, refers_to, sequence, position, schema_version,
      mapping_version, rules_version, region_epoch, nation_epoch, body, seal_epoch,
      digest, sealed, transmission_id, entry_id, entry_at, entry_kind, entry_body, original_id,
      facts, reference_version, turn, ids_epoch, lease)
), stored_message AS (
  INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch,
    digest, sealed)
  SELECT i.id, i.received_at, i.environment, i.participant_id, i.ente_id, i.seal_epoch,
    i.digest, i.sealed
  FROM i
), stored_event AS (
  INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id,
    subject_id, type, operation, refers_to, original_id, sequence, position, facts,
    schema_version, mapping_version, rules_version, reference_version, region_epoch, body_format,
    body)
  SELECT i.id, i.received_at, i.environment, i.participant_id, i.ente_id, i.event_id, i.case_id,
    i.subject_id, i.type, i.operation, i.refers_to, i.original_id, i.sequence, i.position,
    i.facts, i.schema_version, i.mapping_version, i.rules_version,
    nullif(i.reference_version, ''), i.region_epoch, 1, i.body
  FROM i
), stored_delivery AS (
  -- due at once, by the database's clock; sequence is the turn, which is not always the event's number
  INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at,
    nation_epoch, ids_epoch, state, attempts, changed_at, due_at, ready_at, lease, owner)
  SELECT i.transmission_id, i.id, i.environment, i.case_id, i.turn, i.position, i.received_at,
    i.nation_epoch, i.ids_epoch, CASE WHEN i.lease IS NULL THEN 'pending' ELSE 'sending' END,
    CASE WHEN i.lease IS NULL THEN 0 ELSE 1 END,
    CASE WHEN i.lease IS NULL THEN i.received_at ELSE clock.now END,
    CASE WHEN i.lease IS NOT NULL THEN clock.now + $35::bigint * interval '1 microsecond'
      -- with two before it, it is put off until it is the next: a claim must not meet what cannot go.
      -- Not with one: that may be settled while we write, and its settlement not see this row.
      WHEN EXISTS (
        SELECT FROM hub.delivery e
        WHERE e.case_id = i.case_id AND e.state NOT IN ('delivered', 'refused')
          AND (e.sequence, e.position) < (i.turn, i.position)
        OFFSET 1
      ) THEN clock.now + interval '5 minutes'
      ELSE clock.now END,
    clock.now, i.lease, CASE WHEN i.lease IS NULL THEN NULL ELSE $34::uuid END
  FROM i CROSS JOIN (SELECT hub.hub_now() AS now) AS clock
  RETURNING id, lease
), stored_entry AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT i.entry_id, i.entry_at, i.entry_kind, i.id, i.entry_body FROM i
), queued AS (
  INSERT INTO hub.journal_queue (entry_id, entry_at)
  SELECT i.entry_id, i.entry_at FROM i
)
SELECT d.id FROM stored_delivery d WHERE d.lease IS NOT NULL`

// leaseArgs are the last arguments of insertEventsSQL.
func (d *decision) leaseArgs(leases []uuid.UUID, room Room) []any {
	var all uuids
	for _, lease := range leases {
		all = all.addNullable(lease)
	}
	return []any{all, room.Owner, room.Lease.Microseconds()}
}

func (d *decision) eventArgs() []any {
	n := len(d.fresh)
	var ids, events, cases, subjects, refers, originals, epochs, transmissions, entryIDs uuids
	var sequences, positions, turns, mappings, rules, regions, nations, inIDs []int32
	at, entryAt := make([]time.Time, 0, n), make([]time.Time, 0, n)
	environments, kinds := make([]int16, 0, n), make([]int16, 0, n)
	participants, enti := make([]int32, 0, n), make([]int32, 0, n)
	types, operations, schemas := make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	references := make([]string, 0, n)
	bodies, digests := make([][]byte, 0, n), make([][]byte, 0, n)
	sealed, entries, facts := make([][]byte, 0, n), make([][]byte, 0, n), make([][]byte, 0, n)
	for i, r := range d.fresh {
		ids, events = ids.add(r.ReceiptID), events.add(r.Key.Event)
		cases, subjects = cases.add(r.Case.ID), subjects.add(r.Subject)
		refers, originals = refers.addNullable(r.RefersTo), originals.addNullable(r.original)
		facts = append(facts, r.facts)
		epochs, transmissions = epochs.add(r.Sealed.Epoch), transmissions.add(r.TransmissionID)
		entryIDs = entryIDs.add(r.Entry.ID)
		sequences, positions = append(sequences, r.Sequence), append(positions, d.positions[i])
		turns = append(turns, r.turn)
		mappings, rules = append(mappings, r.MappingVersion), append(rules, r.RulesVersion)
		regions, nations = append(regions, r.RegionEpoch), append(nations, r.NationEpoch)
		inIDs = append(inIDs, r.Case.NationEpoch)
		at, entryAt = append(at, r.ReceivedAt), append(entryAt, r.Entry.At)
		environments = append(environments, int16(r.Key.Environment))
		kinds = append(kinds, int16(r.Entry.Kind))
		participants, enti = append(participants, r.Participant), append(enti, r.Key.Ente)
		types, operations = append(types, string(r.Type)), append(operations, string(r.Operation))
		schemas, references = append(schemas, r.SchemaVersion), append(references, r.ReferenceVersion)
		bodies, digests = append(bodies, r.body), append(digests, r.Sealed.Digest[:])
		sealed, entries = append(sealed, r.Sealed.Bytes), append(entries, r.entry)
	}
	return []any{
		ids, at, environments, participants, enti, events, cases, subjects, types, operations, refers,
		sequences, positions, schemas, mappings, rules, regions, nations, bodies, epochs, digests, sealed,
		transmissions, entryIDs, entryAt, kinds, entries, originals, facts, references,
		turns, inIDs,
	}
}

// uuids is a column of ids in the form that pgx encodes without reflection.
type uuids struct{ pgtype.FlatArray[pgtype.UUID] }

func (u uuids) add(id uuid.UUID) uuids {
	return uuids{append(u.FlatArray, pgtype.UUID{Bytes: id, Valid: true})}
}

// uuidColumn is ids as the column of unnest.
func uuidColumn(ids []uuid.UUID) uuids {
	var column uuids
	for _, id := range ids {
		column = column.add(id)
	}
	return column
}

// addNullable turns the nil id into NULL.
func (u uuids) addNullable(id uuid.UUID) uuids {
	return uuids{append(u.FlatArray, pgtype.UUID{Bytes: id, Valid: id != uuid.Nil})}
}

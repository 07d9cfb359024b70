package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// Verb is what an operator does to a delivery; its word is the journal's Outcome.
type Verb string

// The verbs.
const (
	// VerbRetry makes a retrying, uncertain or dead one due at once. A dead one gets a fresh budget,
	// and is asked about before it is sent: its last answers may have been lost.
	VerbRetry Verb = "retry"
	// VerbPark sets aside one that is not settled.
	VerbPark Verb = "park"
	// VerbUnpark gives a parked one its turn and a fresh budget. One that was tried before is asked
	// about first.
	VerbUnpark Verb = "unpark"
	// VerbRedeliver sends a delivered or refused one again under the same IdTrasmissione, which SISS
	// answers with what it did the first time.
	VerbRedeliver Verb = "redeliver"
	// VerbRenew sends a refused one again under a new IdTrasmissione (contract: only after RIFIUTATO,
	// and with a reason).
	VerbRenew Verb = "renew"
)

// Refusal says why nothing was done. Empty means that it was.
type Refusal string

// The refusals.
const (
	// RefusalUnknown is for an id that is neither a delivery's nor a receipt's.
	RefusalUnknown Refusal = "unknown_id"
	// RefusalEnvironment is for one of the other environment.
	RefusalEnvironment Refusal = "other_environment"
	// RefusalUnderWay is for one whose attempt is under way: only its end tells what SISS has.
	RefusalUnderWay Refusal = "under_way"
	// RefusalState is for a verb that its state does not allow.
	RefusalState Refusal = "wrong_state"
	// RefusalReplaced is for a refused one that was sent again under another id.
	RefusalReplaced Refusal = "replaced"
	// RefusalConfirm is for one that SISS has confirmed, if the operator did not say that it knows; and
	// for VerbRenew of one that a reconciliation found accepted there.
	RefusalConfirm Refusal = "delivered_already"
	// RefusalCorrected is for an event whose correction or annulment SISS has or may have: sent after
	// that, it could undo it.
	RefusalCorrected Refusal = "corrected_later"
)

// Act is one operator's verb on one delivery.
type Act struct {
	// Verb says what to do.
	Verb Verb
	// Environment the operator works in.
	Environment hub.Environment
	// ID is a delivery's (IdTrasmissione), or an IdRicevuta: then its event's newest delivery is meant.
	ID uuid.UUID
	// Confirmed says that the operator knows that SISS has it already (VerbRedeliver).
	Confirmed bool
	// Corrections takes the delivered corrections and annulments of the event along (VerbRedeliver):
	// they are sent again after it.
	Corrections bool
	// At is when, by the operator's clock, for the journal.
	At time.Time
	// Actor and Reason are the journal's. Whoever fills them in has refused identities in them.
	Actor, Reason string
	// Order is the entry of what the actor signed for it; nil if nothing was.
	Order uuid.UUID
}

// Acted is what came of an act.
type Acted struct {
	// Refusal is why nothing was done.
	Refusal Refusal
	// Delivery is the one acted on; after VerbRenew the new one. Nil if unknown.
	Delivery uuid.UUID
	// Message is IdRicevuta.
	Message uuid.UUID
	// From and To are its states before and now. A renewed one is From refused.
	From, To hub.DeliveryState
	// Later are the deliveries of corrections and annulments that were taken along, or that are why
	// it was refused.
	Later []uuid.UUID
	// Behind is what it waits behind now; its Head is nil if it is the first of its case.
	Behind Waiting
	// LeaseUntil is when an attempt under way ends at the latest.
	LeaseUntil time.Time
}

// errAct says that an act breaks what its fields promise: a defect of the caller.
var errAct = errors.New("act is incomplete")

// Operate does one act in one transaction with its journal entries, one for each delivery it
// changes. It never takes a delivery from an attempt under way. Errors are *hub.Error: of kind
// Unavailable if the database failed, and then nobody knows whether it was done: look, or do it
// again, which does no harm.
func (s *Store) Operate(ctx context.Context, a Act) (Acted, error) {
	if a.Actor == "" || a.Reason == "" || a.At.IsZero() {
		return Acted{}, hub.NewError(hub.Internal, hub.CodeInternal, errAct)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var done Acted
	var err error
	for range claimTries {
		// An attempt that ended meanwhile waited for us as we for it: it is over now.
		if done, err = s.operateOnce(ctx, &a); !raced(err) {
			break
		}
	}
	if err != nil {
		return Acted{}, unavailable(err)
	}
	if done.Refusal == "" {
		// It is done, whatever can be told of its neighbours.
		if behind, err := s.Behind(ctx, []uuid.UUID{done.Delivery}); err == nil {
			done.Behind = behind[done.Delivery]
		}
	}
	return done, nil
}

func (s *Store) operateOnce(ctx context.Context, a *Act) (done Acted, err error) {
	err = s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
			return err
		}
		var err error
		if done, err = a.do(ctx, conn); err != nil {
			return err
		}
		if done.Refusal != "" {
			_, err := conn.Exec(ctx, "ROLLBACK")
			return err
		}
		tag, err := conn.Exec(ctx, "COMMIT")
		return checkCommit(conn, tag, err)
	})
	return done, err
}

// target is the delivery acted on, while its case is locked.
type target struct {
	id, message, caseID, event uuid.UUID
	environment                hub.Environment
	participant, ente          int32
	state                      hub.DeliveryState
	attempts                   int32
	// held says that an attempt is under way, until dueAt at the latest.
	held  bool
	dueAt time.Time
	// replaced says that a later transmission of the same event is there.
	replaced bool
	// there says that SISS told a reconciliation that it has the event.
	there bool
	later []correction
}

// correction is the delivery of a correction or annulment of the target's event, tried at least
// once and not refused: SISS has it or may have it.
type correction struct {
	id, message, event uuid.UUID
	participant        int32
	attempts           int32
	delivered, held    bool
}

// do finds and locks, decides, and writes.
func (a *Act) do(ctx context.Context, conn *pgx.Conn) (Acted, error) {
	t, err := a.find(ctx, conn)
	if errors.Is(err, pgx.ErrNoRows) {
		return Acted{Refusal: RefusalUnknown}, nil
	}
	if err != nil {
		return Acted{}, err
	}
	done := Acted{Delivery: t.id, Message: t.message, From: t.state, To: t.state}
	if done.To, done.Refusal = a.decide(t); done.Refusal != "" {
		done.To = t.state
		if done.Refusal == RefusalUnderWay && t.held {
			done.LeaseUntil = t.dueAt.UTC()
		}
		for _, c := range t.later {
			done.Later = append(done.Later, c.id)
		}
		return done, nil
	}
	if err := holdBack(ctx, conn, t); err != nil {
		return Acted{}, err
	}
	if a.Verb == VerbRenew {
		done.Delivery = uuid.New()
		err = a.renew(ctx, conn, t, done.Delivery)
	} else {
		done.Later, err = a.change(ctx, conn, t, done.To)
	}
	return done, err
}

const lockCaseSQL = `
SELECT c.id FROM hub.case_file c
WHERE c.id = (
  SELECT d.case_id FROM hub.delivery d WHERE d.id = $1
  UNION ALL
  SELECT d.case_id FROM hub.delivery d WHERE d.message_id = $1
  LIMIT 1
)
-- one operator at a time in a case, and no new event meanwhile. Whoever settles or claims never
-- waits for this lock, so that nobody waits in a circle.
FOR NO KEY UPDATE OF c`

const lockDeliveriesSQL = `
SELECT d.id FROM hub.event e JOIN hub.delivery d ON d.message_id = e.id
WHERE e.case_id = $1
-- A claim skips them; the end of an attempt waits for us, or we for it: before we hold anything that
-- it may want besides.
ORDER BY d.lease IS NULL, d.id
FOR NO KEY UPDATE OF d`

const targetSQL = `
SELECT d.id, d.message_id, d.case_id, e.event_id, d.environment, e.participant_id, e.ente_id, d.state, d.attempts,
  -- the holder of a lease that ran out can settle nothing any more once it is taken away
  d.lease IS NOT NULL AND d.due_at > hub.hub_now(), coalesce(d.due_at, d.changed_at),
  EXISTS (
    SELECT FROM hub.delivery n
    WHERE n.message_id = d.message_id AND n.id <> d.id
      AND d.state = 'refused' AND (n.settled_at IS NULL OR n.settled_at > d.settled_at)
  ),
  EXISTS (
    SELECT FROM hub.reconciliation_difference f
    WHERE f.environment = d.environment AND f.delivery_id = d.id AND f.kind = 'accepted_there'
  )
FROM (
  SELECT o.id FROM hub.delivery o WHERE o.id = $1
  UNION ALL
  -- the open or last settled one is the event's
  (SELECT o.id FROM hub.delivery o WHERE o.message_id = $1 ORDER BY o.settled_at DESC NULLS FIRST LIMIT 1)
  LIMIT 1
) AS t
JOIN hub.delivery d ON d.id = t.id
JOIN hub.event e ON e.id = d.message_id`

// find locks the case and all its deliveries, then reads the one meant: what another operator or
// an attempt did before is seen, and nothing changes until the end of the transaction.
func (a *Act) find(ctx context.Context, conn *pgx.Conn) (*target, error) {
	t := &target{}
	if err := conn.QueryRow(ctx, lockCaseSQL, a.ID).Scan(&t.caseID); err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, lockDeliveriesSQL, t.caseID); err != nil {
		return nil, err
	}
	err := conn.QueryRow(ctx, targetSQL, a.ID).Scan(&t.id, &t.message, &t.caseID, &t.event, &t.environment,
		&t.participant, &t.ente, &t.state, &t.attempts, &t.held, &t.dueAt, &t.replaced, &t.there)
	if err != nil {
		return nil, err
	}
	t.later, err = readCorrections(ctx, conn, t.message)
	return t, err
}

const correctionsSQL = `
SELECT d.id, d.message_id, c.event_id, c.participant_id, d.attempts, d.state = 'delivered', d.lease IS NOT NULL
FROM hub.event e
JOIN hub.event c ON c.case_id = e.case_id AND c.original_id = coalesce(e.original_id, e.event_id)
  AND c.operation <> 'I' AND c.position > e.position
JOIN hub.delivery d ON d.message_id = c.id
WHERE e.id = $1 AND d.state <> 'refused' AND d.attempts > 0
ORDER BY c.sequence, c.position`

func readCorrections(ctx context.Context, conn *pgx.Conn, message uuid.UUID) ([]correction, error) {
	rows, err := conn.Query(ctx, correctionsSQL, message)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c correction, err error) {
		return c, row.Scan(&c.id, &c.message, &c.event, &c.participant, &c.attempts, &c.delivered, &c.held)
	})
}

// decide tells which state the target gets, or why none.
func (a *Act) decide(t *target) (hub.DeliveryState, Refusal) {
	switch {
	case t.environment != a.Environment:
		return "", RefusalEnvironment
	case t.replaced:
		return "", RefusalReplaced
	case t.held:
		return "", RefusalUnderWay
	}
	state := t.state
	if state == hub.Sending {
		state = hub.Uncertain // its lease ran out
	}
	switch a.Verb {
	case VerbRetry:
		switch state { //nolint:exhaustive // no other has a next attempt
		case hub.Retrying:
			return hub.Retrying, ""
		case hub.Uncertain, hub.Dead:
			return hub.Uncertain, ""
		}
	case VerbPark:
		switch state { //nolint:exhaustive // the others are settled
		case hub.Pending, hub.Retrying, hub.Uncertain, hub.Dead:
			return hub.Parked, ""
		}
	case VerbUnpark:
		switch {
		case state == hub.Parked && t.attempts == 0:
			return hub.Pending, ""
		case state == hub.Parked:
			return hub.Uncertain, ""
		}
	case VerbRedeliver, VerbRenew:
		return a.decideAgain(t, state)
	}
	return "", RefusalState
}

// decideAgain is decide for what SISS has already judged.
func (a *Act) decideAgain(t *target, state hub.DeliveryState) (hub.DeliveryState, Refusal) {
	switch {
	case state == hub.Refused && len(t.later) > 0:
		// SISS has the annulment or the correction: the event itself would come to life after it.
		return "", RefusalCorrected
	case state == hub.Refused && a.Verb == VerbRenew && t.there:
		// Whatever the operator knows: under another id SISS would have it twice.
		return "", RefusalConfirm
	case state == hub.Refused && a.Verb == VerbRenew:
		return hub.Pending, ""
	case state == hub.Refused:
		return hub.Retrying, ""
	case state != hub.Delivered || a.Verb == VerbRenew:
		return "", RefusalState
	case len(t.later) > 0 && !a.Corrections:
		return "", RefusalCorrected
	case !a.Confirmed:
		return "", RefusalConfirm
	}
	for _, c := range t.later {
		if c.held {
			return "", RefusalUnderWay
		}
	}
	return hub.Retrying, ""
}

// entry is the journal's for one delivery.
func (a *Act) entry(t *target, c correction) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: a.At, Kind: journal.OperatorActed, Environment: t.environment,
		Participant: c.participant, Ente: t.ente, Message: c.message, Event: c.event, Delivery: c.id,
		Attempt: c.attempts, Outcome: string(a.Verb), Actor: a.Actor, Reason: a.Reason, Other: a.Order,
	}
}

// entryColumns are the columns of journal entries.
type entryColumns struct {
	ids, messages uuids
	at            []time.Time
	bodies        [][]byte
}

func (c *entryColumns) add(e journal.Entry) {
	c.ids, c.messages = c.ids.add(e.ID), c.messages.add(e.Message)
	c.at, c.bodies = append(c.at, e.At), append(c.bodies, e.Bytes())
}

const changeSQL = `
WITH clock AS MATERIALIZED (
  SELECT hub.hub_now() AS now
), changed AS (
  UPDATE hub.delivery d
  SET state = $2,
    changed_at = CASE WHEN d.state = $2 THEN d.changed_at ELSE clock.now END,
    due_at = CASE WHEN $2 <> 'parked' THEN clock.now END,
    ready_at = clock.now,
    settled_at = CASE WHEN $2 = 'parked' THEN clock.now END,
    spared = CASE WHEN $2 <> 'parked' AND d.settled_at IS NOT NULL THEN d.attempts ELSE d.spared END,
    lease = NULL,
    owner = NULL
  FROM clock
  WHERE d.id = ANY ($1::uuid[])
), followers AS (
  -- those that waited behind it were put off for up to a minute
  UPDATE hub.delivery f
  SET due_at = clock.now, ready_at = clock.now
  FROM clock
  WHERE f.case_id = $3 AND f.state NOT IN ('delivered', 'refused') AND f.state = 'pending'
    AND f.due_at > clock.now AND f.id <> ALL ($1::uuid[]) AND $9
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT u.id, u.at, $8, u.message_id, u.body
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::bytea[]) AS u (id, at, message_id, body)
  RETURNING id, at
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
SELECT entered.id, entered.at FROM entered`

const holdBackSQL = `
UPDATE hub.delivery f
SET due_at = greatest(f.due_at, hub.hub_now() + interval '2 seconds')
-- A claim that began before this transaction ends still sees the case without the event that is open
-- again, and would let an annulment overtake it. It finds these rows locked, or changed and not due.
WHERE f.case_id = $1 AND f.state NOT IN ('delivered', 'refused')
  AND f.state IN ('pending', 'retrying', 'uncertain') AND f.lease IS NULL`

// holdBack keeps what waits in a case from overtaking an event that was settled and goes again.
func holdBack(ctx context.Context, conn *pgx.Conn, t *target) error {
	if t.state != hub.Delivered && t.state != hub.Refused {
		return nil
	}
	_, err := conn.Exec(ctx, holdBackSQL, t.caseID)
	return err
}

// change puts the target into its state, and the delivered corrections that come along.
func (a *Act) change(ctx context.Context, conn *pgx.Conn, t *target, to hub.DeliveryState) (later []uuid.UUID, err error) {
	ids := uuids{}.add(t.id)
	var entries entryColumns
	entries.add(a.entry(t, correction{id: t.id, message: t.message, event: t.event, participant: t.participant, attempts: t.attempts}))
	for _, c := range t.later {
		if a.Verb == VerbRedeliver && c.delivered {
			ids, later = ids.add(c.id), append(later, c.id)
			entries.add(a.entry(t, c))
		}
	}
	_, err = conn.Exec(ctx, changeSQL, ids, to, t.caseID, entries.ids, entries.at, entries.messages, entries.bodies,
		int16(journal.OperatorActed), t.state != hub.Delivered && t.state != hub.Refused && to != hub.Parked)
	return later, err
}

const renewSQL = `
WITH clock AS MATERIALIZED (
  SELECT hub.hub_now() AS now
), renewed AS (
  -- the same event at the same place of its case, made with the same keys
  INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at,
    nation_epoch, ids_epoch, state, attempts, changed_at, due_at, ready_at)
  SELECT $2, d.message_id, d.environment, d.case_id, d.sequence, d.position, d.received_at,
    d.nation_epoch, d.ids_epoch, 'pending', 0, clock.now AS changed_at, clock.now AS due_at, clock.now AS ready_at
  FROM hub.delivery d CROSS JOIN clock WHERE d.id = $1
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body) VALUES ($3, $4, $7, $5, $6)
)
INSERT INTO hub.journal_queue (entry_id, entry_at) VALUES ($3, $4)`

// renew adds a transmission with an id of its own.
func (a *Act) renew(ctx context.Context, conn *pgx.Conn, t *target, id uuid.UUID) error {
	e := a.entry(t, correction{id: id, message: t.message, event: t.event, participant: t.participant})
	_, err := conn.Exec(ctx, renewSQL, t.id, id, e.ID, e.At, e.Message, e.Bytes(), int16(journal.OperatorActed))
	return err
}

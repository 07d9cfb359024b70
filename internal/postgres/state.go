package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// StateQuery asks for the state of one event of one of some enti (statoEvento). Exactly one of
// Event and Receipt is set.
type StateQuery struct {
	// Environment of the event.
	Environment hub.Environment
	// Enti are the registry's rows the asking participant may speak for.
	Enti []int32
	// Event is IdEvento.
	Event uuid.UUID
	// Receipt is IdRicevuta.
	Receipt uuid.UUID
}

// EventState is what a vendor may know about an event of its own.
type EventState struct {
	// Event is IdEvento.
	Event uuid.UUID
	// Receipt is IdRicevuta.
	Receipt uuid.UUID
	// State of its delivery.
	State hub.DeliveryState
	// Annulled says that a later annulment of the same case was confirmed.
	Annulled bool
	// At is when the state began.
	At time.Time
	// Attempts made so far.
	Attempts int32
	// Protocol is ProtocolloNazionale, empty while there is none.
	Protocol string
	// Codes are those of the last attempt, never SISS's text.
	Codes []string
	// Warnings are those of the first receipt.
	Warnings []hub.Violation
	// Registration is IdRegistrazione, the journal's entry of the acceptance.
	Registration uuid.UUID
}

// Stato is the contract's word for the state (codStatoEvento).
func (s EventState) Stato() string {
	if s.Annulled {
		return "ANNULLATO"
	}
	return s.State.Stato()
}

// State finds the state of an event. An event that does not exist or belongs to none of the
// enti is a *hub.Error of kind NotFound with hub.CodeUnknownEvent.
func (s *Store) State(ctx context.Context, q StateQuery) (EventState, error) {
	var state EventState
	var err error
	if q.Receipt != uuid.Nil {
		state, err = s.stateByReceipt(ctx, q)
	} else {
		state, err = s.stateByEvent(ctx, q)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return EventState{}, hub.NewError(hub.NotFound, hub.CodeUnknownEvent, nil)
	}
	if err != nil {
		return EventState{}, unavailable(err)
	}
	return state, nil
}

// annulled tells of an event e whether an annulment of it was confirmed. statoEvento and
// riepilogoEventi share it, so that both say the same word.
const annulled = `
  EXISTS (
    SELECT FROM hub.event a JOIN hub.delivery ad ON ad.message_id = a.id
    -- with its original all its corrections are annulled
    WHERE a.case_id = e.case_id AND a.original_id = coalesce(e.original_id, e.event_id)
      AND e.operation <> 'A' AND a.operation = 'A' AND ad.state = 'delivered'
  )`

// newestDelivery joins the delivery d of an event e whose state is the event's.
const newestDelivery = `
CROSS JOIN LATERAL (
  -- an operator may have sent again after a refusal: the open or last settled one counts
  SELECT n.state, n.changed_at, n.attempts, n.protocol, n.codes FROM hub.delivery n
  WHERE n.message_id = e.id ORDER BY n.settled_at DESC NULLS FIRST LIMIT 1
) AS d`

// stateColumns are what scanState reads, of a key k, its event e and its newest delivery d.
const stateColumns = `
SELECT k.event_id, k.receipt_id, k.warnings, d.state, d.changed_at, d.attempts,
  coalesce(d.protocol, ''), coalesce(d.codes, ''), k.registration_id,` + annulled

const stateByEventSQL = stateColumns + `
FROM hub.event_key k
JOIN hub.event e ON e.id = k.receipt_id` + newestDelivery + `
WHERE k.environment = $1 AND k.ente_id = ANY ($2) AND k.event_id = $3
ORDER BY k.ente_id LIMIT 1`

func (s *Store) stateByEvent(ctx context.Context, q StateQuery) (EventState, error) {
	return readRow(ctx, s, q.Enti, scanState, stateByEventSQL, q.Environment, q.Enti, q.Event)
}

const stateByReceiptSQL = stateColumns + `
FROM hub.event e
JOIN hub.event_key k ON k.environment = e.environment AND k.ente_id = e.ente_id
  AND k.event_id = e.event_id` + newestDelivery + `
WHERE e.environment = $1 AND e.ente_id = ANY ($2) AND e.id = $3`

func (s *Store) stateByReceipt(ctx context.Context, q StateQuery) (EventState, error) {
	return readRow(ctx, s, q.Enti, scanState, stateByReceiptSQL, q.Environment, q.Enti, q.Receipt)
}

func scanState(row pgx.Row) (EventState, error) {
	var state EventState
	var warnings []byte
	var codes string
	err := row.Scan(&state.Event, &state.Receipt, &warnings, &state.State, &state.At, &state.Attempts,
		&state.Protocol, &codes, &state.Registration, &state.Annulled)
	if err != nil {
		return EventState{}, err
	}
	state.At = state.At.UTC()
	state.Codes = strings.Fields(codes)
	state.Warnings, err = parseWarnings(warnings)
	return state, err
}

const eventsOfSQL = `
SELECT DISTINCT subject_id FROM hub.event WHERE subject_id = ANY ($1)`

// EventsOf tells which of the subjects have at least one event, for the vault's sweep.
func (s *Store) EventsOf(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]bool, error) {
	column := uuidColumn(subjects)
	rows, err := s.pool.Query(ctx, eventsOfSQL, column)
	if err != nil {
		return nil, unavailable(err)
	}
	found := map[uuid.UUID]bool{}
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		found[id] = true
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

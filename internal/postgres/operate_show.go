package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// ShownDelivery is all that an operator may see of one delivery.
type ShownDelivery struct {
	ListedDelivery

	// Environment it belongs to.
	Environment hub.Environment
	// Event is IdEvento, by which the ente's product knows it.
	Event uuid.UUID
	// Operation is TipoOperazione (I, R, A).
	Operation string
	// Registration is the id of the journal entry of its acceptance.
	Registration uuid.UUID
	// Protocol is ProtocolloNazionale, empty if there is none.
	Protocol string
	// Spared are the attempts that do not count against the budget.
	Spared int32
	// Tries are its attempts, oldest first.
	Tries []Try
	// Followers are those of its case that wait behind it, in their order: the first twenty.
	Followers []Neighbour
	// Transmissions are the other deliveries of the same event.
	Transmissions []Neighbour
	// Corrections are the deliveries of corrections and annulments of its event that SISS has or may
	// have, in their order.
	Corrections []uuid.UUID
	// Acts are the journal's entries of operators on its event, oldest first.
	Acts []journal.Entry
}

// Neighbour is another delivery that has to do with the one shown.
type Neighbour struct {
	// ID is IdTrasmissione.
	ID uuid.UUID
	// State it stands in.
	State hub.DeliveryState
	// Codes are those of its last attempt.
	Codes []string
}

// Try is one attempt as it was settled.
type Try struct {
	// Number of the attempt, from 1.
	Number int32
	// StartedAt is its begin by the clock of the process that made it.
	StartedAt time.Time
	// Took is how long it lasted.
	Took time.Duration
	// State the delivery got by it.
	State hub.DeliveryState
	// Codes say why.
	Codes []string
	// Sent says that a national event left.
	Sent bool
}

const showSQL = listed + `,
  d.environment, e.event_id, e.operation, k.registration_id, coalesce(d.protocol, ''), d.spared
FROM (
  SELECT o.id FROM hub.delivery o WHERE o.id = $1
  UNION ALL
  (SELECT o.id FROM hub.delivery o WHERE o.message_id = $1 ORDER BY o.settled_at DESC NULLS FIRST LIMIT 1)
  LIMIT 1
) AS t
JOIN hub.delivery d ON d.id = t.id
JOIN hub.event e ON e.id = d.message_id
JOIN hub.event_key k ON k.environment = e.environment AND k.ente_id = e.ente_id AND k.event_id = e.event_id
JOIN hub.ente n ON n.id = e.ente_id`

// ShowDelivery reads one delivery by its id or by IdRicevuta. One that does not
// exist is a *hub.Error of kind NotFound. It may be of any environment.
func (s *Store) ShowDelivery(ctx context.Context, id uuid.UUID) (*ShownDelivery, error) {
	var d *ShownDelivery
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) (err error) {
		d, err = readShown(ctx, tx, id)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, hub.NewError(hub.NotFound, hub.CodeUnknownEvent, nil)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	behind, err := s.Behind(ctx, []uuid.UUID{d.ID})
	if err != nil {
		return nil, err
	}
	d.Behind = behind[d.ID]
	return d, nil
}

func readShown(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*ShownDelivery, error) {
	d := &ShownDelivery{}
	var err error
	more := []any{&d.Environment, &d.Event, &d.Operation, &d.Registration, &d.Protocol, &d.Spared}
	if d.ListedDelivery, err = scanListed(longer{tx.QueryRow(ctx, showSQL, id), more}); err != nil {
		return nil, err
	}
	if d.Tries, err = readTries(ctx, tx, d.ID); err != nil {
		return nil, err
	}
	if d.Followers, err = readNeighbours(ctx, tx, followersSQL, d.ID); err != nil {
		return nil, err
	}
	if d.Transmissions, err = readNeighbours(ctx, tx, transmissionsSQL, d.ID); err != nil {
		return nil, err
	}
	corrections, err := readCorrections(ctx, tx.Conn(), d.Message)
	if err != nil {
		return nil, err
	}
	for _, c := range corrections {
		d.Corrections = append(d.Corrections, c.id)
	}
	d.Acts, err = readActs(ctx, tx, d.Message)
	return d, err
}

// longer is a row with columns behind those its reader knows.
type longer struct {
	row  pgx.Row
	more []any
}

// Scan reads the known columns and the others.
func (l longer) Scan(known ...any) error { return l.row.Scan(append(known, l.more...)...) }

const triesSQL = `
SELECT a.number, a.started_at, a.took, a.state, coalesce(a.codes, ''), a.digest IS NOT NULL
FROM hub.attempt a
WHERE a.delivery_id = $1
ORDER BY a.started_at, a.number`

func readTries(ctx context.Context, tx pgx.Tx, id uuid.UUID) ([]Try, error) {
	rows, err := tx.Query(ctx, triesSQL, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Try, err error) {
		var codes string
		err = row.Scan(&t.Number, &t.StartedAt, &t.Took, &t.State, &codes, &t.Sent)
		t.StartedAt, t.Codes = t.StartedAt.UTC(), strings.Fields(codes)
		return t, err
	})
}

const followersSQL = `
SELECT w.id, w.state, coalesce(w.codes, '')
FROM hub.delivery d
JOIN hub.delivery w ON w.case_id = d.case_id AND w.state NOT IN ('delivered', 'refused') AND w.id <> d.id
  AND (d.lease IS NOT NULL OR (w.sequence, w.position) > (d.sequence, d.position))
WHERE d.id = $1 AND d.state NOT IN ('delivered', 'refused')
ORDER BY w.sequence, w.position LIMIT 20`

const transmissionsSQL = `
SELECT o.id, o.state, coalesce(o.codes, '')
FROM hub.delivery d JOIN hub.delivery o ON o.message_id = d.message_id AND o.id <> d.id
WHERE d.id = $1
ORDER BY o.settled_at NULLS LAST`

// readNeighbours reads deliveries that have to do with one.
func readNeighbours(ctx context.Context, tx pgx.Tx, query string, id uuid.UUID) ([]Neighbour, error) {
	rows, err := tx.Query(ctx, query, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Neighbour, err error) {
		var codes string
		err = row.Scan(&n.ID, &n.State, &codes)
		n.Codes = strings.Fields(codes)
		return n, err
	})
}

// The literal is journal.OperatorActed: a parameter would not find the index.
const actsSQL = `
SELECT j.body FROM hub.journal_entry j
WHERE j.message_id = $1 AND j.kind = 9
ORDER BY j.at, j.id`

func readActs(ctx context.Context, tx pgx.Tx, message uuid.UUID) ([]journal.Entry, error) {
	rows, err := tx.Query(ctx, actsSQL, message)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Entry, error) {
		var body []byte
		if err := row.Scan(&body); err != nil {
			return journal.Entry{}, err
		}
		e, err := journal.Parse(body)
		if err != nil {
			return journal.Entry{}, errStored
		}
		return e, nil
	})
}

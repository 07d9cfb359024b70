package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// The most that one answer to riepilogoEventi holds.
const (
	// PageSize is the number of events of a full page.
	PageSize = 1000
	// mostMissing bounds the numbers told as missing, since a case whose only event has the number
	// 2,000,000,000 misses all before it.
	mostMissing = 1000
)

// summariesAtOnce is how many summaries are read at the same time: they are the only questions
// that read thousands of rows, and must leave the connections to the acceptances.
const summariesAtOnce = 2

// SummaryQuery asks for one page of what an ente has sent (riepilogoEventi).
type SummaryQuery struct {
	// Environment of the ente.
	Environment hub.Environment
	// Ente is the registry's row of one the asking participant may speak for.
	Ente int32
	// From and To are the first and the last day, as YYYY-MM-DD. A day is that of DataOraRicezione
	// in Europe/Rome.
	From, To string
	// After is the last event of the page before; zero asks for the first page, which alone has
	// totals and missing numbers.
	After Place
	// CaseIndex is the keyed index of the IdCartella whose missing numbers are asked for; all zero
	// asks for none.
	CaseIndex [32]byte
}

// Place is where an event stands in the order of an ente's summary: by DataOraRicezione, then by
// its receipt. The order never changes, so that a page begins where the one before ended however
// many events arrive meanwhile.
type Place struct {
	// ReceivedAt is DataOraRicezione.
	ReceivedAt time.Time
	// Receipt is IdRicevuta.
	Receipt uuid.UUID
}

// Summary is one page.
type Summary struct {
	// Totals are by day and type, in that order; on the first page only.
	Totals []DayTotal
	// Events are at most PageSize, in their order.
	Events []SummaryEvent
	// Missing are the numbers (ProgressivoCartella) of the case that no accepted event has, below
	// the greatest that one has: the lowest 1,000 of them, ascending; on the first page only.
	Missing []int32
	// Next is the place of the page's last event if another page follows, else zero.
	Next Place
}

// DayTotal counts the events of one day and type.
type DayTotal struct {
	// Day is YYYY-MM-DD.
	Day string
	// Type is TipoEvento.
	Type string
	// Events is how many.
	Events int32
	// Digest is the SHA-256, in hexadecimal, over their IdEvento in lower case, sorted, each with a
	// line feed behind it.
	Digest string
}

// SummaryEvent is an event and where it stands, as State tells it too.
type SummaryEvent struct {
	// Event is IdEvento.
	Event uuid.UUID
	// Type is TipoEvento.
	Type string
	// Place has IdRicevuta and DataOraRicezione.
	Place Place
	// State of its delivery.
	State hub.DeliveryState
	// Annulled says that a later annulment of the same case was confirmed.
	Annulled bool
	// At is when the state began.
	At time.Time
}

// Stato is the contract's word for the state (codStatoEvento).
func (e SummaryEvent) Stato() string {
	return EventState{State: e.State, Annulled: e.Annulled}.Stato()
}

// Summary reads one page of an ente's events, all of it from one snapshot. An index that belongs
// to no case of the ente is a *hub.Error of kind NotFound with hub.CodeUnknownCase; other errors
// are of kind Unavailable.
func (s *Store) Summary(ctx context.Context, q SummaryQuery) (Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	select {
	case s.summaries <- struct{}{}:
		defer func() { <-s.summaries }()
	case <-ctx.Done():
		return Summary{}, unavailable(ctx.Err())
	}
	var page Summary
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) (err error) {
		var trip pgx.Batch
		readAs(&trip, []int32{q.Ente})
		if err := tx.SendBatch(ctx, &trip).Close(); err != nil {
			return err
		}
		page, err = summarise(ctx, tx, q)
		return err
	})
	if refusal, ok := errors.AsType[*hub.Error](err); ok {
		return Summary{}, refusal
	}
	if err != nil {
		return Summary{}, unavailable(err)
	}
	return page, nil
}

// summarise reads the parts of a page.
func summarise(ctx context.Context, tx pgx.Tx, q SummaryQuery) (Summary, error) {
	var page Summary
	var err error
	if q.After == (Place{}) {
		if page.Totals, err = totals(ctx, tx, q); err != nil {
			return Summary{}, err
		}
		if q.CaseIndex != ([32]byte{}) {
			if page.Missing, err = missing(ctx, tx, q); err != nil {
				return Summary{}, err
			}
		}
	}
	if page.Events, err = events(ctx, tx, q); err != nil {
		return Summary{}, err
	}
	if len(page.Events) > PageSize {
		page.Events = page.Events[:PageSize]
		page.Next = page.Events[PageSize-1].Place
	}
	return page, nil
}

// totalsSQL needs no environment: an ente is of one. The order of uuid is that of its text in
// lower case.
const totalsSQL = `
SELECT to_char(t.day, 'YYYY-MM-DD'), t.type, t.events, t.digest
FROM (
  SELECT (e.received_at AT TIME ZONE 'Europe/Rome')::date AS day, e.type, count(*)::integer AS events,
    encode(sha256(convert_to(string_agg(e.event_id::text || E'\n', '' ORDER BY e.event_id), 'UTF8')), 'hex')
      AS digest
  FROM hub.event e
  WHERE e.ente_id = $1
    AND e.received_at >= $2::date::timestamp AT TIME ZONE 'Europe/Rome'
    AND e.received_at < ($3::date + 1)::timestamp AT TIME ZONE 'Europe/Rome'
  GROUP BY day, e.type
) AS t
ORDER BY t.day, t.type`

func totals(ctx context.Context, tx pgx.Tx, q SummaryQuery) ([]DayTotal, error) {
	rows, err := tx.Query(ctx, totalsSQL, q.Ente, q.From, q.To)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t DayTotal, err error) {
		return t, row.Scan(&t.Day, &t.Type, &t.Events, &t.Digest)
	})
}

const summaryEventsSQL = `
SELECT e.event_id, e.type, e.received_at, e.id, d.state, d.changed_at,` + annulled + `
FROM (
  -- one more than a page tells whether another follows
  SELECT f.id, f.received_at, f.event_id, f.type, f.operation, f.original_id, f.case_id
  FROM hub.event f
  WHERE f.ente_id = $1
    AND f.received_at >= $2::date::timestamp AT TIME ZONE 'Europe/Rome'
    AND f.received_at < ($3::date + 1)::timestamp AT TIME ZONE 'Europe/Rome'
    AND (f.received_at, f.id) > ($4, $5)
  ORDER BY f.received_at, f.id LIMIT $6
) AS e` + newestDelivery + `
ORDER BY e.received_at, e.id`

func events(ctx context.Context, tx pgx.Tx, q SummaryQuery) ([]SummaryEvent, error) {
	rows, err := tx.Query(ctx, summaryEventsSQL, q.Ente, q.From, q.To, q.After.ReceivedAt, q.After.Receipt, PageSize+1)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e SummaryEvent, err error) {
		err = row.Scan(&e.Event, &e.Type, &e.Place.ReceivedAt, &e.Place.Receipt, &e.State, &e.At, &e.Annulled)
		e.Place.ReceivedAt, e.At = e.Place.ReceivedAt.UTC(), e.At.UTC()
		return e, err
	})
}

// missingSQL gives runs of missing numbers, at least one number each. The first row is there for
// every case that exists.
const missingSQL = `
WITH asked AS (
  SELECT c.id FROM hub.case_file c
  WHERE c.environment = $1 AND c.ente_id = $2 AND c.case_index = $3
), numbers AS (
  SELECT DISTINCT e.sequence FROM hub.event e JOIN asked ON asked.id = e.case_id
), steps AS (
  SELECT n.sequence, lag(n.sequence, 1, 0) OVER (ORDER BY n.sequence) AS before FROM numbers n
)
SELECT 0 AS first, 0 AS last FROM asked
UNION ALL
(SELECT s.before + 1, s.sequence - 1 FROM steps s WHERE s.sequence - s.before > 1 ORDER BY s.sequence LIMIT $4)
ORDER BY first`

// missing lists what lies between the numbers of a case's accepted events, whatever became of
// these: an annulled event and a rettifica keep their numbers.
func missing(ctx context.Context, tx pgx.Tx, q SummaryQuery) ([]int32, error) {
	rows, err := tx.Query(ctx, missingSQL, q.Environment, q.Ente, q.CaseIndex[:], mostMissing)
	if err != nil {
		return nil, err
	}
	var numbers []int32
	var first, last int32
	tag, err := pgx.ForEachRow(rows, []any{&first, &last}, func() error {
		for n := first; n > 0 && n <= last && len(numbers) < mostMissing; n++ {
			numbers = append(numbers, n)
		}
		return nil
	})
	if err == nil && tag.RowsAffected() == 0 {
		return nil, hub.NewError(hub.NotFound, hub.CodeUnknownCase, nil)
	}
	return numbers, err
}

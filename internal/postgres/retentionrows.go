package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

const refusalScopeSQL = `
SELECT count(*) FILTER (WHERE s.done), count(*) FILTER (WHERE NOT s.done), coalesce(sum(s.bytes) FILTER (WHERE s.done), 0),
  min(s.at) FILTER (WHERE s.done)
FROM (
  SELECT j.at, pg_column_size(j.body) + 60 AS bytes, EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = j.id)
    AND NOT EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = j.id) AS done
  FROM hub.journal_entry j
  -- the literal is journal.RequestRefused: a parameter would not find the index
  WHERE j.kind = 2 AND j.at < (SELECT hub.hub_now()) - make_interval(days => $1)
) AS s`

// RefusalScope counts the entries of refusals of so many days ago; those without a leaf are held.
func (s *Store) RefusalScope(ctx context.Context, days int) (RetentionScope, error) {
	return s.rowScope(ctx, refusalScopeSQL, days)
}

const caseScopeSQL = `
SELECT count(*) FILTER (WHERE NOT s.held), count(*) FILTER (WHERE s.held), coalesce(sum(s.bytes) FILTER (WHERE NOT s.held), 0),
  min(s.last_event_at) FILTER (WHERE NOT s.held)
FROM (
  SELECT c.last_event_at,
    EXISTS (SELECT FROM hub.delivery d WHERE d.case_id = c.id AND d.state NOT IN ('delivered', 'refused')) AS held,
    pg_column_size(c.*) + (SELECT coalesce(sum(pg_column_size(e.*) + 200), 0) FROM hub.event e WHERE e.case_id = c.id) AS bytes
  FROM hub.case_file c
  WHERE c.last_event_at < (SELECT hub.case_horizon($1))
) AS s`

// CaseScope counts the cases whose last event was so many whole years before this one; those with a
// delivery that has not come to its end are held.
func (s *Store) CaseScope(ctx context.Context, years int) (RetentionScope, error) {
	return s.rowScope(ctx, caseScopeSQL, years)
}

const reconciliationScopeSQL = `
SELECT count(*), 0::bigint, count(*) * 1000, min(r.day)::timestamp AT TIME ZONE 'UTC'
FROM hub.reconciliation_day r
WHERE r.day < ((SELECT hub.hub_now()) - make_interval(months => $1))::date`

// ReconciliationScope counts the days compared so many months ago; their bytes are a guess.
func (s *Store) ReconciliationScope(ctx context.Context, months int) (RetentionScope, error) {
	return s.rowScope(ctx, reconciliationScopeSQL, months)
}

func (s *Store) rowScope(ctx context.Context, query string, period int) (scope RetentionScope, err error) {
	err = s.long(ctx, func(tx pgx.Tx) error {
		var oldest *time.Time
		err := tx.QueryRow(ctx, query, period).Scan(&scope.Records, &scope.Held, &scope.Bytes, &oldest)
		scope.Oldest = utcOf(oldest)
		return err
	})
	return scope, err
}

// retirePage is how many rows one step deletes. Its entry names the leaf of each, and must not be longer
// than a leaf in a bundle can be.
const retirePage = 1000

// Those that hub.retire_refusals takes are among twice as many of the oldest, but for an odd crowd at one
// instant.
const overdueRefusalsSQL = `
SELECT l.leaf_index FROM (
  SELECT j.id FROM hub.journal_entry j
  -- the literal is journal.RequestRefused: a parameter would not find the index
  WHERE j.kind = 2 AND j.at < (SELECT hub.hub_now()) - make_interval(days => $1) + interval '1 minute'
  ORDER BY j.at LIMIT 2 * $2
) AS old
JOIN hub.journal_leaf l ON l.entry_id = old.id`

const retireRefusalsSQL = `
SELECT hub.retire_refusals($1, $2, $3)`

const refusalsGoneSQL = `
SELECT l.leaf_index FROM hub.journal_leaf l
WHERE l.leaf_index = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM hub.journal_entry j WHERE j.id = l.entry_id AND j.at = l.entry_at)
ORDER BY l.leaf_index`

// RefusalsEntry makes the entry of refusals that went, with the leaves of all of them; without, if they
// could not be told.
type RefusalsEntry func(n int64, leaves []int64) journal.Entry

// RetireRefusals deletes the next entries of refusals of so many days ago, and journals which. more says
// that there may be others.
func (s *Store) RetireRefusals(ctx context.Context, lease uuid.UUID, days int, entryOf RefusalsEntry) (n int64, more bool, err error) {
	var leaves []int64
	n, err = s.retire(ctx, func(n int64) journal.Entry { return entryOf(n, leaves) }, func(tx pgx.Tx) (n int64, err error) {
		overdue, err := leafNumbers(ctx, tx, overdueRefusalsSQL, days, retirePage)
		if err != nil {
			return 0, err
		}
		if err := tx.QueryRow(ctx, retireRefusalsSQL, lease, days, retirePage).Scan(&n); err != nil {
			return 0, err
		}
		if leaves, err = leafNumbers(ctx, tx, refusalsGoneSQL, overdue); int64(len(leaves)) != n {
			leaves = nil
		}
		return n, err
	})
	return n, n == retirePage, err
}

func leafNumbers(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

const retireReconciliationsSQL = `
SELECT hub.retire_reconciliations($1, $2)`

// RetireReconciliations deletes what comparisons of days so many months ago left, and journals how many
// days.
func (s *Store) RetireReconciliations(ctx context.Context, lease uuid.UUID, months int, entryOf func(int64) journal.Entry) (int64, error) {
	return s.retire(ctx, entryOf, func(tx pgx.Tx) (n int64, err error) {
		err = tx.QueryRow(ctx, retireReconciliationsSQL, lease, months).Scan(&n)
		return n, err
	})
}

// casePage is how many cases one step looks at: their rows are locked for its time.
const casePage = 200

const overdueCasesSQL = `
SELECT c.id FROM hub.case_file c
WHERE c.id > $1 AND c.last_event_at < (SELECT hub.case_horizon($2))
ORDER BY c.id LIMIT $3`

const retireCasesSQL = `
SELECT r.cases, r.events FROM hub.retire_cases($1, $2, $3) AS r`

// CasesEntry makes the entry of cases that went with their events.
type CasesEntry func(cases, events int64) journal.Entry

// RetireCases deletes, of the next cases behind one (the nil id for the first), those whose last event was
// so many whole years before this one and that wait for no delivery, with their events, and journals how
// many. next is where to go on, the nil id at the end.
func (s *Store) RetireCases(ctx context.Context, lease uuid.UUID, years int, after uuid.UUID, entryOf CasesEntry) (n int64, next uuid.UUID, err error) {
	var ids []uuid.UUID
	if err := s.long(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, overdueCasesSQL, after, years, casePage)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	}); err != nil || len(ids) == 0 {
		return 0, uuid.Nil, err
	}
	column := uuidColumn(ids)
	var events int64
	n, err = s.retire(ctx, func(n int64) journal.Entry { return entryOf(n, events) }, func(tx pgx.Tx) (n int64, err error) {
		err = tx.QueryRow(ctx, retireCasesSQL, lease, column, years).Scan(&n, &events)
		return n, err
	})
	return n, ids[len(ids)-1], err
}

const subjectsLeftSQL = `
SELECT l.subject_id FROM hub.subject_left l
WHERE l.environment = $1
ORDER BY l.subject_id LIMIT 500`

const forgetLeftSQL = `
DELETE FROM hub.subject_left l WHERE l.subject_id = ANY ($1)`

// EachLeft gives the subjects of an environment whose last case has gone to release, some at a time, and forgets them once
// it has taken them; one that is interrupted is given again.
func (s *Store) EachLeft(ctx context.Context, env hub.Environment, release func(context.Context, []uuid.UUID) error) error {
	for {
		rows, err := s.pool.Query(ctx, subjectsLeftSQL, env)
		if err != nil {
			return unavailable(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return unavailable(err)
		}
		if len(ids) == 0 {
			return nil
		}
		if err := release(ctx, ids); err != nil {
			return err
		}
		column := uuidColumn(ids)
		if _, err := s.pool.Exec(ctx, forgetLeftSQL, column); err != nil {
			return unavailable(err)
		}
	}
}

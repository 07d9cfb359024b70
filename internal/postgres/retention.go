package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// RetentionClass is what one period of retention is about.
type RetentionClass string

// The classes, in the order in which a run goes through them.
const (
	// RetainMessages are sealed messages, RetainAttempts the tries to deliver with what was sent sealed,
	// RetainJournal the bytes of journal entries. They go by months.
	RetainMessages RetentionClass = "messages"
	RetainAttempts RetentionClass = "attempts"
	RetainJournal  RetentionClass = "journal"
	// RetainRefusals are the journal entries of refused requests, with their codes.
	RetainRefusals RetentionClass = "refusals"
	// RetainCases are cases with all their events.
	RetainCases RetentionClass = "cases"
	// RetainReconciliations are the outcomes of comparisons with SISS.
	RetainReconciliations RetentionClass = "reconciliations"
)

// RetentionClasses are all of them.
func RetentionClasses() []RetentionClass {
	return []RetentionClass{RetainMessages, RetainAttempts, RetainJournal, RetainRefusals, RetainCases, RetainReconciliations}
}

// parent is the partitioned table of a class that goes by months, else empty.
func (c RetentionClass) parent() string {
	switch c { //nolint:exhaustive // the others go row by row
	case RetainMessages:
		return "message"
	case RetainAttempts:
		return "attempt"
	case RetainJournal:
		return "journal_entry"
	}
	return ""
}

// ByMonths tells whether a class goes by whole months.
func (c RetentionClass) ByMonths() bool { return c.parent() != "" }

// What a step of retention may end with, beside an *hub.Error.
var (
	// ErrRetentionBusy says that somebody reads the table for so long that the step was given up rather
	// than let those wait who write. Nothing was changed; try again later.
	ErrRetentionBusy = errors.New("retention: the table is read by others all the time, nothing was changed")
	// ErrRetentionCounted says that what was counted is not so any more. Nothing was changed.
	ErrRetentionCounted = errors.New("retention: what was counted has changed")
	// ErrTooYoung says that the database refuses to retire what is younger than its own minimum.
	ErrTooYoung = errors.New("retention: younger than the database lets anybody retire")
)

// retentionError tells the refusals of migration 00019's functions apart.
func retentionError(err error) error {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch server.Code {
		case "HR001":
			return ErrStaleLease
		case "HR002":
			return ErrTooYoung
		case "HR003", "42P01": // a table that another run dropped meanwhile
			return ErrRetentionCounted
		case "55P03", "40P01":
			return ErrRetentionBusy
		}
	}
	if err == nil {
		return nil
	}
	return unavailable(err)
}

const takeRetentionSQL = `
UPDATE hub.retention_turn t
SET lease = gen_random_uuid(), held_until = clock.now + interval '15 minutes'
FROM (SELECT hub.hub_now() AS now) AS clock
WHERE (t.held_until IS NULL OR t.held_until < clock.now)
  AND ($1::date IS NULL OR t.due_at <= clock.now AND (t.done_on IS NULL OR t.done_on < $1))
RETURNING t.lease`

// TakeRetention takes the right to retire records, for all environments: every step needs its token and
// prolongs it by a quarter of an hour. today is the Italian day: a run that got to its end on it leaves
// nothing due; the zero time asks whatever is due. ErrNoTurn if there is none to have.
func (s *Store) TakeRetention(ctx context.Context, today time.Time) (lease uuid.UUID, err error) {
	var day *time.Time
	if !today.IsZero() {
		day = &today
	}
	err = s.pool.QueryRow(ctx, takeRetentionSQL, day).Scan(&lease)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, ErrNoTurn
	}
	if busy, ok := errors.AsType[*pgconn.PgError](err); ok && busy.Code == "55P03" {
		return uuid.Nil, ErrNoTurn // a step of another run has it locked
	}
	if err != nil {
		return uuid.Nil, unavailable(err)
	}
	return lease, nil
}

const endRetentionSQL = `
UPDATE hub.retention_turn t
SET lease = NULL, held_until = NULL,
  due_at = clock.now + $2::bigint * interval '1 microsecond',
  done_on = coalesce($3::date, t.done_on),
  succeeded_at = CASE WHEN $4 THEN clock.now ELSE t.succeeded_at END
FROM (SELECT hub.hub_now() AS now) AS clock
WHERE t.lease = $1`

// EndRetention gives the right back: complete says that the run got to its end, on the Italian day today
// if that is not zero; again is when to try again else.
func (s *Store) EndRetention(ctx context.Context, lease uuid.UUID, complete bool, today time.Time, again time.Duration) error {
	var day *time.Time
	if complete && !today.IsZero() {
		day = &today
	}
	if _, err := s.pool.Exec(ctx, endRetentionSQL, lease, again.Microseconds(), day, complete); err != nil {
		return unavailable(err)
	}
	return nil
}

// RetentionMonth is a month of a class, or what was held of it.
type RetentionMonth struct {
	// Class it belongs to.
	Class RetentionClass
	// Month is its first day.
	Month time.Time
	// Held says that the month has gone and this is what was still needed.
	Held bool
	// Bytes is what it takes on the disk, indexes included.
	Bytes int64
}

// The names are made by hub.ensure_partitions and hub.retire_month.
const retentionMonthsSQL = `
SELECT m.month, m.held, m.bytes
FROM (
  SELECT to_date(substring(c.relname FROM '_([0-9]{4}_[0-9]{2})(?:_held)?$'), 'YYYY_MM') AS month,
    c.relname ~ '_held$' AS held, coalesce(pg_total_relation_size(c.oid), 0) AS bytes
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = to_regclass('hub.' || $1)
) AS m
-- a month goes when its last moment is old enough; without a period all months are listed
WHERE $2::integer IS NULL
  OR (m.month + interval '1 month' + make_interval(months => $2)) AT TIME ZONE 'UTC' <= (SELECT hub.hub_now())
ORDER BY m.month`

// RetentionMonths lists the months of a class whose last moment is at least so many months ago, and what
// was held of those that went, oldest first.
func (s *Store) RetentionMonths(ctx context.Context, class RetentionClass, months int) ([]RetentionMonth, error) {
	return s.retentionMonths(ctx, class, &months)
}

func (s *Store) retentionMonths(ctx context.Context, class RetentionClass, months *int) ([]RetentionMonth, error) {
	rows, err := s.pool.Query(ctx, retentionMonthsSQL, class.parent(), months)
	if err != nil {
		return nil, unavailable(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (RetentionMonth, error) {
		m := RetentionMonth{Class: class}
		err := row.Scan(&m.Month, &m.Held, &m.Bytes)
		return m, err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

// RetentionScope is what retention would do to something now.
type RetentionScope struct {
	// Records may go.
	Records int64
	// Held is how many must stay because they are still needed.
	Held int64
	// Bytes is about how much those that may go take.
	Bytes int64
	// Oldest of those that may go; zero if there is none.
	Oldest time.Time
}

const monthScopeSQL = `
SELECT c.records, c.held, c.oldest FROM hub.retention_scope($1, $2) AS c`

// MonthScope counts a month: what nothing holds, and what something does.
func (s *Store) MonthScope(ctx context.Context, m RetentionMonth) (RetentionScope, error) {
	scope := RetentionScope{Bytes: m.Bytes}
	err := s.long(ctx, func(tx pgx.Tx) error {
		var oldest *time.Time
		err := tx.QueryRow(ctx, monthScopeSQL, m.Class.parent(), m.Month).Scan(&scope.Records, &scope.Held, &oldest)
		scope.Oldest = utcOf(oldest)
		return err
	})
	return scope, err
}

// utcOf is the zero time for NULL.
func utcOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.UTC()
}

// longSQL lets a statement of retention take its time. The role's settings are for statements that find
// a few rows.
const longSQL = `
SELECT set_config(name, value, true)
FROM (VALUES ('statement_timeout', '1h'), ('enable_seqscan', 'on'), ('enable_bitmapscan', 'on'), ('enable_hashjoin', 'on'),
  ('plan_cache_mode', 'force_custom_plan')) AS s (name, value)`

// long reads in a transaction that may take long.
func (s *Store) long(ctx context.Context, read func(pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, longSQL); err != nil {
			return err
		}
		return read(tx)
	})
	return retentionError(err)
}

const retireMonthSQL = `
SELECT hub.retire_month($1, $2, $3, $4, $5)`

// RetireMonth drops a month but for what is still needed, and journals that, in one transaction: scope
// is what MonthScope said a moment ago, and the entry is of it. Else nothing is changed: ErrRetentionCounted
// if it is not so any more, ErrRetentionBusy, ErrStaleLease, ErrTooYoung. Doing it again is safe: a month
// that has gone is left alone.
func (s *Store) RetireMonth(ctx context.Context, lease uuid.UUID, m RetentionMonth, scope RetentionScope, entry journal.Entry) error {
	if entry.ID == uuid.Nil {
		return hub.NewError(hub.Internal, hub.CodeInternal, errNoEntry)
	}
	// In one trip: nobody waits for this process while the locks are held.
	var trip pgx.Batch
	trip.Queue("BEGIN")
	trip.Queue("SET LOCAL statement_timeout = '1h'")
	trip.Queue(retireMonthSQL, lease, m.Class.parent(), m.Month, scope.Records, scope.Held)
	if scope.Records > 0 {
		trip.Queue(journalSQL, uuids{}.add(entry.ID), []time.Time{entry.At}, []int16{int16(entry.Kind)},
			uuids{}.addNullable(entry.Message), [][]byte{entry.Bytes()})
	}
	trip.Queue("COMMIT")
	return retentionError(s.inTrip(ctx, &trip))
}

// retire does one step in a transaction that ends with the entry of what it did; nothing done, no entry.
func (s *Store) retire(ctx context.Context, entryOf func(int64) journal.Entry, do func(pgx.Tx) (int64, error)) (n int64, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		if _, err = tx.Exec(ctx, longSQL); err != nil {
			return err
		}
		if n, err = do(tx); err != nil || n == 0 {
			return err
		}
		entry := entryOf(n)
		_, err = tx.Exec(ctx, journalSQL, uuids{}.add(entry.ID), []time.Time{entry.At}, []int16{int16(entry.Kind)},
			uuids{}.addNullable(entry.Message), [][]byte{entry.Bytes()})
		return err
	})
	return n, retentionError(err)
}

const releaseHeldSQL = `
SELECT hub.release_held($1, $2, $3)`

const dropHeldSQL = `
SELECT hub.drop_held($1, $2, $3)`

// ReleaseHeld deletes what nothing needs any more of what was held of a month, and the table once it is
// empty, and tells how many records that were.
func (s *Store) ReleaseHeld(ctx context.Context, lease uuid.UUID, m RetentionMonth, entryOf func(int64) journal.Entry) (int64, error) {
	n, err := s.retire(ctx, entryOf, func(tx pgx.Tx) (n int64, err error) {
		err = tx.QueryRow(ctx, releaseHeldSQL, lease, m.Class.parent(), m.Month).Scan(&n)
		return n, err
	})
	if err != nil {
		return 0, err
	}
	// The empty table is of no harm, so that it may as well go another day.
	if _, err := s.pool.Exec(ctx, dropHeldSQL, lease, m.Class.parent(), m.Month); err != nil {
		return n, fmt.Errorf("drop what was held: %w", retentionError(err))
	}
	return n, nil
}

package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// later is how far these tests' clock goes on: every month written before is beyond every minimum.
const later = 14

// aged is a database whose events are fourteen months old, and a store whose clock says so.
type aged struct {
	db    hubtest.DB
	store *postgres.Store
	admin *pgx.Conn
	// delivered and open are events that SISS has, and that wait for it.
	delivered, open *postgres.Acceptance
	lease           uuid.UUID
}

// newAged accepts a delivered event and one that waits, both with their leaves, and lets time go by.
func newAged(t *testing.T) *aged {
	t.Helper()
	a := &aged{db: hubtest.Database(t)}
	young := open(t, a.db)
	ente := addEnte(t, young)
	a.delivered, a.open = acceptance(ente.ID), acceptance(ente.ID)
	accept(t, young, a.delivered)
	settleAt(t, young, hub.Delivered, time.Now())
	accept(t, young, a.open)
	settleAt(t, young, hub.Retrying, time.Now())
	a.admin = superuser(t, a.db)
	giveLeaves(t, a.admin)
	advance(t, a.db, "14 months")
	a.store = open(t, a.db)
	if err := a.store.EnsurePartitions(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	a.lease = takeRetention(t, a.store)
	return a
}

// settleAt claims the one delivery that is due and settles it.
func settleAt(t *testing.T, store *postgres.Store, state hub.DeliveryState, at time.Time) {
	t.Helper()
	c := claimOne(t, store)
	s := settlement(c, state)
	s.StartedAt, s.Entry.At, s.Entry.Message = at, at, c.Message
	if err := store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func takeRetention(t *testing.T, store *postgres.Store) uuid.UUID {
	t.Helper()
	lease, err := store.TakeRetention(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// giveLeaves gives every entry that has none its leaf, as the sequencer does.
func giveLeaves(t *testing.T, admin *pgx.Conn) {
	t.Helper()
	if _, err := admin.Exec(t.Context(), `
WITH taken AS (DELETE FROM hub.journal_queue RETURNING entry_id, entry_at), base AS (
  SELECT coalesce(max(leaf_index) + 1, 0) AS next FROM hub.journal_leaf
)
INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
SELECT base.next + row_number() OVER () - 1, taken.entry_id, taken.entry_at, 0, 0, base.next + row_number() OVER ()
FROM taken CROSS JOIN base`); err != nil {
		t.Fatal(err)
	}
}

// ended are the months of a class beyond its minimum.
func (a *aged) ended(t *testing.T, class postgres.RetentionClass) []postgres.RetentionMonth {
	t.Helper()
	months, err := a.store.RetentionMonths(t.Context(), class, 12)
	if err != nil {
		t.Fatal(err)
	}
	return months
}

// written is the month in which the messages were written.
func (a *aged) written(t *testing.T) postgres.RetentionMonth {
	t.Helper()
	for _, m := range a.ended(t, postgres.RetainMessages) {
		if scope, err := a.store.MonthScope(t.Context(), m); err != nil || scope.Records+scope.Held > 0 {
			return m
		}
	}
	t.Fatal("no month has messages")
	return postgres.RetentionMonth{}
}

func (a *aged) entry() journal.Entry {
	return journal.Entry{
		ID: v7(), At: time.Now().AddDate(0, later, 0).UTC().Truncate(time.Microsecond), Kind: journal.RecordsRetired, Environment: hub.Prod,
	}
}

// retire retires all months of a class.
func (a *aged) retire(t *testing.T, class postgres.RetentionClass) {
	t.Helper()
	for _, m := range a.ended(t, class) {
		if err := a.retireMonth(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *aged) retireMonth(ctx context.Context, m postgres.RetentionMonth) error {
	if m.Held {
		_, err := a.store.ReleaseHeld(ctx, a.lease, m, func(int64) journal.Entry { return a.entry() })
		return err
	}
	scope, err := a.store.MonthScope(ctx, m)
	if err != nil {
		return err
	}
	return a.store.RetireMonth(ctx, a.lease, m, scope, a.entry())
}

func (a *aged) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := a.admin.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCount(t *testing.T, a *aged, want int, what, query string, args ...any) {
	t.Helper()
	if n := a.count(t, query, args...); n != want {
		t.Errorf("%s: %d, want %d", what, n, want)
	}
}

const (
	messageOf  = "SELECT count(*) FROM hub.message WHERE id = $1"
	attemptsOf = "SELECT count(*) FROM hub.attempt a JOIN hub.delivery d ON d.id = a.delivery_id WHERE d.message_id = $1"
	entriesOf  = "SELECT count(*) FROM hub.journal_entry WHERE message_id = $1"
	retiredBy  = "SELECT count(*) FROM hub.journal_entry WHERE kind = 14"
)

// What waits for SISS keeps its message, its attempts and its entries when the month goes, below the same
// parents; the rest of the month goes, and the journal says so.
func TestRetireMonthKeepsWhatIsStillNeeded(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	for _, class := range []postgres.RetentionClass{postgres.RetainMessages, postgres.RetainAttempts, postgres.RetainJournal} {
		a.retire(t, class)
	}
	for what, query := range map[string]string{"message": messageOf, "attempts": attemptsOf} {
		wantCount(t, a, 0, what+" of the delivered", query, a.delivered.ReceiptID)
		wantCount(t, a, 1, what+" of the open", query, a.open.ReceiptID)
	}
	wantCount(t, a, 0, "entries of the delivered", entriesOf, a.delivered.ReceiptID)
	wantCount(t, a, 2, "entries of the open", entriesOf, a.open.ReceiptID)
	wantCount(t, a, 3, "entries of retention", retiredBy)
	wantCount(t, a, 4, "leaves", "SELECT count(*) FROM hub.journal_leaf")
	// Whoever asks for a delivered or open event finds it as before.
	for _, one := range []*postgres.Acceptance{a.delivered, a.open} {
		state, err := a.store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{one.Key.Ente}, Event: one.Key.Event})
		if err != nil || state.Receipt != one.ReceiptID {
			t.Errorf("state: %+v, %v", state, err)
		}
		again := *one
		again.ReceiptID = v7()
		if result, err := a.store.Accept(t.Context(), &again); err != nil || result.Status != postgres.StatusDuplicate {
			t.Errorf("repetition: %+v, %v", result, err)
		}
	}
	// It is delivered, and then nothing holds it any more.
	settleAt(t, a.store, hub.Delivered, a.entry().At)
	for _, class := range []postgres.RetentionClass{postgres.RetainMessages, postgres.RetainAttempts, postgres.RetainJournal} {
		a.retire(t, class)
		if left := a.ended(t, class); len(left) != 0 {
			t.Errorf("%s: %v are left", class, left)
		}
	}
	wantCount(t, a, 0, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 1, "attempts of the one delivered late", attemptsOf, a.open.ReceiptID)
	wantCount(t, a, 6, "entries of retention", retiredBy)
}

// An entry without a leaf keeps its bytes, in the queue or lost from it.
func TestRetireMonthKeepsEntriesWithoutALeaf(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	a.exec(t, "UPDATE hub.delivery SET state = 'refused', due_at = NULL, settled_at = hub.hub_now(), lease = NULL, owner = NULL")
	ids := []uuid.UUID{a.delivered.Entry.ID, a.open.Entry.ID}
	a.exec(t, "INSERT INTO hub.journal_queue SELECT entry_id, entry_at FROM hub.journal_leaf WHERE entry_id = $1", ids[0])
	a.exec(t, "DELETE FROM hub.journal_leaf WHERE entry_id = ANY ($1)", ids)
	a.retire(t, postgres.RetainJournal)
	wantCount(t, a, 2, "entries without a leaf", "SELECT count(*) FROM hub.journal_entry WHERE id = ANY ($1)", ids)
	wantCount(t, a, 3, "all entries", "SELECT count(*) FROM hub.journal_entry")
}

func (a *aged) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := a.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// The database has minimums of its own, whatever it is asked for, and obeys only who holds the turn.
func TestRetentionRefusesWhatIsTooYoungAndWhoHasNoTurn(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	young := time.Now().AddDate(0, later, 0).UTC()
	for _, class := range []postgres.RetentionClass{postgres.RetainMessages, postgres.RetainAttempts, postgres.RetainJournal} {
		m := postgres.RetentionMonth{Class: class, Month: time.Date(young.Year(), young.Month()-1, 1, 0, 0, 0, 0, time.UTC)}
		for _, held := range []bool{false, true} {
			m.Held = held
			if err := a.retireMonth(t.Context(), m); !errors.Is(err, postgres.ErrTooYoung) {
				t.Errorf("%s, held %v: %v", class, held, err)
			}
		}
	}
	entry := func(int64) journal.Entry { return a.entry() }
	if _, _, err := a.store.RetireRefusals(t.Context(), a.lease, 6, func(int64, []int64) journal.Entry { return a.entry() }); !errors.Is(err, postgres.ErrTooYoung) {
		t.Errorf("refusals: %v", err)
	}
	if _, err := a.store.RetireReconciliations(t.Context(), a.lease, 13, entry); !errors.Is(err, postgres.ErrTooYoung) {
		t.Errorf("reconciliations: %v", err)
	}
	if _, err := connect(t, a.db.App).Exec(t.Context(), "SELECT hub.retire_cases($1, '{}', 4)", a.lease); err == nil {
		t.Error("cases after four years")
	}
	// Nor does it believe the clock of a session, which whoever has the role can set.
	session := connect(t, a.db.App)
	if _, err := session.Exec(t.Context(), "SET hub.clock_offset = '100 years'"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"SELECT hub.retire_month($1, 'message', $2::date, 0, 0)", "SELECT hub.retire_month($1, 'journal_entry', $2::date, 0, 0)",
		"SELECT hub.release_held($1, 'attempt', $2::date)",
	} {
		_, err := session.Exec(t.Context(), statement, a.lease, young)
		if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "HR002" {
			t.Errorf("by a session's clock, %s: %v", statement, err)
		}
	}
	var horizon time.Time
	if err := session.QueryRow(t.Context(), "SELECT hub.case_horizon(5)").Scan(&horizon); err != nil || horizon.After(young) {
		t.Errorf("by a session's clock, cases before %v go: %v", horizon, err)
	}
	old := a.written(t)
	a.lease = uuid.New()
	if err := a.retireMonth(t.Context(), old); !errors.Is(err, postgres.ErrStaleLease) {
		t.Errorf("without the turn: %v", err)
	}
	if _, err := a.store.TakeRetention(t.Context(), time.Time{}); !errors.Is(err, postgres.ErrNoTurn) {
		t.Errorf("a second turn: %v", err)
	}
	wantCount(t, a, 2, "messages", "SELECT count(*) FROM hub.message")
}

// What changed between counting and retiring is not retired by the old count.
func TestRetireMonthNeedsTheCountToHold(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	old := a.written(t)
	scope, err := a.store.MonthScope(t.Context(), old)
	if err != nil || scope.Records != 1 || scope.Held != 1 {
		t.Fatalf("%+v, %v", scope, err)
	}
	a.exec(t, "UPDATE hub.delivery SET state = 'parked', due_at = NULL, settled_at = hub.hub_now()")
	if err := a.store.RetireMonth(t.Context(), a.lease, old, scope, a.entry()); !errors.Is(err, postgres.ErrRetentionCounted) {
		t.Errorf("%v", err)
	}
	wantCount(t, a, 2, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 0, "entries of retention", retiredBy)
	// All of it is needed now: it only gets the name.
	a.retire(t, postgres.RetainMessages)
	if left := a.ended(t, postgres.RetainMessages); len(left) != 1 || !left[0].Held {
		t.Errorf("%+v", left)
	}
	wantCount(t, a, 2, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 0, "entries of retention", retiredBy)
}

// A reader that goes on and on, as a backup does, holds up the month and not those who send; and a
// process that dies while it waits for it leaves everything as it was.
func TestRetireMonthGivesWayAndLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	old := a.written(t)
	reader := connect(t, a.db.Superuser)
	if _, err := reader.Exec(t.Context(), "BEGIN; LOCK TABLE hub.message IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	retiring := make(chan error, 1)
	go func() { retiring <- a.retireMonth(t.Context(), old) }()
	accepted := a.acceptUntil(t, retiring)
	if accepted.err == nil {
		t.Fatal("retired below a reader")
	}
	if !errors.Is(accepted.err, postgres.ErrRetentionBusy) || accepted.n == 0 {
		t.Errorf("%d accepted meanwhile, %v", accepted.n, accepted.err)
	}
	// The same again, and the server ends the session in the middle.
	go func() { retiring <- a.retireMonth(t.Context(), old) }()
	killer := connect(t, a.db.Superuser)
	hubtest.Await(t, time.Minute, "the retiring session waits", func() bool {
		var killed int
		if err := killer.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'hub_app' AND query LIKE '%hub.retire_month%' AND state = 'active'`).Scan(&killed); err != nil {
			t.Fatal(err)
		}
		return killed > 0
	})
	if err := <-retiring; err == nil {
		t.Error("retired by a session that was ended")
	}
	if _, err := reader.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	wantCount(t, a, 2+accepted.n, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 0, "entries of retention", retiredBy)
	wantCount(t, a, 0, "tables held", "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_held'")
	a.retire(t, postgres.RetainMessages)
	wantCount(t, a, 1+accepted.n, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 1, "entries of retention", retiredBy)
}

// acceptedMeanwhile is how many events were taken until something else ended, and how that ended.
type acceptedMeanwhile struct {
	n   int
	err error
}

// acceptUntil accepts events, several at once, until another thing ends; none may fail.
func (a *aged) acceptUntil(t *testing.T, ended <-chan error) (result acceptedMeanwhile) {
	t.Helper()
	var mu sync.Mutex
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				event := acceptance(a.open.Key.Ente)
				event.ReceivedAt = event.ReceivedAt.AddDate(0, later, 0)
				event.Entry.At = event.ReceivedAt
				if got, err := a.store.Accept(t.Context(), event); err != nil || got.Status != postgres.StatusAccepted {
					t.Errorf("not accepted: %+v, %v", got, err)
					return
				}
				mu.Lock()
				result.n++
				mu.Unlock()
			}
		})
	}
	result.err = <-ended
	close(stop)
	senders.Wait()
	return result
}

// Months go while events come, and two runs at once do what one does.
func TestRetentionRunsWhileEventsAreAccepted(t *testing.T) {
	t.Parallel()
	a := newAged(t)
	ended := make(chan error, 1)
	go func() {
		var both sync.WaitGroup
		faults := make([]error, 2)
		for i := range faults {
			both.Go(func() {
				for _, class := range []postgres.RetentionClass{postgres.RetainMessages, postgres.RetainAttempts, postgres.RetainJournal} {
					months, err := a.store.RetentionMonths(t.Context(), class, 12)
					if err != nil {
						faults[i] = err
						return
					}
					for _, m := range months {
						// The other one may have done it since this one looked.
						if err := a.retireMonth(t.Context(), m); err != nil && !errors.Is(err, postgres.ErrRetentionCounted) {
							faults[i] = errors.Join(faults[i], err)
						}
					}
				}
			})
		}
		both.Wait()
		ended <- errors.Join(faults...)
	}()
	got := a.acceptUntil(t, ended)
	if got.err != nil {
		t.Error(got.err)
	}
	wantCount(t, a, 1+got.n, "messages", "SELECT count(*) FROM hub.message")
	wantCount(t, a, 1, "attempts", "SELECT count(*) FROM hub.attempt")
	wantCount(t, a, 2, "entries of the open event", entriesOf, a.open.ReceiptID)
	wantCount(t, a, 3, "entries of retention", retiredBy)
}

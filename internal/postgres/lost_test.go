package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// The answer to COMMIT is lost after the transaction was committed: the store looks, finds its
// own receipt, and acknowledges what is stored.
func TestAcceptFindsItsOwnCommitWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	line := newCutter(t, db)
	store := openWith(t, postgres.Config{DSN: line.dsn})
	line.cuts.Store(1)
	a := acceptance(1)
	accept(t, store, a)
	if line.swallowed.Load() != 1 {
		t.Fatal("no answer was lost, the test shows nothing")
	}
	wantStored(t, db, 1)
}

// The line never comes back: no acknowledgement, and the repetition finds the first receipt.
func TestAcceptWithALostLineIsUnavailableAndRepeatable(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	line := newCutter(t, db)
	store := openWith(t, postgres.Config{DSN: line.dsn})
	line.cuts.Store(1 << 40)
	a := acceptance(1)
	_, err := store.Accept(t.Context(), a)
	wantKind(t, err, hub.Unavailable)
	line.cuts.Store(0)
	result, err := store.Accept(t.Context(), again(a))
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.AcceptResult{
		Status: postgres.StatusDuplicate,
		Key:    &postgres.KeyRow{Receipt: receiptOf(a), ContentMAC: a.ContentMAC, Subject: a.Subject},
	}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Error(diff)
	}
	wantStored(t, db, 1)
}

// The backend dies inside COMMIT, before the transaction is committed: nothing is there, and the
// store accepts it on another connection.
func TestAcceptTriesAgainWhenTheServerDiedBeforeCommitting(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	atCommit(t, db, "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);", 1)
	accept(t, store, acceptance(1))
	wantStored(t, db, 1)
}

// COMMIT comes back with a warning, as when a synchronous standby did not confirm: the row may be
// there, but nobody is told so.
func TestAcceptTakesAWarningOnCommitAsUnknown(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	atCommit(t, db, "RAISE WARNING 'not confirmed';", 1)
	a := acceptance(1)
	_, err := store.Accept(t.Context(), a)
	wantKind(t, err, hub.Unavailable)
	wantStored(t, db, 1)
	result, err := store.Accept(t.Context(), again(a))
	if err != nil || result.Status != postgres.StatusDuplicate {
		t.Errorf("the repetition got %+v, %v", result, err)
	}
}

// Somebody else holds the case for longer than a sender may wait.
func TestAcceptGivesUpInTimeAndStoresNothing(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	first := acceptance(1)
	accept(t, open(t, db), first)
	tx, err := superuser(t, db).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM hub.case_file WHERE id = $1 FOR UPDATE", first.Case.ID); err != nil {
		t.Fatal(err)
	}
	store := openWith(t, postgres.Config{DSN: db.App, Timeout: 200 * time.Millisecond})
	a := follow(first, 2)
	_, err = store.Accept(t.Context(), a)
	wantKind(t, err, hub.Unavailable)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	patient := open(t, db)
	accept(t, patient, again(a))
	wantStored(t, db, 2)
}

// A body that cannot be read any more is handed over without one, so that it can be parked and
// does not hold up what was claimed with it.
func TestClaimHandsOverAnUnreadableBodyAsNone(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	broken, sound := acceptance(ente.ID), acceptance(ente.ID)
	accept(t, store, broken)
	accept(t, store, sound)
	if _, err := superuser(t, db).Exec(t.Context(), "UPDATE hub.event SET body = 'x' WHERE id = $1", broken.ReceiptID); err != nil {
		t.Fatal(err)
	}
	bodies := map[uuid.UUID]string{}
	for _, c := range claim(t, store, 10) {
		bodies[c.Message] = string(c.Body)
	}
	if diff := cmp.Diff(map[uuid.UUID]string{broken.ReceiptID: "", sound.ReceiptID: string(sound.Body)}, bodies); diff != "" {
		t.Error(diff)
	}
}

// The answer to a settlement is lost: it is neither written twice nor called stale.
func TestSettleFindsItsOwnCommitWhenTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	addEnte(t, store)
	accept(t, store, acceptance(1))
	c := claimOne(t, store)
	line := newCutter(t, db)
	broken := openWith(t, postgres.Config{DSN: line.dsn})
	line.cutSelects.Store(1)
	s := settlement(c, hub.Delivered)
	for range 2 { // the second time as by a caller that was told Unavailable
		if err := broken.Settle(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if line.swallowed.Load() != 1 {
		t.Fatal("no answer was lost, the test shows nothing")
	}
	wantRows(t, db, "attempt", 1)
	wantRows(t, db, "journal_entry", 2)
}

// atCommit runs PL/pgSQL inside the COMMIT of the next n transactions that add an event key.
func atCommit(tb testing.TB, db hubtest.DB, body string, n int) {
	tb.Helper()
	conn := superuser(tb, db)
	for _, statement := range []string{
		// A sequence is not rolled back with the transaction, so it counts the tries.
		"CREATE SEQUENCE public.tries",
		"GRANT USAGE ON SEQUENCE public.tries TO hub_app",
		"CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN" +
			" IF nextval('public.tries') <= " + string(rune('0'+n)) + " THEN " + body + " END IF; RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON hub.event_key DEFERRABLE INITIALLY DEFERRED" +
			" FOR EACH ROW EXECUTE FUNCTION public.at_commit()",
	} {
		if _, err := conn.Exec(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
}

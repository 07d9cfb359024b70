package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// due is how many deliveries a claim would meet.
func due(t *testing.T, conn *pgx.Conn) int64 {
	t.Helper()
	return hubtest.Number(t, conn, "SELECT count(*) FROM hub.delivery WHERE due_at <= hub.hub_now() AND lease IS NULL")
}

// A claim does not meet the whole backlog of a case: only the one that can go and the next, whose turn
// may come while it is written. All go in their order nevertheless, without any waiting.
func TestDeepCaseShowsItsNextTwoOnly(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, conn := open(t, db), superuser(t, db)
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	const deep = 12
	for sequence := range int32(deep) {
		accept(t, store, follow(first, sequence+2))
	}
	if n := due(t, conn); n != 2 {
		t.Errorf("%d are due, want 2", n)
	}
	for want := range int32(deep + 1) {
		if next := claimOne(t, store); next.Sequence != want+1 {
			t.Fatalf("%d came, want %d", next.Sequence, want+1)
		} else if settle(t, store, next, hub.Delivered); due(t, conn) > 2 {
			t.Errorf("%d are due after %d", due(t, conn), next.Sequence)
		}
	}
}

// An event of a lower number that comes late goes at once, however many wait.
func TestLateEventOfADeepCaseIsNotPutOff(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	for sequence := range int32(5) {
		accept(t, store, follow(first, sequence+10))
	}
	settle(t, store, claimOne(t, store), hub.Delivered)
	accept(t, store, follow(first, 2))
	if next := claimOne(t, store); next.Sequence != 2 {
		t.Errorf("%d goes before the late one", next.Sequence)
	}
}

// Those of a lot are stored together and see nothing of each other: the next claim that looks puts
// them off.
func TestBlockedOfOneStatementArePutOff(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, conn := open(t, db), superuser(t, db)
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	for sequence := range int32(8) {
		accept(t, store, follow(first, sequence+2))
	}
	if _, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET due_at = hub.hub_now()"); err != nil {
		t.Fatal(err)
	}
	held := claim(t, store, 10)
	if len(held) != 1 || due(t, conn) != 1 {
		t.Errorf("%d claimed, %d still due", len(held), due(t, conn))
	}
}

// The age of the backlog is that of the event and not of its turn, unless its own case held it.
func TestBacklogsAgeOutlivesTheTurnsOfItsCase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before hub.DeliveryState
		hours  int
	}{
		"behind one that SISS took at once": {hub.Delivered, 3},
		"behind one that SISS refused":      {hub.Refused, 3},
		"behind one that was tried again":   {hub.Retrying, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store, conn := open(t, db), superuser(t, db)
			first := acceptance(addEnte(t, store).ID)
			accept(t, store, first)
			for sequence := range int32(3) {
				accept(t, store, follow(first, sequence+2))
			}
			if _, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET ready_at = ready_at - interval '3 hours'"); err != nil {
				t.Fatal(err)
			}
			pass(t, store, conn, test.before)
			pass(t, store, conn, hub.Delivered)
			got, err := store.JudgeBacklog(t.Context(), hub.Prod, 10*time.Hour, time.Minute)
			if err != nil || int(got.Hours()) != test.hours {
				t.Errorf("%v %v, want %d hours", got, err, test.hours)
			}
		})
	}
}

// pass carries the next delivery to its end, over a state.
func pass(t *testing.T, store *postgres.Store, conn *pgx.Conn, over hub.DeliveryState) {
	t.Helper()
	settle(t, store, claimOne(t, store), over)
	if over == hub.Delivered || over == hub.Refused {
		return
	}
	if more := claim(t, store, 10); len(more) != 0 {
		t.Fatal("claimed behind one that waits")
	}
	if _, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET due_at = hub.hub_now() WHERE state = $1", string(over)); err != nil {
		t.Fatal(err)
	}
	settle(t, store, claimOne(t, store), hub.Delivered)
}

package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// operated is the journal's entry of a test's act.
func operated(outcome string) journal.Entry {
	return journal.Entry{
		ID: v7(), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.MaintenanceChanged, Environment: hub.Prod,
		Outcome: outcome, Actor: "operator", Reason: "a test",
	}
}

// outcomes are those of the journal's entries about maintenances, in their order.
func outcomes(t *testing.T, db hubtest.DB) (all []string) {
	t.Helper()
	for _, e := range hubtest.JournalEntries(t, superuser(t, db)) {
		if e.Kind == journal.MaintenanceChanged {
			all = append(all, e.Outcome)
		}
	}
	return all
}

func doors(t *testing.T, store *postgres.Store, env hub.Environment) postgres.Doors {
	t.Helper()
	d, err := store.Doors(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMaintenanceHoldsForAllInstancesOfItsEnvironmentUntilItIsEnded(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, other := open(t, db), open(t, db)
	begin := func(text string) {
		t.Helper()
		if err := store.BeginMaintenance(t.Context(), postgres.Maintenance{Environment: hub.Prod, Text: text, Actor: "operator"}, operated("on")); err != nil {
			t.Fatal(err)
		}
	}
	begin("first")
	first := doors(t, other, hub.Prod).Maintenance
	if first == nil || first.Text != "first" || first.Actor != "operator" || !first.Until.IsZero() || first.Left != 0 {
		t.Fatalf("%+v", first)
	}
	if d := doors(t, other, hub.Test); d.Maintenance != nil {
		t.Errorf("the other environment has it: %+v", d)
	}
	begin("second")
	second := doors(t, other, hub.Prod).Maintenance
	if second == nil || second.Text != "second" || !second.BegunAt.Equal(first.BegunAt) {
		t.Errorf("another text: %+v, begun %v", second, first.BegunAt)
	}
	for i, want := range []bool{true, false} {
		ended, err := other.EndMaintenance(t.Context(), hub.Prod, operated("off"))
		if err != nil || ended != want {
			t.Errorf("end %d: %v %v", i, ended, err)
		}
	}
	if d := doors(t, store, hub.Prod); d.Maintenance != nil {
		t.Errorf("goes on: %+v", d.Maintenance)
	}
	// The second end had nothing to end, and says nothing.
	if diff := cmp.Diff([]string{"on", "on", "off"}, outcomes(t, db)); diff != "" {
		t.Error(diff)
	}
}

func TestMaintenanceEndsByItselfByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	m := postgres.Maintenance{Environment: hub.Prod, Text: "an hour", Actor: "operator", Until: time.Now().Add(time.Hour)}
	if err := store.BeginMaintenance(t.Context(), m, operated("on")); err != nil {
		t.Fatal(err)
	}
	if d := doors(t, store, hub.Prod).Maintenance; d == nil || d.Left < 50*time.Minute || d.Left > 61*time.Minute {
		t.Errorf("%+v", d)
	}
	advance(t, db, "2 hours")
	later := open(t, db)
	if d := doors(t, later, hub.Prod); d.Maintenance != nil {
		t.Errorf("goes on two hours later: %+v", d.Maintenance)
	}
	if ended, err := later.EndMaintenance(t.Context(), hub.Prod, operated("off")); err != nil || ended {
		t.Errorf("an end after the end: %v %v", ended, err)
	}
	err := later.BeginMaintenance(t.Context(), m, operated("on"))
	if !errors.Is(err, postgres.ErrMaintenancePast) {
		t.Errorf("a maintenance of the past: %v", err)
	}
	if diff := cmp.Diff([]string{"on"}, outcomes(t, db)); diff != "" {
		t.Error(diff)
	}
}

// pendings accepts events of one case each and gives their deliveries' ids.
func pendings(t *testing.T, store *postgres.Store, n int) (all []*postgres.Acceptance) {
	t.Helper()
	ente := addEnte(t, store)
	for range n {
		a := acceptance(ente.ID)
		accept(t, store, a)
		all = append(all, a)
	}
	return all
}

// age makes a delivery look as if it had become due so long ago, in a state.
func age(t *testing.T, conn *pgx.Conn, id uuid.UUID, hours int, change string) {
	t.Helper()
	tag, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET due_at = hub.hub_now() - $2 * interval '1 hour', "+
		"ready_at = hub.hub_now() - $2 * interval '1 hour' "+change+" WHERE id = $1", id, hours)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatal(tag, err)
	}
}

func TestBacklogIsTheOldestDeliveryThatNothingOfItsOwnHolds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// arrange ages deliveries of two cases, the second of which has two events.
		arrange func(t *testing.T, conn *pgx.Conn, lone, first, behind uuid.UUID)
		hours   int
	}{
		"nothing waits for long": {func(*testing.T, *pgx.Conn, uuid.UUID, uuid.UUID, uuid.UUID) {}, 0},
		"one waits its turn": {func(t *testing.T, conn *pgx.Conn, lone, _, _ uuid.UUID) {
			t.Helper()
			age(t, conn, lone, 5, "")
		}, 5},
		"one of the other environment waits": {func(t *testing.T, conn *pgx.Conn, lone, _, _ uuid.UUID) {
			t.Helper()
			age(t, conn, lone, 5, ", environment = 2")
		}, 0},
		"nothing is due yet": {func(t *testing.T, conn *pgx.Conn, lone, first, behind uuid.UUID) {
			t.Helper()
			for _, id := range []uuid.UUID{lone, first, behind} {
				age(t, conn, id, -5, "")
			}
		}, 0},
		"a poisonous case is tried again and again": {func(t *testing.T, conn *pgx.Conn, _, first, behind uuid.UUID) {
			t.Helper()
			age(t, conn, first, 9, ", state = 'retrying', attempts = 40")
			age(t, conn, behind, 9, "")
		}, 0},
		"a case is parked": {func(t *testing.T, conn *pgx.Conn, _, first, behind uuid.UUID) {
			t.Helper()
			age(t, conn, behind, 9, "")
			if _, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET state = 'parked', due_at = NULL, settled_at = hub.hub_now() WHERE id = $1", first); err != nil {
				t.Fatal(err)
			}
		}, 0},
		"the poison beside a true backlog": {func(t *testing.T, conn *pgx.Conn, lone, first, behind uuid.UUID) {
			t.Helper()
			age(t, conn, first, 9, ", state = 'retrying', attempts = 40")
			age(t, conn, behind, 9, "")
			age(t, conn, lone, 3, "")
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			cases := pendings(t, store, 2)
			behind := follow(cases[1], 2)
			accept(t, store, behind)
			test.arrange(t, superuser(t, db), cases[0].TransmissionID, cases[1].TransmissionID, behind.TransmissionID)
			got, err := store.JudgeBacklog(t.Context(), hub.Prod, time.Hour, time.Minute)
			if err != nil || int(got.Hours()) != test.hours {
				t.Errorf("%v %v, want %d hours", got, err, test.hours)
			}
			if d := doors(t, store, hub.Prod); d.Backlog != (test.hours > 0) {
				t.Errorf("doors %+v after %v", d, got)
			}
			if d := doors(t, store, hub.Test); d.Backlog {
				t.Error("the other environment is closed")
			}
		})
	}
}

// TestBacklogClosesAndOpensTheDoorsOfAllInstances: between the two limits every instance has the door
// that the others have, also one that saw neither limit passed. The instances of the other environment,
// where nothing waits, neither close nor open it.
func TestBacklogClosesAndOpensTheDoorsOfAllInstances(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, other := open(t, db), open(t, db)
	delivery := pendings(t, store, 1)[0].TransmissionID
	conn := superuser(t, db)
	var got []bool
	for _, hours := range []int{3, 5, 3, 1, 3} {
		age(t, conn, delivery, hours, "")
		if _, err := store.JudgeBacklog(t.Context(), hub.Prod, 4*time.Hour, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := other.JudgeBacklog(t.Context(), hub.Test, 4*time.Hour, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
		got = append(got, doors(t, other, hub.Prod).Backlog)
	}
	if want := []bool{false, true, true, false, false}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

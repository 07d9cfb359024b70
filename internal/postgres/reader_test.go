package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What is read for a participant shows the rows of its enti only, whatever the statement asks for.
func TestReaderSeesTheRowsOfItsEntiOnly(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	first, second := acceptance(1), acceptance(2)
	second.Key.Ente = first.Key.Ente + 1
	accept(t, store, first)
	accept(t, store, second)
	conn := connect(t, db.App)
	for _, table := range []string{"event_key", "event", "case_file"} {
		for enti, want := range map[string]int{"": 0, "{}": 0, "{1}": 1, "{2}": 1, "{1,2}": 2, "{3}": 0} {
			if got := countAs(t, conn, enti, "SELECT count(ente_id) FROM hub."+table); got != want {
				t.Errorf("%s with %q: %d rows, want %d", table, enti, got, want)
			}
		}
	}
	var all int
	if err := conn.QueryRow(t.Context(), "SELECT count(id) FROM hub.event").Scan(&all); err != nil || all != 2 {
		t.Errorf("the connection sees %d events afterwards: %v", all, err)
	}
}

// What the hub's own statements for a participant see is what the policies let them: with policies that let
// nothing through, neither operation finds the event that its conditions ask for.
func TestAnswersForAParticipantPassThePolicies(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a := acceptance(1)
	accept(t, store, a)
	byEvent := postgres.StateQuery{Environment: hub.Prod, Enti: []int32{1}, Event: a.Key.Event}
	byReceipt := postgres.StateQuery{Environment: hub.Prod, Enti: []int32{1}, Receipt: a.ReceiptID}
	of := postgres.SummaryQuery{Environment: hub.Prod, Ente: 1, From: "2000-01-01", To: "2100-01-01"}
	found := func() (n int) {
		t.Helper()
		for _, q := range []postgres.StateQuery{byEvent, byReceipt} {
			if _, err := store.State(t.Context(), q); err == nil {
				n++
			} else if missing, ok := errors.AsType[*hub.Error](err); !ok || missing.Kind != hub.NotFound {
				t.Fatal(err)
			}
		}
		page, err := store.Summary(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		return n + len(page.Events)
	}
	if n := found(); n != 3 {
		t.Fatalf("found %d times, want 3", n)
	}
	for _, table := range []string{"event_key", "event"} {
		if _, err := superuser(t, db).Exec(t.Context(), "ALTER POLICY reader ON hub."+table+" USING (false)"); err != nil {
			t.Fatal(err)
		}
	}
	if n := found(); n != 0 {
		t.Errorf("found %d times past the policies", n)
	}
}

// countAs counts as what is read for some enti; empty: nobody said whose.
func countAs(t *testing.T, conn *pgx.Conn, enti, query string) (n int) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE hub_reader"); err != nil {
		t.Fatal(err)
	}
	if enti != "" {
		if _, err := tx.Exec(t.Context(), "SELECT set_config('hub.enti', $1, true)", enti); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What waited behind one in doubt goes as soon as a reconciliation ends the doubt.
func TestNextOfACaseIsDueWhenADoubtIsReconciled(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	first, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Uncertain) // asked about in an hour
	accept(t, store, follow(first, 2))
	if got := claim(t, store, 10); len(got) != 0 { // which puts the second off
		t.Fatal("overtook one in doubt")
	}
	turn, err := store.TakeTurn(t.Context(), postgres.TurnQuery{Environment: hub.Prod, Owner: uuid.New(), For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	settled, err := store.SettleAsked(t.Context(), turn, &postgres.Settlement{
		Delivery: first.TransmissionID, State: hub.Delivered, StartedAt: time.Now(),
		Entry: journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now()},
	})
	if err != nil || !settled {
		t.Fatalf("%v, %v", settled, err)
	}
	if next := claim(t, store, 10); len(next) != 1 || next[0].Sequence != 2 {
		t.Errorf("claimed %d", len(next))
	}
}

// SISS said of a refused one that it has it: under another IdTrasmissione it would be there twice.
func TestRefusedOneThatSISSHasIsNotRenewed(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Refused)
	_, err := superuser(t, db).Exec(t.Context(), `INSERT INTO hub.reconciliation_difference
		(environment, day, type, delivery_id, kind, found_at) VALUES ($1, current_date, 'SEGNALAZIONE', $2, 'accepted_there', now())`,
		hub.Prod, a.TransmissionID)
	if err != nil {
		t.Fatal(err)
	}
	again := act(postgres.VerbRenew, a.TransmissionID)
	again.Confirmed = true
	wantRefusal(t, store, again, postgres.RefusalConfirm)
	// Under its own id SISS takes it once.
	operate(t, store, act(postgres.VerbRedeliver, a.TransmissionID))
}

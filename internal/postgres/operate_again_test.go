package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

func TestRedeliverOfADeliveredOneMustBeConfirmed(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, c := deliveryIn(t, store, addEnte(t, store).ID, hub.Delivered)
	wantRefusal(t, store, act(postgres.VerbRedeliver, a.TransmissionID), postgres.RefusalConfirm)
	done := act(postgres.VerbRedeliver, a.TransmissionID)
	done.Confirmed = true
	operate(t, store, done)
	if again := claimOne(t, store); again.ID != c.ID {
		t.Error("another IdTrasmissione")
	}
}

// annulled accepts an event and its annulment and delivers both.
func annulled(tb testing.TB, store *postgres.Store) (event, annulment *postgres.Acceptance) {
	tb.Helper()
	opening, _ := deliveryIn(tb, store, addEnte(tb, store).ID, hub.Delivered)
	event = follow(opening, 2)
	accept(tb, store, event)
	bring(tb, store, event, hub.Delivered)
	annulment = follow(opening, 3)
	annulment.Type, annulment.Operation, annulment.RefersTo = event.Type, sinba.Annullamento, event.Key.Event
	accept(tb, store, annulment)
	return event, annulment
}

// Sent alone behind its annulment, an event that SISS has lost would live again.
func TestRedeliverOfAnAnnulledEventTakesItsAnnulmentAlong(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	event, annulment := annulled(t, store)
	bring(t, store, annulment, hub.Delivered)
	done := act(postgres.VerbRedeliver, event.TransmissionID)
	done.Confirmed = true
	acted := wantRefusal(t, store, done, postgres.RefusalCorrected)
	if diff := cmp.Diff([]uuid.UUID{annulment.TransmissionID}, acted.Later); diff != "" {
		t.Error(diff)
	}
	done.Corrections = true
	if acted := operate(t, store, done); !cmp.Equal([]uuid.UUID{annulment.TransmissionID}, acted.Later) {
		t.Errorf("took along %v", acted.Later)
	}
	for _, want := range []*postgres.Acceptance{event, annulment} {
		c := claimOne(t, store)
		if c.Message != want.ReceiptID {
			t.Fatal("not in the order of the case")
		}
		settle(t, store, c, hub.Delivered)
	}
	for _, a := range []*postgres.Acceptance{event, annulment} {
		d, err := store.ShowDelivery(t.Context(), a.ReceiptID)
		if err != nil || len(d.Acts) != 1 {
			t.Errorf("%d acts in the journal, %v", len(d.Acts), err)
		}
	}
	// The annulment itself has nothing later, and goes alone.
	alone := act(postgres.VerbRedeliver, annulment.TransmissionID)
	alone.Confirmed = true
	operate(t, store, alone)
}

func TestRedeliverWaitsForAnAnnulmentUnderWay(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	event, annulment := annulled(t, store)
	bring(t, store, annulment, hub.Sending)
	done := act(postgres.VerbRedeliver, event.TransmissionID)
	done.Confirmed, done.Corrections = true, true
	wantRefusal(t, store, done, postgres.RefusalUnderWay)
}

// What was never tried, or refused, is no reason to hold the event back: it goes first. A claim that
// looked at the case before must not take the annulment afterwards, which is why that is not due for
// a moment.
func TestSentAgainGoesBeforeAnAnnulmentThatWaits(t *testing.T) {
	t.Parallel()
	for state, verb := range map[hub.DeliveryState]postgres.Verb{
		hub.Delivered: postgres.VerbRedeliver, hub.Refused: postgres.VerbRenew,
	} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			opening, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Delivered)
			event, annulment := follow(opening, 2), follow(opening, 3)
			accept(t, store, event)
			bring(t, store, event, state)
			annulment.Type, annulment.Operation, annulment.RefersTo = event.Type, sinba.Annullamento, event.Key.Event
			accept(t, store, annulment)
			done := act(verb, event.TransmissionID)
			done.Confirmed = true
			operate(t, store, done)
			var due int
			if err := superuser(t, db).QueryRow(t.Context(),
				"SELECT count(*) FROM hub.delivery WHERE message_id = $1 AND due_at <= hub.hub_now()", annulment.ReceiptID).Scan(&due); err != nil {
				t.Fatal(err)
			}
			if due != 0 {
				t.Error("the annulment is due beside its event")
			}
			advance(t, db, "5 seconds")
			store = open(t, db)
			c := claimOne(t, store)
			if c.Message != event.ReceiptID {
				t.Fatal("the annulment overtook its event")
			}
			settle(t, store, c, hub.Delivered)
			if c := claimOne(t, store); c.Message != annulment.ReceiptID {
				t.Error("the annulment did not follow")
			}
		})
	}
}

// An event that SISS refused and whose annulment it took must not come to life afterwards.
func TestRefusedEventIsNotSentAgainBehindItsAnnulment(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	opening, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Delivered)
	event := follow(opening, 2)
	accept(t, store, event)
	bring(t, store, event, hub.Refused)
	annulment := follow(opening, 3)
	annulment.Type, annulment.Operation, annulment.RefersTo = event.Type, sinba.Annullamento, event.Key.Event
	accept(t, store, annulment)
	bring(t, store, annulment, hub.Delivered)
	for _, verb := range []postgres.Verb{postgres.VerbRedeliver, postgres.VerbRenew} {
		done := act(verb, event.TransmissionID)
		done.Confirmed, done.Corrections = true, true
		wantRefusal(t, store, done, postgres.RefusalCorrected)
	}
}

// A new IdTrasmissione stands for its event from then on; the refused one stays as it was.
func TestRenewSendsARefusedEventUnderANewID(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, c := deliveryIn(t, store, addEnte(t, store).ID, hub.Refused)
	acted := operate(t, store, act(postgres.VerbRenew, a.ReceiptID))
	if acted.Delivery == c.ID || acted.Delivery == uuid.Nil {
		t.Fatal("the same IdTrasmissione")
	}
	wantRows(t, db, "delivery", 2)
	for _, verb := range []postgres.Verb{postgres.VerbRenew, postgres.VerbRedeliver} {
		wantRefusal(t, store, act(verb, a.TransmissionID), postgres.RefusalReplaced)
		wantRefusal(t, store, act(verb, a.ReceiptID), postgres.RefusalState) // its newest one waits
	}
	renewed := claimOne(t, store)
	want := c
	want.ID, want.Lease = acted.Delivery, renewed.Lease
	if diff := cmp.Diff(want, renewed); diff != "" {
		t.Error(diff)
	}
	settle(t, store, renewed, hub.Delivered)
	state, err := store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{a.Key.Ente}, Event: a.Key.Event})
	if err != nil || state.State != hub.Delivered {
		t.Errorf("the vendor sees %v, %v", state.State, err)
	}
	wantRefusal(t, store, act(postgres.VerbRenew, a.TransmissionID), postgres.RefusalReplaced)
	page, err := store.ListDeliveries(t.Context(), postgres.DeliveryFilter{Environment: hub.Prod, States: hub.DeliveryStates()}, postgres.Place{}, 10)
	if err != nil || len(page) != 1 || page[0].ID != acted.Delivery {
		t.Errorf("listed %d, %v", len(page), err)
	}
	shown, err := store.ShowDelivery(t.Context(), a.TransmissionID)
	if err != nil || len(shown.Transmissions) != 1 || shown.Transmissions[0].ID != acted.Delivery {
		t.Errorf("shown %+v, %v", shown.Transmissions, err)
	}
}

// Refused once more, it may get a third id: each stands in the table.
func TestRenewAgainAfterAnotherRefusal(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Refused)
	operate(t, store, act(postgres.VerbRenew, a.ReceiptID))
	settle(t, store, claimOne(t, store), hub.Refused)
	operate(t, store, act(postgres.VerbRenew, a.ReceiptID))
	wantRows(t, db, "delivery", 3)
}

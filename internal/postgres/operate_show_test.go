package postgres_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// shown reads a delivery as an operator does.
func shown(t *testing.T, store *postgres.Store, id uuid.UUID) *postgres.ShownDelivery {
	t.Helper()
	d, err := store.ShowDelivery(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// neighbours are those with an id each, in their order.
func neighbours(all []postgres.Neighbour) (ids []uuid.UUID) {
	for _, n := range all {
		ids = append(ids, n.ID)
	}
	return ids
}

// A case of three of which the first is parked, beside another case in the same trouble: each is shown
// with what it waits behind and what waits behind it, of its own case only and in the order of the case.
func TestShowTellsWhatWaitsInItsCaseOnly(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store).ID
	first, _ := deliveryIn(t, store, ente, hub.Parked)
	second, third := follow(first, 2), follow(first, 3)
	accept(t, store, second)
	accept(t, store, third)
	stranger, _ := deliveryIn(t, store, ente, hub.Parked)
	accept(t, store, follow(stranger, 2))
	operate(t, store, act(postgres.VerbUnpark, stranger.TransmissionID))
	for _, c := range []struct {
		name   string
		of     *postgres.Acceptance
		behind uuid.UUID
		ahead  int32
		want   []uuid.UUID
	}{
		{"first", first, uuid.Nil, 0, []uuid.UUID{second.TransmissionID, third.TransmissionID}},
		{"second", second, first.TransmissionID, 1, []uuid.UUID{third.TransmissionID}},
		{"third", third, first.TransmissionID, 2, nil},
	} {
		d := shown(t, store, c.of.TransmissionID)
		if d.Behind.Head != c.behind || d.Behind.Ahead != c.ahead {
			t.Errorf("%s waits behind %+v", c.name, d.Behind)
		}
		if diff := gocmp.Diff(c.want, neighbours(d.Followers)); diff != "" {
			t.Errorf("behind the %s: %s", c.name, diff)
		}
		if len(d.Acts) != 0 || len(d.Transmissions) != 0 || len(d.Corrections) != 0 {
			t.Errorf("%s: acts %v, transmissions %v, corrections %v of others", c.name, d.Acts, d.Transmissions, d.Corrections)
		}
	}
}

// An event that was refused and sent again is two deliveries. Each is found by its own id and tells of
// the other one; the receipt finds the later one. What others have sent again is not told.
func TestShowTellsTheOtherTransmissionsOfItsEvent(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store).ID
	a, _ := deliveryIn(t, store, ente, hub.Refused)
	renewed := operate(t, store, act(postgres.VerbRenew, a.ReceiptID)).Delivery
	stranger, _ := deliveryIn(t, store, ente, hub.Refused)
	operate(t, store, act(postgres.VerbRenew, stranger.ReceiptID))
	for id, want := range map[uuid.UUID][2]uuid.UUID{
		a.TransmissionID: {a.TransmissionID, renewed}, renewed: {renewed, a.TransmissionID}, a.ReceiptID: {renewed, a.TransmissionID},
	} {
		d := shown(t, store, id)
		if d.ID != want[0] || !gocmp.Equal(neighbours(d.Transmissions), want[1:]) {
			t.Errorf("%v shows %v beside %+v, want %v", id, d.ID, d.Transmissions, want)
		}
		if len(d.Acts) != 1 {
			t.Errorf("%d acts", len(d.Acts))
		}
	}
	if d := shown(t, store, a.TransmissionID); len(d.Tries) != 1 || d.State != hub.Refused {
		t.Errorf("the refused one: %+v", d)
	}
	if d := shown(t, store, renewed); len(d.Tries) != 0 || d.State != hub.Pending {
		t.Errorf("the renewed one: %+v", d)
	}
}

// An event is shown with its annulment, and the annulment with none.
func TestShowTellsTheCorrectionsThatSissHas(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	event, annulment := annulled(t, store)
	bring(t, store, annulment, hub.Delivered)
	if d := shown(t, store, event.TransmissionID); !gocmp.Equal(d.Corrections, []uuid.UUID{annulment.TransmissionID}) {
		t.Errorf("corrections %v", d.Corrections)
	}
	if d := shown(t, store, annulment.TransmissionID); len(d.Corrections) != 0 {
		t.Errorf("corrections of the annulment: %v", d.Corrections)
	}
}

// A list tells when the event came, since when it stands as it does and when it is due, and how old it
// is by the database's clock; a count tells the age of the oldest.
func TestListTellsAgesAndTimes(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store).ID
	began := time.Now()
	for _, old := range []time.Duration{30 * time.Hour, 20 * time.Hour} {
		a := acceptance(ente)
		a.ReceivedAt = began.Add(-old).UTC().Truncate(time.Microsecond)
		accept(t, store, a)
	}
	settle(t, store, claim(t, store, 1)[0], hub.Retrying) // in an hour
	settled, _ := deliveryIn(t, store, ente, hub.Dead)
	filter := postgres.DeliveryFilter{Environment: hub.Prod, States: hub.DeliveryStates()}
	page, err := store.ListDeliveries(t.Context(), filter, postgres.Place{}, 10)
	if err != nil || len(page) != 3 {
		t.Fatalf("%d listed, %v", len(page), err)
	}
	const slow = 5 * time.Minute
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want-slow || got > want+slow {
			t.Errorf("%s is %v, want about %v", what, got, want)
		}
	}
	for i, old := range []time.Duration{30 * time.Hour, 20 * time.Hour, 0} {
		near("age", page[i].Age, old)
		near("the time since it changed", time.Since(page[i].ChangedAt), 0)
	}
	for i := range page {
		wait, waits := map[hub.DeliveryState]time.Duration{hub.Retrying: time.Hour, hub.Pending: 0}[page[i].State]
		if waits {
			near("the time until it is due", page[i].DueAt.Sub(page[i].ChangedAt), wait)
		} else if page[i].ID != settled.TransmissionID || !page[i].DueAt.IsZero() {
			t.Errorf("%s is due at %v", page[i].State, page[i].DueAt)
		}
	}
	filter.States = []hub.DeliveryState{hub.Retrying, hub.Pending}
	a := acceptance(ente)
	accept(t, store, a)
	counts, err := store.CountDeliveries(t.Context(), filter)
	if err != nil || len(counts) != 2 || counts[0].State != hub.Pending || counts[0].Count != 2 {
		t.Fatalf("counted %+v, %v", counts, err)
	}
	near("the age of the oldest", counts[0].Oldest+counts[1].Oldest, 50*time.Hour)
}

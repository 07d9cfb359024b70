package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What waits says behind what, whatever state the first of its case is in.
func TestWhatWaitsSaysBehindWhat(t *testing.T) {
	t.Parallel()
	for _, state := range []hub.DeliveryState{hub.Retrying, hub.Uncertain, hub.Dead, hub.Parked} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			store := open(t, hubtest.Database(t))
			first := acceptance(addEnte(t, store).ID)
			second, third, other := follow(first, 2), follow(first, 3), acceptance(first.Key.Ente)
			accept(t, store, first)
			tried := settlement(claimOne(t, store), state)
			tried.Codes = []string{"http_503"}
			if err := store.Settle(t.Context(), tried); err != nil {
				t.Fatal(err)
			}
			for _, a := range []*postgres.Acceptance{third, second, other} {
				accept(t, store, a)
			}
			found := behind(t, store, first, second, third, other)
			if len(found) != 2 {
				t.Fatalf("%d wait, want two: %+v", len(found), found)
			}
			for ahead, a := range []*postgres.Acceptance{second, third} {
				w := found[a.TransmissionID]
				if w.Head != first.TransmissionID || w.Message != first.ReceiptID || w.Event != first.Key.Event ||
					w.State != state || w.Held || len(w.Codes) != 1 || w.Codes[0] != "http_503" || w.Ahead != int32(ahead+1) {
					t.Errorf("number %d: %+v", ahead+2, w)
				}
				if person := state == hub.Dead || state == hub.Parked; w.DueAt.IsZero() != person {
					t.Errorf("due at %v behind a %s one", w.DueAt, state)
				}
			}
		})
	}
}

// A late event waits behind one that is on its way although it goes before it from then on.
func TestLateEventWaitsBehindWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	settle(t, store, claimOne(t, store), hub.Delivered)
	high, late := follow(first, 5), follow(first, 2)
	accept(t, store, high)
	held := claimOne(t, store)
	accept(t, store, late)
	found := behind(t, store, high, late)
	if w := found[late.TransmissionID]; len(found) != 1 || w.Head != high.TransmissionID || !w.Held || w.State != hub.Sending || w.Ahead != 1 {
		t.Fatalf("while it is on its way: %+v", found)
	}
	settle(t, store, held, hub.Retrying)
	found = behind(t, store, high, late)
	if w := found[high.TransmissionID]; len(found) != 1 || w.Head != late.TransmissionID || w.Held || w.State != hub.Pending || w.Ahead != 1 {
		t.Fatalf("after it failed: %+v", found)
	}
	settle(t, store, claimOne(t, store), hub.Refused)
	if found = behind(t, store, high, late); len(found) != 0 {
		t.Fatalf("behind what is final: %+v", found)
	}
}

func TestBehindSaysWhenTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: hubtest.Database(t).App})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	_, err = store.Behind(t.Context(), []uuid.UUID{uuid.New()})
	if refusal, ok := errors.AsType[*hub.Error](err); !ok || refusal.Kind != hub.Unavailable {
		t.Errorf("%v", err)
	}
}

func behind(t *testing.T, store *postgres.Store, all ...*postgres.Acceptance) map[uuid.UUID]postgres.Waiting {
	t.Helper()
	ids := make([]uuid.UUID, 0, len(all))
	for _, a := range all {
		ids = append(ids, a.TransmissionID)
	}
	found, err := store.Behind(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range found {
		if !w.DueAt.IsZero() && time.Until(w.DueAt) > 2*time.Hour {
			t.Errorf("due at %v", w.DueAt)
		}
	}
	return found
}

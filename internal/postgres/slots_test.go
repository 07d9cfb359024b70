package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Takers of two processes at once get places that follow each other: the last one begins no earlier
// than the rate allows for all of them together.
func TestPlacesAreGivenOnceOverAllProcesses(t *testing.T) {
	t.Parallel()
	const rate, takers, each, n = 1000, 8, 10, 25
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db)}
	began := time.Now()
	last := make([]time.Duration, takers)
	var all sync.WaitGroup
	for i := range takers {
		all.Go(func() {
			for range each {
				wait, err := stores[i%2].TakeSlots(t.Context(), hub.Prod, rate, n)
				if err != nil {
					t.Error(err)
				}
				last[i] = max(last[i], time.Since(began)+wait)
			}
		})
	}
	all.Wait()
	var end time.Duration
	for _, l := range last {
		end = max(end, l)
	}
	if least := (takers*each - 1) * n * time.Second / rate; end < least {
		t.Errorf("the last places begin after %v, %d places a second need %v", end, rate, least)
	}
	// The other environment has a rate of its own.
	if wait, err := stores[0].TakeSlots(t.Context(), hub.Test, rate, n); err != nil || wait > 100*time.Millisecond {
		t.Errorf("the other environment waits %v, %v", wait, err)
	}
}

// Places that nobody took in time are gone: there is no saving up for a burst.
func TestPlacesAreNotSavedUp(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	take(t, store, 1)
	advance(t, db, "1 hour")
	later := open(t, db)
	first := take(t, later, 5)
	if second := take(t, later, 1); first > time.Second || second < 400*time.Millisecond {
		t.Errorf("five at ten a second begin in %v, the next in %v", first, second)
	}
}

// A clock that is set back stops nobody.
func TestClockSetBackDoesNotStopPlaces(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	advance(t, db, "2 hours")
	take(t, open(t, db), 1)
	advance(t, db, "0")
	if wait := take(t, open(t, db), 1); wait > 2*time.Second {
		t.Errorf("waits %v", wait)
	}
}

// take takes places at ten a second.
func take(t *testing.T, store *postgres.Store, n int) time.Duration {
	t.Helper()
	wait, err := store.TakeSlots(t.Context(), hub.Prod, 10, n)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

// What was put off until the first of its case is tried again is due as soon as that one is settled.
func TestNextOfACaseIsDueWhenTheFirstIsSettledEarly(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	accept(t, store, follow(first, 2))
	settle(t, store, claimOne(t, store), hub.Retrying) // in an hour
	if more := claim(t, store, 10); len(more) != 0 {   // which puts the second off as well
		t.Fatal("claimed behind one that waits")
	}
	_, err := superuser(t, db).Exec(t.Context(), "UPDATE hub.delivery SET due_at = hub.hub_now() WHERE state = 'retrying'")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, store, claimOne(t, store), hub.Delivered)
	if next := claimOne(t, store); next.Sequence != 2 {
		t.Errorf("next is %d", next.Sequence)
	}
}

package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// One who lost the lease settles at the same moment as the one who has it, so that both stand in one
// batch: only the latter is settled, with one attempt and one entry.
func TestSettleRefusesALostLeaseBesideTheOneThatHolds(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	const deliveries = 20
	for range deliveries {
		accept(t, store, acceptance(ente.ID))
		var both []*postgres.Settlement
		for range 2 {
			// A lease that is over at once, as that of a process which slept.
			all, err := store.Claim(t.Context(), postgres.ClaimQuery{Environment: hub.Prod, Owner: uuid.New(), Limit: 1})
			if err != nil || len(all) != 1 {
				t.Fatalf("claimed %d: %v", len(all), err)
			}
			both = append(both, settlement(all[0], hub.Delivered))
		}
		results := make([]error, len(both))
		var wg sync.WaitGroup
		for i, s := range both {
			wg.Go(func() { results[i] = store.Settle(t.Context(), s) })
		}
		wg.Wait()
		if !errors.Is(results[0], postgres.ErrStaleLease) || results[1] != nil {
			t.Errorf("the lost lease got %v, the one that holds %v", results[0], results[1])
		}
	}
	wantRows(t, db, "attempt", deliveries)
	wantRows(t, db, "journal_entry", 2*deliveries)
}

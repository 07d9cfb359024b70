package delivery_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// TestDeadOneThatAnOperatorRetriesHasItsWholeBudgetAgain spends a budget twice; the nation is asked
// first, since the last answer of the first budget may have been lost.
func TestDeadOneThatAnOperatorRetriesHasItsWholeBudgetAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{Next: slices.Repeat([]siss.Fault{siss.Fail}, 6)})
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Attempts = 3 })
	if seen := k.until(t, e.transmission, hub.Dead); len(seen) != 3 {
		t.Fatalf("attempts: %+v", seen)
	}
	retry := func() {
		t.Helper()
		acted, err := w.store.Operate(t.Context(), postgres.Act{
			Verb: postgres.VerbRetry, Environment: hub.Prod, ID: e.message, At: time.Now(), Actor: "anna", Reason: "prova",
		})
		if err != nil || acted.Refusal != "" {
			t.Fatalf("%q, %v", acted.Refusal, err)
		}
	}
	retry()
	if seen := k.until(t, e.transmission, hub.Dead); len(seen) != 3 {
		t.Errorf("attempts of the second budget: %+v", seen)
	}
	retry()
	k.until(t, e.transmission, hub.Delivered)
	if state := w.state(t, e); state.Attempts != 7 {
		t.Errorf("%d attempts, want 7", state.Attempts)
	}
	if asked := s.Stats()["statoTrasmissione/SCONOSCIUTO"]; asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	exactlyOnce(t, file, []accepted{e})
}

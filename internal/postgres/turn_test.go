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

// Corrections and annulments are sent, each by itself, and never before what they refer to; what was
// annulled before it was sent is sent, and then its annulment.
func TestCorrectionsAndAnnulmentsGoInTheirTurn(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	opening := acceptance(addEnte(t, store).ID)
	original, later := follow(opening, 5), follow(opening, 9)
	refer := func(op sinba.Operation, number int32) *postgres.Acceptance {
		a := follow(opening, number)
		a.Operation, a.RefersTo = op, original.Key.Event
		return a
	}
	// Vendors number these as they like; 6 is in its place, 2 and 3 would be before their original.
	low, high, annulment := refer(sinba.Rettifica, 2), refer(sinba.Rettifica, 6), refer(sinba.Annullamento, 3)
	for _, a := range []*postgres.Acceptance{opening, later, original, low, high, annulment} {
		accept(t, store, a)
	}
	want := []uuid.UUID{
		opening.ReceiptID, original.ReceiptID, low.ReceiptID, high.ReceiptID, annulment.ReceiptID, later.ReceiptID,
	}
	var got []uuid.UUID
	for range want {
		c := claimOne(t, store)
		got = append(got, c.Message)
		settle(t, store, c, hub.Delivered)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

package postgres_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// shelf is a carrier that keeps what it is given.
type shelf struct {
	mu       sync.Mutex
	room     postgres.Room
	reserved int
	taken    []postgres.Claimed
}

func newShelf(deliveries int) *shelf {
	return &shelf{room: postgres.Room{
		Deliveries: deliveries, Environment: hub.Prod, Owner: uuid.New(), Lease: time.Minute, Since: time.Now(),
	}}
}

func (s *shelf) Reserve(most int) postgres.Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.room
	room.Deliveries = min(room.Deliveries, most)
	s.reserved += room.Deliveries
	return room
}

func (s *shelf) Hand(room postgres.Room, taken []postgres.Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= room.Deliveries
	s.taken = append(s.taken, taken...)
}

// given is what was handed over since the last call; nothing must be reserved any more.
func (s *shelf) given(t *testing.T) []postgres.Claimed {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved != 0 {
		t.Errorf("%d still reserved", s.reserved)
	}
	given := s.taken
	s.taken = nil
	return given
}

// inEnte completes an acceptance for a delivery that begins at once.
func inEnte(a *postgres.Acceptance, ente hub.Ente) *postgres.Acceptance {
	a.EnteCode, a.Region = ente.Code, ente.Region
	return a
}

// What is handed over is what a claim would have found, held under its lease and settled by it.
func TestAcceptedEventBeginsAsIfClaimed(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	carrier := newShelf(10)
	store.HandTo(carrier)
	accept(t, store, inEnte(acceptance(ente.ID), ente))
	given := carrier.given(t)
	if len(given) != 1 || given[0].Lease == uuid.Nil {
		t.Fatalf("handed over %+v", given)
	}
	if more := claim(t, store, 10); len(more) != 0 {
		t.Fatal("it is claimed by another while it is held")
	}
	if err := store.Release(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	claimed := claimOne(t, store)
	if diff := cmp.Diff(claimed, given[0], cmpopts.IgnoreFields(postgres.Claimed{}, "Lease")); diff != "" {
		t.Errorf("(-claimed +handed over)\n%s", diff)
	}
	settle(t, store, claimed, hub.Delivered)
}

func TestHandedOverIsSettledUnderItsLease(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	carrier := newShelf(10)
	store.HandTo(carrier)
	a := inEnte(acceptance(ente.ID), ente)
	accept(t, store, a)
	settle(t, store, carrier.given(t)[0], hub.Delivered)
	state, err := store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{ente.ID}, Receipt: a.ReceiptID})
	if err != nil || state.State != hub.Delivered || state.Attempts != 1 {
		t.Errorf("%+v %v", state, err)
	}
}

// Nothing overtakes what waits of its case, whatever it waits for, and two of a case that come
// together are left to a claim, which knows their order.
func TestOnlyWhatIsAloneInItsCaseBeginsAtOnce(t *testing.T) {
	t.Parallel()
	for _, state := range hub.DeliveryStates() {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			store := open(t, hubtest.Database(t))
			ente := addEnte(t, store)
			first := inEnte(acceptance(ente.ID), ente)
			accept(t, store, first)
			if state != hub.Pending {
				held := claimOne(t, store)
				if state != hub.Sending {
					settle(t, store, held, state)
				}
			}
			carrier := newShelf(10)
			store.HandTo(carrier)
			accept(t, store, inEnte(follow(first, 2), ente))
			alone := state == hub.Delivered || state == hub.Refused
			if got := len(carrier.given(t)); (got == 1) != alone {
				t.Errorf("%d begun behind a %s one", got, state)
			}
		})
	}
}

func TestTwoOfACaseThatComeTogetherAreLeftToAClaim(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	carrier := newShelf(10)
	store.HandTo(carrier)
	first := inEnte(acceptance(ente.ID), ente)
	second, other := inEnte(follow(first, 2), ente), inEnte(acceptance(ente.ID), ente)
	for i, r := range store.AcceptAll(t.Context(), []*postgres.Acceptance{first, other, second}) {
		if r.Err != nil || r.Value.Status != postgres.StatusAccepted {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	given := carrier.given(t)
	if len(given) != 1 || given[0].Message != other.ReceiptID {
		t.Errorf("handed over %+v", given)
	}
	if claimed := claimOne(t, store); claimed.Message != first.ReceiptID {
		t.Error("a claim does not find the first")
	}
}

func TestNoMoreBeginsThanThereIsRoom(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	carrier := newShelf(2)
	store.HandTo(carrier)
	var all []*postgres.Acceptance
	for range 5 {
		all = append(all, inEnte(acceptance(ente.ID), ente))
	}
	unknown := acceptance(ente.ID) // whose ente's code nobody told
	for i, r := range store.AcceptAll(t.Context(), append([]*postgres.Acceptance{unknown}, all...)) {
		if r.Err != nil || r.Value.Status != postgres.StatusAccepted {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	given := carrier.given(t)
	if len(given) != 2 || slices.ContainsFunc(given, func(c postgres.Claimed) bool { return c.Message == unknown.ReceiptID }) {
		t.Errorf("%d begun in a room for 2", len(given))
	}
	if n := len(claim(t, store, 10)); n != 4 {
		t.Errorf("claimed %d of the rest", n)
	}
}

// The outcome of a COMMIT that warned is unknown: nobody carries what it stored until the lease is
// over, and then as uncertain. What a rolled back transaction stored is not handed over either.
func TestNothingIsHandedOverWithoutACleanCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string
		stored int
	}{
		"warning":     {"RAISE WARNING 'not confirmed';", 1},
		"rolled back": {"RAISE EXCEPTION 'no';", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			ente := addEnte(t, store)
			carrier := newShelf(10)
			store.HandTo(carrier)
			atCommit(t, db, c.body, 9)
			if _, err := store.Accept(t.Context(), inEnte(acceptance(ente.ID), ente)); err == nil {
				t.Fatal("accepted")
			}
			if given := carrier.given(t); len(given) != 0 {
				t.Errorf("handed over %d", len(given))
			}
			wantStored(t, db, c.stored)
			if claimed := claim(t, store, 10); len(claimed) != 0 {
				t.Error("claimed before its lease is over")
			}
			advance(t, db, "1 hour")
			later := open(t, db)
			claimed := claim(t, later, 10)
			if len(claimed) != c.stored || len(claimed) == 1 && !claimed[0].Uncertain {
				t.Errorf("claimed %+v after the lease", claimed)
			}
		})
	}
}

package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// claim takes what is due, at most limit.
func claim(tb testing.TB, store *postgres.Store, limit int) []postgres.Claimed {
	tb.Helper()
	claimed, err := store.Claim(tb.Context(), postgres.ClaimQuery{
		Environment: hub.Prod, Owner: uuid.New(), Limit: limit, Lease: time.Minute,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return claimed
}

// claimOne takes the only delivery that is due.
func claimOne(tb testing.TB, store *postgres.Store) postgres.Claimed {
	tb.Helper()
	claimed := claim(tb, store, 10)
	if len(claimed) != 1 {
		tb.Fatalf("claimed %d deliveries, want one", len(claimed))
	}
	return claimed[0]
}

func settlement(c postgres.Claimed, state hub.DeliveryState) *postgres.Settlement {
	now := time.Now()
	return &postgres.Settlement{
		Delivery: c.ID, Lease: c.Lease, State: state, RetryIn: time.Hour, StartedAt: now, Took: time.Second,
		Entry: journal.Entry{
			ID: v7(), At: now, Kind: journal.AttemptSettled, Delivery: c.ID, Attempt: c.Attempt, Outcome: string(state),
		},
	}
}

func settle(tb testing.TB, store *postgres.Store, c postgres.Claimed, state hub.DeliveryState) {
	tb.Helper()
	if err := store.Settle(tb.Context(), settlement(c, state)); err != nil {
		tb.Fatal(err)
	}
}

// advance moves the database's clock of every connection made from now on.
func advance(tb testing.TB, db hubtest.DB, by string) {
	tb.Helper()
	if _, err := superuser(tb, db).Exec(tb.Context(), "ALTER DATABASE "+db.Name+" SET hub.clock_offset = '"+by+"'"); err != nil {
		tb.Fatal(err)
	}
}

func wantRows(tb testing.TB, db hubtest.DB, table string, want int) {
	tb.Helper()
	var rows int
	if err := superuser(tb, db).QueryRow(tb.Context(), "SELECT count(*) FROM hub."+table).Scan(&rows); err != nil {
		tb.Fatal(err)
	}
	if rows != want {
		tb.Errorf("%s has %d rows, want %d", table, rows, want)
	}
}

func TestClaimCarriesAllThatTheNationalEventIsMadeFrom(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	a := acceptance(ente.ID)
	a.Body = []byte(strings.Repeat("<Foglia>valore</Foglia>", 400))
	accept(t, store, a)
	got := claimOne(t, store)
	want := postgres.Claimed{
		ID: a.TransmissionID, Lease: got.Lease, Attempt: 1, Spent: 1, Environment: hub.Prod, Participant: a.Participant,
		Ente: ente.ID, EnteCode: ente.Code, Region: ente.Region, Message: a.ReceiptID, Event: a.Key.Event,
		Type: a.Type, Sequence: a.Sequence, ReceivedAt: a.ReceivedAt, Subject: a.Subject, Case: a.Case.ID,
		NationEpoch: a.NationEpoch, IDsEpoch: a.Case.NationEpoch, MappingVersion: a.MappingVersion, Body: a.Body,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Lease == uuid.Nil {
		t.Error("no lease")
	}
	if more := claim(t, store, 10); len(more) != 0 {
		t.Errorf("claimed %d more while it is held", len(more))
	}
}

func TestClaimTakesNothingOfTheOtherEnvironment(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	accept(t, store, acceptance(addEnte(t, store).ID))
	claimed, err := store.Claim(t.Context(), postgres.ClaimQuery{Environment: hub.Test, Limit: 10, Lease: time.Minute})
	if err != nil || len(claimed) != 0 {
		t.Errorf("claimed %d, %v", len(claimed), err)
	}
}

// Sequence decides, then the order of acceptance; other cases do not wait.
func TestClaimKeepsTheOrderOfACase(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store)
	first := acceptance(ente.ID)
	third, second, twin := follow(first, 3), follow(first, 2), follow(first, 2)
	other := acceptance(ente.ID)
	for _, a := range []*postgres.Acceptance{first, third, second, twin, other} {
		accept(t, store, a)
	}
	var got []uuid.UUID
	for range 5 {
		claimed := claim(t, store, 10)
		mine := slices.IndexFunc(claimed, func(c postgres.Claimed) bool { return c.Case == first.Case.ID })
		if len(got) == 0 && len(claimed) != 2 {
			t.Fatalf("claimed %d, want the first of each case", len(claimed))
		}
		if mine < 0 {
			break
		}
		got = append(got, claimed[mine].Message)
		settle(t, store, claimed[mine], hub.Delivered)
	}
	want := []uuid.UUID{first.ReceiptID, second.ReceiptID, twin.ReceiptID, third.ReceiptID}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A late event with a lower number does not overtake one that is on its way.
func TestClaimHasOneDeliveryOfACaseInFlight(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first := acceptance(addEnte(t, store).ID)
	accept(t, store, first)
	settle(t, store, claimOne(t, store), hub.Delivered)
	accept(t, store, follow(first, 5))
	held := claimOne(t, store)
	late := follow(first, 2)
	accept(t, store, late)
	if more := claim(t, store, 10); len(more) != 0 {
		t.Fatal("two deliveries of one case in flight")
	}
	settle(t, store, held, hub.Delivered)
	if got := claimOne(t, store); got.Message != late.ReceiptID {
		t.Error("the late one was not next")
	}
}

func TestDeliveryHoldsItsCaseUntilFinal(t *testing.T) {
	t.Parallel()
	for state, holds := range map[hub.DeliveryState]bool{
		hub.Delivered: false, hub.Refused: false,
		hub.Retrying: true, hub.Uncertain: true, hub.Dead: true, hub.Parked: true,
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			first := acceptance(addEnte(t, store).ID)
			accept(t, store, first)
			accept(t, store, follow(first, 2))
			settle(t, store, claimOne(t, store), state)
			if got := len(claim(t, store, 10)); (got == 0) != holds {
				t.Errorf("claimed %d behind a %s one", got, state)
			}
			// Whoever waits behind one that waits is not looked at until then.
			var deferred int
			err := superuser(t, db).QueryRow(t.Context(),
				"SELECT count(*) FROM hub.delivery WHERE state = 'pending' AND due_at > hub.hub_now()").Scan(&deferred)
			if err != nil {
				t.Fatal(err)
			}
			if (deferred == 1) != holds {
				t.Errorf("%d deferred behind a %s one", deferred, state)
			}
		})
	}
}

func TestRetryIsDueAgainByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for state, uncertain := range map[hub.DeliveryState]bool{hub.Retrying: false, hub.Uncertain: true} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			first := acceptance(addEnte(t, store).ID)
			accept(t, store, first)
			accept(t, store, follow(first, 2))
			settle(t, store, claimOne(t, store), state) // in an hour
			if early := claim(t, store, 10); len(early) != 0 {
				t.Fatal("claimed before its time")
			}
			advance(t, db, "61 minutes")
			later := open(t, db)
			c := claimOne(t, later)
			if c.Message != first.ReceiptID || c.Attempt != 2 || c.Uncertain != uncertain {
				t.Fatalf("attempt %d, uncertain %v", c.Attempt, c.Uncertain)
			}
			settle(t, later, c, hub.Delivered)
			if next := claimOne(t, later); next.Sequence != 2 {
				t.Error("the next of the case was not due")
			}
		})
	}
}

func TestExpiredLeaseIsClaimedAsUncertainAndItsOldOwnerSettlesNothing(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	accept(t, store, acceptance(addEnte(t, store).ID))
	stale := claimOne(t, store)
	advance(t, db, "2 minutes")
	later := open(t, db)
	fresh := claimOne(t, later)
	if !fresh.Uncertain || fresh.Attempt != 2 || fresh.ID != stale.ID || fresh.Lease == stale.Lease {
		t.Fatalf("claimed again as %+v", fresh)
	}
	if err := store.Settle(t.Context(), settlement(stale, hub.Delivered)); !errors.Is(err, postgres.ErrStaleLease) {
		t.Fatalf("stale settlement: %v", err)
	}
	wantRows(t, db, "attempt", 0)
	wantRows(t, db, "journal_entry", 1)
	settle(t, later, fresh, hub.Refused)
	wantRows(t, db, "attempt", 1)
	if err := later.Settle(t.Context(), settlement(fresh, hub.Delivered)); !errors.Is(err, postgres.ErrStaleLease) {
		t.Fatalf("second settlement: %v", err)
	}
}

func TestReleaseGivesBackAsIfNeverClaimed(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	accept(t, store, a)
	held := claimOne(t, store)
	if err := store.Release(t.Context(), []postgres.Claimed{held}); err != nil {
		t.Fatal(err)
	}
	c := claimOne(t, store)
	if c.Attempt != 1 || c.Uncertain {
		t.Errorf("attempt %d, uncertain %v", c.Attempt, c.Uncertain)
	}
	// A second release comes too late and takes nothing from the new holder.
	if err := store.Release(t.Context(), []postgres.Claimed{held}); err != nil {
		t.Fatal(err)
	}
	settle(t, store, c, hub.Delivered)
}

// What SISS answers cannot make a settlement fail or put text into a column.
func TestSettleKeepsOnlyPlainWords(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	accept(t, store, a)
	s := settlement(claimOne(t, store), hub.Refused)
	s.Protocol = "RSSMRA 80A01"
	s.Codes = []string{"SISS_201", "il minore Mario Rossi", "", strings.Repeat("x", 41), "http.503"}
	if err := store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	state, err := store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{a.Key.Ente}, Event: a.Key.Event})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"SISS_201", "other", "other", "other", "http.503"}, state.Codes); diff != "" {
		t.Error(diff)
	}
	if state.Protocol != "" {
		t.Error("kept a protocol that is none")
	}
}

func TestSettleRefusesStatesThatEndNothing(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	accept(t, store, acceptance(addEnte(t, store).ID))
	c := claimOne(t, store)
	for _, state := range []hub.DeliveryState{hub.Pending, hub.Sending} {
		wantKind(t, store.Settle(t.Context(), settlement(c, state)), hub.Internal)
	}
}

// Two processes claim and settle what several cases hold: nothing is claimed twice at once, and
// each case goes in its order.
func TestTwoClaimersShareTheWork(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db)}
	ente := addEnte(t, stores[0])
	const cases, events = 12, 10
	var accepting sync.WaitGroup
	for range cases {
		first := acceptance(ente.ID)
		accept(t, stores[0], first)
		for n := range events - 1 {
			accepting.Go(func() {
				if _, err := stores[n%2].Accept(t.Context(), follow(first, int32(n+2))); err != nil {
					t.Error(err)
				}
			})
		}
	}
	accepting.Wait()
	var mu sync.Mutex
	flying := map[uuid.UUID]bool{}
	order := map[uuid.UUID][]int32{}
	done := 0
	var claimers sync.WaitGroup
	for _, store := range []*postgres.Store{stores[0], stores[1], stores[0], stores[1]} {
		claimers.Go(func() {
			for {
				mu.Lock()
				finished := done == cases*events
				mu.Unlock()
				if finished || t.Failed() {
					return
				}
				claimed := claim(t, store, 3)
				mu.Lock()
				for _, c := range claimed {
					if flying[c.Case] {
						t.Error("two deliveries of a case in flight")
					}
					flying[c.Case] = true
					order[c.Case] = append(order[c.Case], c.Sequence)
				}
				mu.Unlock()
				for _, c := range claimed {
					// From here on the next of the case may be claimed by the other, before Settle returns.
					mu.Lock()
					flying[c.Case] = false
					done++
					mu.Unlock()
					settle(t, store, c, hub.Delivered)
				}
			}
		})
	}
	claimers.Wait()
	for file, got := range order {
		if !slices.IsSorted(got) || len(got) != events {
			t.Errorf("case %s went as %v", file, got)
		}
	}
	wantRows(t, db, "attempt", cases*events)
}

func TestStateFollowsTheDelivery(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	a.Warnings = []hub.Violation{{Code: hub.CodeRule03, Severity: hub.Lieve, Path: "/x"}}
	accept(t, store, a)
	byEvent := postgres.StateQuery{Environment: hub.Prod, Enti: []int32{99, a.Key.Ente}, Event: a.Key.Event}
	byReceipt := postgres.StateQuery{Environment: hub.Prod, Enti: []int32{a.Key.Ente}, Receipt: a.ReceiptID}
	check := func(state hub.DeliveryState, attempts int32, protocol string) {
		t.Helper()
		for _, q := range []postgres.StateQuery{byEvent, byReceipt} {
			got, err := store.State(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			want := postgres.EventState{
				Event: a.Key.Event, Receipt: a.ReceiptID, State: state, At: got.At, Attempts: attempts, Protocol: protocol,
				Codes: []string{}, Warnings: a.Warnings, Registration: a.Entry.ID,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
	}
	check(hub.Pending, 0, "")
	c := claimOne(t, store)
	check(hub.Sending, 1, "")
	s := settlement(c, hub.Delivered)
	s.Protocol = "NAZ/2026-1"
	if err := store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	check(hub.Delivered, 1, "NAZ/2026-1")
	for name, q := range map[string]postgres.StateQuery{
		"another ente":        {Environment: hub.Prod, Enti: []int32{a.Key.Ente + 1}, Event: a.Key.Event},
		"another environment": {Environment: hub.Test, Enti: []int32{a.Key.Ente}, Event: a.Key.Event},
		"no ente":             {Environment: hub.Prod, Event: a.Key.Event},
		"another's receipt":   {Environment: hub.Prod, Enti: []int32{a.Key.Ente + 1}, Receipt: a.ReceiptID},
		"unknown":             {Environment: hub.Prod, Enti: []int32{a.Key.Ente}, Event: uuid.New()},
	} {
		_, err := store.State(t.Context(), q)
		if refusal, ok := errors.AsType[*hub.Error](err); !ok || refusal.Kind != hub.NotFound || refusal.Public[0].Code != hub.CodeUnknownEvent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStateIsAnnulledOnceTheAnnulmentIsConfirmed(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	accept(t, store, a)
	annulment := follow(a, 2)
	annulment.Type, annulment.Operation, annulment.RefersTo = a.Type, sinba.Annullamento, a.Key.Event
	accept(t, store, annulment)
	stato := func() string {
		t.Helper()
		state, err := store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{a.Key.Ente}, Event: a.Key.Event})
		if err != nil {
			t.Fatal(err)
		}
		return state.Stato()
	}
	settle(t, store, claimOne(t, store), hub.Delivered)
	if got := stato(); got != "CONFERMATO" {
		t.Errorf("before the annulment is confirmed: %s", got)
	}
	settle(t, store, claimOne(t, store), hub.Delivered)
	if got := stato(); got != "ANNULLATO" {
		t.Errorf("after: %s", got)
	}
}

func TestBacklogCountsWhatIsNotFinal(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	for _, state := range []hub.DeliveryState{hub.Delivered, hub.Refused, hub.Parked, hub.Retrying, hub.Retrying} {
		accept(t, store, acceptance(ente.ID))
		settle(t, store, claimOne(t, store), state)
	}
	accept(t, store, acceptance(ente.ID))
	advance(t, db, "1 hour")
	later := open(t, db)
	got, err := later.Backlog(t.Context(), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[hub.DeliveryState]int64{}
	for _, b := range got {
		counts[b.State] = b.Count
		if (b.Count > 0) != (b.Oldest > 59*time.Minute) || b.Oldest > 2*time.Hour {
			t.Errorf("%s: %d, oldest %s", b.State, b.Count, b.Oldest)
		}
	}
	want := map[hub.DeliveryState]int64{
		hub.Pending: 1, hub.Sending: 0, hub.Retrying: 2, hub.Uncertain: 0, hub.Dead: 0, hub.Parked: 1,
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
}

func TestJournalWritesARefusalOnceWithItsQueueRow(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	entry := journal.Entry{
		ID: v7(), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.RequestRefused, Environment: hub.Prod,
		Participant: 2, Outcome: "inviaEvento", Codes: []hub.Code{hub.CodeRule03}, Count: 3,
	}
	for range 2 {
		if err := store.Journal(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	var body []byte
	if err := superuser(t, db).QueryRow(t.Context(), "SELECT body FROM hub.journal_entry").Scan(&body); err != nil {
		t.Fatal(err)
	}
	got, err := journal.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entry, got); diff != "" {
		t.Error(diff)
	}
	wantRows(t, db, "journal_queue", 1)
	wantKind(t, store.Journal(t.Context(), journal.Entry{}), hub.Internal)
}

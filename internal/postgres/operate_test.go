package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// act is a complete one.
func act(verb postgres.Verb, id uuid.UUID) postgres.Act {
	return postgres.Act{
		Verb: verb, Environment: hub.Prod, ID: id, At: time.Now(), Actor: "operatrice", Reason: "richiesta SISS 42",
	}
}

// operate acts and fails the test if it was refused.
func operate(tb testing.TB, store *postgres.Store, a postgres.Act) postgres.Acted {
	tb.Helper()
	acted, err := store.Operate(tb.Context(), a)
	if err != nil {
		tb.Fatal(err)
	}
	if acted.Refusal != "" {
		tb.Fatalf("%s refused: %s", a.Verb, acted.Refusal)
	}
	return acted
}

// wantRefusal acts and fails the test unless it is refused so.
func wantRefusal(tb testing.TB, store *postgres.Store, a postgres.Act, want postgres.Refusal) postgres.Acted {
	tb.Helper()
	acted, err := store.Operate(tb.Context(), a)
	if err != nil {
		tb.Fatal(err)
	}
	if acted.Refusal != want {
		tb.Fatalf("%s of a %s one: refusal %q, want %q", a.Verb, acted.From, acted.Refusal, want)
	}
	return acted
}

// deliveryIn accepts an event of a case of its own and brings its delivery into a state. A sending
// one is returned as claimed.
func deliveryIn(tb testing.TB, store *postgres.Store, ente int32, state hub.DeliveryState) (*postgres.Acceptance, postgres.Claimed) {
	tb.Helper()
	a := acceptance(ente)
	accept(tb, store, a)
	return a, bring(tb, store, a, state)
}

// bring brings the delivery of an acceptance, which is due, into a state.
func bring(tb testing.TB, store *postgres.Store, a *postgres.Acceptance, state hub.DeliveryState) postgres.Claimed {
	tb.Helper()
	if state == hub.Pending {
		return postgres.Claimed{}
	}
	all := claim(tb, store, 100)
	i := slices.IndexFunc(all, func(c postgres.Claimed) bool { return c.Message == a.ReceiptID })
	if i < 0 {
		tb.Fatal("not claimed")
	}
	c := all[i]
	if err := store.Release(tb.Context(), slices.Delete(slices.Clone(all), i, i+1)); err != nil {
		tb.Fatal(err)
	}
	if state != hub.Sending {
		settle(tb, store, c, state)
	}
	return c
}

// stateOf reads the state of the delivery of an acceptance.
func stateOf(tb testing.TB, store *postgres.Store, a *postgres.Acceptance) hub.DeliveryState {
	tb.Helper()
	d, err := store.ShowDelivery(tb.Context(), a.ReceiptID)
	if err != nil {
		tb.Fatal(err)
	}
	return d.State
}

// The whole table: which verb does what in which state.
func TestOperateAllowsEachVerbInItsStatesOnly(t *testing.T) {
	t.Parallel()
	to := map[postgres.Verb]map[hub.DeliveryState]hub.DeliveryState{
		postgres.VerbRetry: {hub.Retrying: hub.Retrying, hub.Uncertain: hub.Uncertain, hub.Dead: hub.Uncertain},
		postgres.VerbPark: {
			hub.Pending: hub.Parked, hub.Retrying: hub.Parked, hub.Uncertain: hub.Parked, hub.Dead: hub.Parked,
		},
		postgres.VerbUnpark:    {hub.Parked: hub.Uncertain},
		postgres.VerbRedeliver: {hub.Delivered: hub.Retrying, hub.Refused: hub.Retrying},
		postgres.VerbRenew:     {hub.Refused: hub.Pending},
	}
	for verb, allowed := range to {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store := open(t, db)
			ente := addEnte(t, store).ID
			for _, state := range hub.DeliveryStates() {
				a, _ := deliveryIn(t, store, ente, state)
				want, ok := allowed[state]
				done := act(verb, a.TransmissionID)
				done.Confirmed = true
				if !ok {
					refusal := postgres.RefusalState
					if state == hub.Sending {
						refusal = postgres.RefusalUnderWay
					}
					wantRefusal(t, store, done, refusal)
					if got := stateOf(t, store, a); got != state {
						t.Errorf("a refused %s made %s of %s", verb, got, state)
					}
					continue
				}
				acted := operate(t, store, done)
				if acted.From != state || acted.To != want {
					t.Errorf("%s -> %s, want %s -> %s", acted.From, acted.To, state, want)
				}
				if got := stateOf(t, store, a); got != want {
					t.Errorf("%s of %s: %s, want %s", verb, state, got, want)
				}
			}
			var entries int
			if err := superuser(t, db).QueryRow(t.Context(),
				`SELECT count(*) FROM hub.journal_entry j JOIN hub.journal_queue q ON q.entry_id = j.id WHERE j.kind = 9`).Scan(&entries); err != nil {
				t.Fatal(err)
			}
			if entries != len(allowed) {
				t.Errorf("%d entries for %d acts", entries, len(allowed))
			}
		})
	}
}

func TestOperateJournalsWhoAndWhy(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, c := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	done := act(postgres.VerbRetry, a.ReceiptID) // by the receipt
	if acted := operate(t, store, done); acted.Delivery != a.TransmissionID || acted.Message != a.ReceiptID {
		t.Errorf("acted on %v of %v", acted.Delivery, acted.Message)
	}
	d, err := store.ShowDelivery(t.Context(), a.TransmissionID)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Acts) != 1 {
		t.Fatalf("%d acts", len(d.Acts))
	}
	want := journal.Entry{
		ID: d.Acts[0].ID, At: done.At.UTC().Truncate(time.Microsecond), Kind: journal.OperatorActed, Environment: hub.Prod,
		Participant: a.Participant, Ente: a.Key.Ente, Message: a.ReceiptID, Event: a.Key.Event, Delivery: c.ID,
		Attempt: 1, Outcome: "retry", Actor: done.Actor, Reason: done.Reason,
	}
	if diff := cmp.Diff(want, d.Acts[0]); diff != "" {
		t.Error(diff)
	}
}

func TestOperateWithoutActorOrReasonDoesNothing(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	for _, change := range []func(*postgres.Act){
		func(a *postgres.Act) { a.Actor = "" },
		func(a *postgres.Act) { a.Reason = "" },
		func(a *postgres.Act) { a.At = time.Time{} },
	} {
		done := act(postgres.VerbRetry, a.TransmissionID)
		change(&done)
		if _, err := store.Operate(t.Context(), done); err == nil {
			t.Error("acted")
		}
	}
	if got := stateOf(t, store, a); got != hub.Dead {
		t.Error(got)
	}
}

// A dead one may have reached SISS: it is asked about first, and its attempts go on being counted
// while its budget begins anew.
func TestOperateGivesAFreshBudgetAndKeepsTheNumbers(t *testing.T) {
	t.Parallel()
	for state, verb := range map[hub.DeliveryState]postgres.Verb{
		hub.Dead: postgres.VerbRetry, hub.Parked: postgres.VerbUnpark, hub.Delivered: postgres.VerbRedeliver,
		hub.Refused: postgres.VerbRedeliver,
	} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			store := open(t, hubtest.Database(t))
			a, _ := deliveryIn(t, store, addEnte(t, store).ID, state)
			done := act(verb, a.TransmissionID)
			done.Confirmed = true
			operate(t, store, done)
			c := claimOne(t, store)
			if c.Attempt != 2 || c.Spent != 1 {
				t.Errorf("attempt %d, %d spent", c.Attempt, c.Spent)
			}
			// What SISS has judged is sent again; what nobody knows is asked about.
			if sends := verb == postgres.VerbRedeliver; c.Uncertain == sends {
				t.Errorf("uncertain %v", c.Uncertain)
			}
			// Given back, it counts as if it had not been claimed.
			if err := store.Release(t.Context(), []postgres.Claimed{c}); err != nil {
				t.Fatal(err)
			}
			if again := claimOne(t, store); again.Attempt != 2 || again.Spent != 1 || again.Uncertain != c.Uncertain {
				t.Errorf("after a release: attempt %d, %d spent, uncertain %v", again.Attempt, again.Spent, again.Uncertain)
			}
		})
	}
}

// To wait less is not to get more attempts.
func TestRetryOfARetryingOneKeepsItsBudget(t *testing.T) {
	t.Parallel()
	for state, uncertain := range map[hub.DeliveryState]bool{hub.Retrying: false, hub.Uncertain: true} {
		store := open(t, hubtest.Database(t))
		a, _ := deliveryIn(t, store, addEnte(t, store).ID, state) // due in an hour
		if early := claim(t, store, 10); len(early) != 0 {
			t.Fatal("due already")
		}
		operate(t, store, act(postgres.VerbRetry, a.TransmissionID))
		if c := claimOne(t, store); c.Attempt != 2 || c.Spent != 2 || c.Uncertain != uncertain {
			t.Errorf("%s: attempt %d, %d spent, uncertain %v", state, c.Attempt, c.Spent, c.Uncertain)
		}
	}
}

func TestUnparkedBeforeItsFirstAttemptIsPendingAgain(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Pending)
	operate(t, store, act(postgres.VerbPark, a.TransmissionID))
	if got := claim(t, store, 10); len(got) != 0 {
		t.Fatal("a parked one was claimed")
	}
	if acted := operate(t, store, act(postgres.VerbUnpark, a.TransmissionID)); acted.To != hub.Pending {
		t.Error(acted.To)
	}
	if c := claimOne(t, store); c.Attempt != 1 || c.Uncertain {
		t.Errorf("attempt %d, uncertain %v", c.Attempt, c.Uncertain)
	}
}

// Only the end of an attempt tells what SISS has, so that no operator takes a delivery from it.
func TestOperateLeavesAnAttemptUnderWayAlone(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, c := deliveryIn(t, store, addEnte(t, store).ID, hub.Sending)
	for _, verb := range []postgres.Verb{postgres.VerbRetry, postgres.VerbPark, postgres.VerbUnpark, postgres.VerbRedeliver, postgres.VerbRenew} {
		if acted := wantRefusal(t, store, act(verb, a.TransmissionID), postgres.RefusalUnderWay); acted.LeaseUntil.IsZero() {
			t.Error("not told until when")
		}
	}
	settle(t, store, c, hub.Delivered) // the lease still stands
	if got := stateOf(t, store, a); got != hub.Delivered {
		t.Error(got)
	}
}

// Whoever held a lease that ran out, and wakes after the operator, settles nothing.
func TestOperateTakesOverALeaseThatRanOut(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, frozen := deliveryIn(t, store, addEnte(t, store).ID, hub.Sending)
	advance(t, db, "2 minutes")
	later := open(t, db)
	operate(t, later, act(postgres.VerbPark, a.TransmissionID))
	if err := store.Settle(t.Context(), settlement(frozen, hub.Delivered)); !errors.Is(err, postgres.ErrStaleLease) {
		t.Fatalf("settled: %v", err)
	}
	if got := stateOf(t, later, a); got != hub.Parked {
		t.Fatal(got)
	}
	operate(t, later, act(postgres.VerbUnpark, a.TransmissionID))
	if c := claimOne(t, later); !c.Uncertain {
		t.Error("not asked about first")
	}
}

func TestOperateKnowsNeitherStrangersNorTheOtherEnvironment(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	wantRefusal(t, store, act(postgres.VerbRetry, uuid.New()), postgres.RefusalUnknown)
	wantRefusal(t, store, act(postgres.VerbRetry, uuid.Nil), postgres.RefusalUnknown)
	// neither IdEvento nor the case's random id is a handle
	wantRefusal(t, store, act(postgres.VerbRetry, a.Key.Event), postgres.RefusalUnknown)
	wantRefusal(t, store, act(postgres.VerbRetry, a.Case.ID), postgres.RefusalUnknown)
	other := act(postgres.VerbRetry, a.TransmissionID)
	other.Environment = hub.Test
	wantRefusal(t, store, other, postgres.RefusalEnvironment)
	if got := stateOf(t, store, a); got != hub.Dead {
		t.Error(got)
	}
}

// Behind a parked one nothing moves, and the operator is told so.
func TestRetryBehindAParkedOneTellsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	ente := addEnte(t, store).ID
	first, _ := deliveryIn(t, store, ente, hub.Parked)
	second := follow(first, 2)
	accept(t, store, second)
	operate(t, store, act(postgres.VerbUnpark, first.TransmissionID))
	bring(t, store, first, hub.Dead)
	operate(t, store, act(postgres.VerbPark, first.TransmissionID))

	page, err := store.ListDeliveries(t.Context(), postgres.DeliveryFilter{Environment: hub.Prod, States: hub.DeliveryStates()}, postgres.Place{}, 10)
	if err != nil || len(page) != 2 {
		t.Fatalf("%d listed, %v", len(page), err)
	}
	if page[1].ID != second.TransmissionID || page[1].Behind.Head != first.TransmissionID || page[1].Behind.State != hub.Parked {
		t.Errorf("the second waits behind %+v", page[1].Behind)
	}
	if page[0].Behind.Head != uuid.Nil {
		t.Errorf("the first waits behind %+v", page[0].Behind)
	}
	shown, err := store.ShowDelivery(t.Context(), first.TransmissionID)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Followers) != 1 || shown.Followers[0].ID != second.TransmissionID {
		t.Errorf("behind the first wait %+v", shown.Followers)
	}
	operate(t, store, act(postgres.VerbPark, second.TransmissionID))
	acted := operate(t, store, act(postgres.VerbUnpark, second.TransmissionID))
	if acted.Behind.Head != first.TransmissionID || acted.Behind.State != hub.Parked {
		t.Errorf("told to wait behind %+v", acted.Behind)
	}
	if got := claim(t, store, 10); len(got) != 0 {
		t.Error("overtook a parked one of its case")
	}
}

// Those that were put off behind a dead one must not wait for a minute when it goes again.
func TestWhatWaitedBehindGoesAtOnceAfterAnAct(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	second := follow(first, 2)
	accept(t, store, second)
	if got := claim(t, store, 10); len(got) != 0 {
		t.Fatal("overtook a dead one of its case")
	}
	operate(t, store, act(postgres.VerbRetry, first.TransmissionID))
	settle(t, store, claimOne(t, store), hub.Delivered)
	if c := claimOne(t, store); c.Message != second.ReceiptID {
		t.Error("the second was not due")
	}
}

// Of two operators one does it and the other is told how it stands now.
func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	for _, verb := range []postgres.Verb{postgres.VerbRenew, postgres.VerbRedeliver, postgres.VerbPark} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			stores := []*postgres.Store{open(t, db), open(t, db)}
			state := hub.Refused
			if verb == postgres.VerbPark {
				state = hub.Dead
			}
			a, _ := deliveryIn(t, stores[0], addEnte(t, stores[0]).ID, state)
			var done, refused int
			var mu sync.Mutex
			var operators sync.WaitGroup
			for i := range 8 {
				operators.Go(func() {
					acted, err := stores[i%2].Operate(t.Context(), act(verb, a.ReceiptID))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Error(err)
					case acted.Refusal == "":
						done++
					case acted.Refusal == postgres.RefusalState:
						refused++
					default:
						t.Error(acted.Refusal)
					}
				})
			}
			operators.Wait()
			if done != 1 || refused != 7 {
				t.Errorf("%d did it, %d were refused", done, refused)
			}
			rows := 1
			if verb == postgres.VerbRenew {
				rows = 2
			}
			wantRows(t, db, "delivery", rows)
			wantRows(t, db, "journal_entry", 3)
		})
	}
}

// An operator against the attempts: whoever comes first, nothing is lost or held by two, and the
// journal says what happened.
func TestOperatorsAgainstAttempts(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store).ID
	first := acceptance(ente)
	accept(t, store, first)
	all := []*postgres.Acceptance{first}
	for i := range 19 {
		a := follow(first, int32(i+2))
		if i%2 == 0 {
			a = acceptance(ente)
		}
		accept(t, store, a)
		all = append(all, a)
	}
	var acted sync.Map
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() { // delivers
			for range 60 {
				for _, c := range claim(t, store, 5) {
					if err := store.Settle(t.Context(), settlement(c, hub.Delivered)); err != nil {
						t.Error(err)
					}
				}
			}
		})
		work.Go(func() { // parks and unparks
			for _, a := range all {
				for _, verb := range []postgres.Verb{postgres.VerbPark, postgres.VerbUnpark} {
					done, err := store.Operate(t.Context(), act(verb, a.TransmissionID))
					if err != nil {
						t.Error(err)
					}
					if done.Refusal == "" {
						n, _ := acted.LoadOrStore(a.ReceiptID, new(sync.Map))
						n.(*sync.Map).Store(v7(), verb)
					}
				}
			}
		})
	}
	work.Wait()
	for range len(all) + 1 {
		for _, c := range claim(t, store, 50) {
			settle(t, store, c, hub.Delivered)
		}
	}
	for _, a := range all {
		d, err := store.ShowDelivery(t.Context(), a.ReceiptID)
		if err != nil {
			t.Fatal(err)
		}
		if d.State == hub.Parked {
			t.Errorf("left parked: %v", d.ID)
			continue
		}
		delivered := 0
		for _, try := range d.Tries {
			if try.State == hub.Delivered {
				delivered++
			}
		}
		if d.State != hub.Delivered || delivered != 1 {
			t.Errorf("%s after %d attempts that delivered", d.State, delivered)
		}
		want := 0
		if n, ok := acted.Load(a.ReceiptID); ok {
			n.(*sync.Map).Range(func(any, any) bool { want++; return true })
		}
		if len(d.Acts) != want {
			t.Errorf("%d acts in the journal, %d were told", len(d.Acts), want)
		}
	}
}

// The role of the hub can do all of it, and still change neither journal nor message.
func TestOperateRunsAsTheApplicationsRole(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	operate(t, store, act(postgres.VerbRetry, a.TransmissionID))
	app := connect(t, db.App)
	for _, statement := range []string{
		"UPDATE hub.journal_entry SET body = ''", "DELETE FROM hub.journal_entry", "DELETE FROM hub.delivery", "DELETE FROM hub.attempt",
	} {
		if _, err := app.Exec(t.Context(), statement); err == nil {
			t.Errorf("may %s", statement)
		}
	}
}

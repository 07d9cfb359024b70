package postgres_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// landscape accepts two cases in each state, of two enti, at different times, and gives what a list
// of all of them must say, oldest first.
func landscape(tb testing.TB, store *postgres.Store) []postgres.ListedDelivery {
	tb.Helper()
	enti := []hub.Ente{addEnte(tb, store)}
	other, err := store.UpsertEnte(tb.Context(), hub.Prod, hub.Ente{Code: "ENTE-2", Zone: "ZONA-1", Region: "17"})
	if err != nil {
		tb.Fatal(err)
	}
	enti = append(enti, other)
	base := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Hour)
	var want []postgres.ListedDelivery
	var both []*postgres.Acceptance
	for i, state := range append(hub.DeliveryStates(), hub.DeliveryStates()...) {
		first := acceptance(enti[i%2].ID)
		// several at the same moment: their order is that of their receipts
		first.ReceivedAt = base.Add(time.Duration(i/3) * time.Minute)
		second := follow(first, 2)
		second.ReceivedAt = first.ReceivedAt.Add(30 * time.Second)
		accept(tb, store, first)
		claimed := bring(tb, store, first, state)
		accept(tb, store, second)
		both = append(both, first, second)
		w := postgres.ListedDelivery{
			ID: first.TransmissionID, Message: first.ReceiptID, Ente: enti[i%2].Code, Type: string(first.Type), State: state,
			ReceivedAt: first.ReceivedAt, Held: state == hub.Sending, Attempts: min(1, claimed.Attempt),
		}
		follower := postgres.ListedDelivery{
			ID: second.TransmissionID, Message: second.ReceiptID, Ente: w.Ente, Type: string(second.Type), State: hub.Pending,
			ReceivedAt: second.ReceivedAt, Behind: postgres.Waiting{Head: w.ID, Message: w.Message, Event: first.Key.Event, State: state, Held: state == hub.Sending, Ahead: 1},
		}
		if state == hub.Delivered || state == hub.Refused {
			follower.Behind = postgres.Waiting{}
		}
		want = append(want, w, follower)
	}
	slices.SortFunc(want, func(a, b postgres.ListedDelivery) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), slices.Compare(a.Message[:], b.Message[:]))
	})
	if len(both) != len(want) {
		tb.Fatal("not all told")
	}
	return want
}

// stripped drops what the clock says and what is empty in two ways.
func stripped(all []postgres.ListedDelivery) []postgres.ListedDelivery {
	for i := range all {
		d := &all[i]
		d.Age, d.ChangedAt, d.DueAt, d.Behind.DueAt = 0, time.Time{}, time.Time{}, time.Time{}
		if len(d.Codes) == 0 {
			d.Codes = nil
		}
		if len(d.Behind.Codes) == 0 {
			d.Behind.Codes = nil
		}
	}
	return all
}

func TestListGivesWhatItsFilterMeansPageByPage(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	all := landscape(t, store)
	middle := all[len(all)/2].ReceivedAt
	every := hub.DeliveryStates()
	for name, c := range map[string]struct {
		filter postgres.DeliveryFilter
		keep   func(postgres.ListedDelivery) bool
	}{
		"all":         {postgres.DeliveryFilter{States: every}, func(postgres.ListedDelivery) bool { return true }},
		"one state":   {postgres.DeliveryFilter{States: []hub.DeliveryState{hub.Dead}}, func(d postgres.ListedDelivery) bool { return d.State == hub.Dead }},
		"delivered":   {postgres.DeliveryFilter{States: []hub.DeliveryState{hub.Delivered}}, func(d postgres.ListedDelivery) bool { return d.State == hub.Delivered }},
		"ente":        {postgres.DeliveryFilter{States: every, Ente: "ENTE-2"}, func(d postgres.ListedDelivery) bool { return d.Ente == "ENTE-2" }},
		"type":        {postgres.DeliveryFilter{States: every, Type: all[0].Type}, func(d postgres.ListedDelivery) bool { return d.Type == all[0].Type }},
		"from":        {postgres.DeliveryFilter{States: every, From: middle}, func(d postgres.ListedDelivery) bool { return !d.ReceivedAt.Before(middle) }},
		"before":      {postgres.DeliveryFilter{States: every, Before: middle}, func(d postgres.ListedDelivery) bool { return d.ReceivedAt.Before(middle) }},
		"no state":    {postgres.DeliveryFilter{}, func(postgres.ListedDelivery) bool { return false }},
		"nobody":      {postgres.DeliveryFilter{States: every, Ente: "ENTE-3"}, func(postgres.ListedDelivery) bool { return false }},
		"code":        {postgres.DeliveryFilter{States: every, Code: "http.503"}, func(postgres.ListedDelivery) bool { return false }},
		"environment": {postgres.DeliveryFilter{States: every, Environment: hub.Test}, func(postgres.ListedDelivery) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.filter.Environment == 0 {
				c.filter.Environment = hub.Prod
			}
			want := slices.DeleteFunc(slices.Clone(all), func(d postgres.ListedDelivery) bool { return !c.keep(d) })
			for _, size := range []int{1, 3, 100} {
				var got []postgres.ListedDelivery
				var after postgres.Place
				for {
					page, err := store.ListDeliveries(t.Context(), c.filter, after, size)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, page...)
					if len(page) < size {
						break
					}
					last := page[len(page)-1]
					after = postgres.Place{ReceivedAt: last.ReceivedAt, Receipt: last.Message}
				}
				if diff := gocmp.Diff(want, stripped(got), gocmp.Transformer("", func(all []postgres.ListedDelivery) []postgres.ListedDelivery {
					if len(all) == 0 {
						return nil
					}
					return all
				})); diff != "" {
					t.Fatalf("pages of %d: %.2000s", size, diff)
				}
			}
			counts, err := store.CountDeliveries(t.Context(), c.filter)
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, b := range counts {
				total += b.Count
				if n := len(slices.DeleteFunc(slices.Clone(want), func(d postgres.ListedDelivery) bool { return d.State != b.State })); int64(n) != b.Count {
					t.Errorf("%d %s counted, want %d", b.Count, b.State, n)
				}
			}
			if total != int64(len(want)) {
				t.Errorf("%d counted, want %d", total, len(want))
			}
		})
	}
}

func TestListFindsACodeOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	accept(t, store, a)
	s := settlement(claimOne(t, store), hub.Retrying)
	s.Codes = []string{"http.503", "SISS_100"}
	if err := store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]int{"http.503": 1, "SISS_100": 1, "SISS_10": 0, "503": 0, "": 1} {
		page, err := store.ListDeliveries(t.Context(), postgres.DeliveryFilter{
			Environment: hub.Prod, States: hub.DeliveryStates(), Code: code,
		}, postgres.Place{}, 10)
		if err != nil || len(page) != want {
			t.Errorf("%q found %d, want %d, %v", code, len(page), want, err)
		}
		for _, d := range page {
			if !slices.Equal(d.Codes, s.Codes) {
				t.Errorf("%q: listed with %v", code, d.Codes)
			}
		}
	}
}

func TestShowTellsTheWholeLifeOfADelivery(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(addEnte(t, store).ID)
	accept(t, store, a)
	s := settlement(claimOne(t, store), hub.Dead)
	s.Codes, s.Digest = []string{"no_answer"}, randomDigest()
	if err := store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	operate(t, store, act(postgres.VerbRetry, a.TransmissionID))
	last := settlement(claimOne(t, store), hub.Delivered)
	last.Protocol = "SISS-1"
	if err := store.Settle(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	d, err := store.ShowDelivery(t.Context(), a.ReceiptID)
	if err != nil {
		t.Fatal(err)
	}
	if d.ID != a.TransmissionID || d.Event != a.Key.Event || d.Registration != a.Entry.ID || d.Operation != "I" ||
		d.Environment != hub.Prod || d.Protocol != "SISS-1" || d.Attempts != 2 || d.Spared != 1 || d.State != hub.Delivered {
		t.Errorf("shown %+v", d)
	}
	want := []postgres.Try{
		{Number: 1, StartedAt: s.StartedAt.UTC().Truncate(time.Microsecond), Took: time.Second, State: hub.Dead, Codes: s.Codes, Sent: true},
		{Number: 2, StartedAt: last.StartedAt.UTC().Truncate(time.Microsecond), Took: time.Second, State: hub.Delivered, Codes: []string{}},
	}
	if diff := gocmp.Diff(want, d.Tries); diff != "" {
		t.Error(diff)
	}
	if len(d.Acts) != 1 || d.Acts[0].Outcome != "retry" {
		t.Errorf("acts %+v", d.Acts)
	}
	if _, err := store.ShowDelivery(t.Context(), uuid.New()); err == nil {
		t.Error("showed a stranger")
	} else {
		wantKind(t, err, hub.NotFound)
	}
}

// The answer to COMMIT is lost: the operator is told that nobody knows, and the same act again finds
// it done.
func TestOperateWithALostCommitIsUnknownAndRepeatable(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	direct := open(t, db)
	a, _ := deliveryIn(t, direct, addEnte(t, direct).ID, hub.Refused)
	line := newCutter(t, db)
	store := openWith(t, postgres.Config{DSN: line.dsn})
	line.cuts.Store(1)
	_, err := store.Operate(t.Context(), act(postgres.VerbRenew, a.ReceiptID))
	if line.swallowed.Load() != 1 {
		t.Fatal("no answer was lost, the test shows nothing")
	}
	wantKind(t, err, hub.Unavailable)
	wantRows(t, db, "delivery", 2)
	wantRefusal(t, store, act(postgres.VerbRenew, a.ReceiptID), postgres.RefusalState)
	wantRows(t, db, "delivery", 2)
}

// COMMIT comes back with a warning, as when a standby did not confirm it: nobody is told that it is
// done.
func TestOperateTakesAWarningOnCommitAsUnknown(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Dead)
	atCommitOf(t, db, "hub.journal_queue", "RAISE WARNING 'not confirmed';")
	_, err := store.Operate(t.Context(), act(postgres.VerbRetry, a.ReceiptID))
	wantKind(t, err, hub.Unavailable)
}

// The act fails where it writes the journal: then the delivery is as it was.
func TestOperateWithoutItsJournalEntryDoesNothing(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Refused)
	atCommitOf(t, db, "hub.journal_queue", "RAISE EXCEPTION 'broken';")
	for _, verb := range []postgres.Verb{postgres.VerbRedeliver, postgres.VerbRenew} {
		_, err := store.Operate(t.Context(), act(verb, a.ReceiptID))
		wantKind(t, err, hub.Unavailable)
	}
	wantRows(t, db, "delivery", 1)
	if got := stateOf(t, store, a); got != hub.Refused {
		t.Error(got)
	}
}

// atCommitOf runs a body at every COMMIT of a transaction that wrote into a table.
func atCommitOf(tb testing.TB, db hubtest.DB, table, body string) {
	tb.Helper()
	conn := superuser(tb, db)
	for _, statement := range []string{
		"CREATE FUNCTION public.at_commit_of() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + " RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER at_commit_of AFTER INSERT ON " + table + " DEFERRABLE INITIALLY DEFERRED" +
			" FOR EACH ROW EXECUTE FUNCTION public.at_commit_of()",
	} {
		if _, err := conn.Exec(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
}

// While an event is being accepted into a case nobody acts on the case: the event may be the
// annulment of the one that shall be sent again.
func TestOperateWaitsForAnAcceptanceInItsCase(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := openWith(t, postgres.Config{DSN: db.App, Timeout: 500 * time.Millisecond})
	a, _ := deliveryIn(t, open(t, db), addEnte(t, store).ID, hub.Refused)
	accepting, err := superuser(t, db).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accepting.Exec(t.Context(), "SELECT FROM hub.case_file WHERE id = $1 FOR NO KEY UPDATE", a.Case.ID); err != nil {
		t.Fatal(err)
	}
	_, err = store.Operate(t.Context(), act(postgres.VerbRenew, a.ReceiptID))
	wantKind(t, err, hub.Unavailable)
	if err := accepting.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantRows(t, db, "delivery", 1)
	operate(t, store, act(postgres.VerbRenew, a.ReceiptID))
}

// A claim that takes the delivery while the operator looks at it is seen: the attempt keeps it.
func TestOperateSeesAClaimThatCameBetween(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a, _ := deliveryIn(t, store, addEnte(t, store).ID, hub.Pending)
	admin, watcher := superuser(t, db), superuser(t, db)
	claiming, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claiming.Exec(t.Context(), `UPDATE hub.delivery SET state = 'sending', attempts = 1, lease = gen_random_uuid(),
		owner = gen_random_uuid(), due_at = hub.hub_now() + interval '1 minute' WHERE id = $1`, a.TransmissionID); err != nil {
		t.Fatal(err)
	}
	done := make(chan postgres.Acted, 1)
	go func() {
		acted, err := store.Operate(t.Context(), act(postgres.VerbPark, a.TransmissionID))
		if err != nil {
			t.Error(err)
		}
		done <- acted
	}()
	hubtest.Await(t, time.Minute, "the operator waits for the claim", func() bool {
		return hubtest.Number(t, watcher, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND usename = 'hub_app' AND wait_event_type = 'Lock'`) == 1
	})
	if err := claiming.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if acted := <-done; acted.Refusal != postgres.RefusalUnderWay {
		t.Errorf("refusal %q, %s -> %s", acted.Refusal, acted.From, acted.To)
	}
	if got := stateOf(t, store, a); got != hub.Sending {
		t.Error(got)
	}
}

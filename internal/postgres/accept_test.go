package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/casefile"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// receiptOf is the receipt that a repetition of a must get.
func receiptOf(a *postgres.Acceptance) hub.Receipt {
	outcome := hub.Accepted
	if len(a.Warnings) > 0 {
		outcome = hub.AcceptedWithWarnings
	}
	return hub.Receipt{
		ID: a.ReceiptID, Event: a.Key.Event, Outcome: outcome, ReceivedAt: a.ReceivedAt,
		Commitment: a.Commitment, Registration: a.Entry.ID, Warnings: a.Warnings,
	}
}

// again is an honest repetition: the same event and content in a new message.
func again(first *postgres.Acceptance) *postgres.Acceptance {
	a := acceptance(first.Key.Ente)
	a.Key, a.ContentMAC, a.Case, a.Subject = first.Key, first.ContentMAC, first.Case, first.Subject
	a.Type, a.Sequence = first.Type, first.Sequence
	return a
}

func TestLookupFindsAcceptedEventAndItsCase(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(1)
	a.Warnings = []hub.Violation{
		{Code: hub.CodeRule03, Severity: hub.Lieve, Rule: "BR-03", Path: "/InviaEventoRichiesta/Soggetto", Line: 7},
		{Code: hub.CodeRule06, Severity: hub.Info, Rule: "BR-06", Path: "/InviaEventoRichiesta/Dettaglio"},
		{Code: hub.CodeRule12, Severity: hub.Lieve, Rule: "BR-12", Path: "/InviaEventoRichiesta/Dettaglio/Progetto/DataFine", Reason: "needed", About: "DataFine", BlocksFrom: "2027-04-01"},
	}
	query := postgres.Query{Key: a.Key, CaseIndex: a.Case.Index}
	before, err := store.Lookup(t.Context(), query)
	if err != nil || before.Key != nil || before.Case != nil {
		t.Fatalf("before acceptance: %+v, %v", before, err)
	}
	accept(t, store, a)
	found, err := store.Lookup(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.Found{
		Key: &postgres.KeyRow{Receipt: receiptOf(a), ContentMAC: a.ContentMAC, Subject: a.Subject},
		Case: &postgres.Case{
			ID: a.Case.ID, Subject: a.Subject, Events: 1, FactsEpoch: 1, NationEpoch: a.Case.NationEpoch,
			State: casefile.State{Status: casefile.Open, LastNumber: 1},
		},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	// The same event id of another ente or environment is another event.
	for _, key := range []postgres.Key{
		{Environment: hub.Test, Ente: a.Key.Ente, Event: a.Key.Event},
		{Environment: hub.Prod, Ente: a.Key.Ente + 1, Event: a.Key.Event},
	} {
		other, err := store.Lookup(t.Context(), postgres.Query{Key: key, CaseIndex: a.Case.Index})
		if err != nil || other.Key != nil || other.Case != nil {
			t.Errorf("%+v: found %+v, %v", key, other, err)
		}
	}
}

func TestAcceptDuplicateReturnsFirstReceipt(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first := acceptance(1)
	first.Warnings = []hub.Violation{{Code: hub.CodeRule03, Severity: hub.Lieve, Rule: "BR-03", Path: "/a", Line: 1}}
	accept(t, store, first)
	result, err := store.Accept(t.Context(), again(first))
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.AcceptResult{
		Status: postgres.StatusDuplicate,
		Key:    &postgres.KeyRow{Receipt: receiptOf(first), ContentMAC: first.ContentMAC, Subject: first.Subject},
	}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Error(diff)
	}
}

func TestAcceptingTheSameAcceptanceAgainIsAccepted(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	a := acceptance(1)
	accept(t, store, a)
	accept(t, store, a)
	wantStored(t, db, 1)
}

// Twenty senders of one event at once, half of them with other content, on two processes: one
// is accepted, and every other one learns whose receipt there is and what content it stands for.
func TestAcceptRacersOnOneKeyYieldOneReceipt(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db)}
	for range 10 {
		model := acceptance(1)
		racers := make([]*postgres.Acceptance, 20)
		results := make([]postgres.AcceptResult, len(racers))
		other := randomDigest()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range racers {
			racers[i] = again(model)
			if i%2 == 1 {
				racers[i].ContentMAC = other
			}
			wg.Go(func() {
				<-start
				var err error
				if results[i], err = stores[i/2%2].Accept(t.Context(), racers[i]); err != nil {
					t.Errorf("racer %d: %v", i, err)
				}
			})
		}
		close(start)
		wg.Wait()
		winner := slices.IndexFunc(results, func(r postgres.AcceptResult) bool { return r.Status == postgres.StatusAccepted })
		if winner < 0 {
			t.Fatal("nobody was accepted")
		}
		want := postgres.KeyRow{
			Receipt: receiptOf(racers[winner]), ContentMAC: racers[winner].ContentMAC, Subject: racers[winner].Subject,
		}
		for i, r := range results {
			if i == winner {
				continue
			}
			if r.Status != postgres.StatusDuplicate {
				t.Fatalf("racer %d: status %d beside winner %d", i, r.Status, winner)
			}
			if diff := cmp.Diff(want, *r.Key); diff != "" {
				t.Fatalf("racer %d: %s", i, diff)
			}
		}
	}
	wantStored(t, db, 10)
}

// Racers that open the same case with ids of their own: one id wins, the others are told which.
func TestAcceptRacersOnOneCaseAreToldItsID(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db)}
	model := acceptance(1)
	results := make([]postgres.AcceptResult, 20)
	racers := make([]*postgres.Acceptance, len(results))
	var wg sync.WaitGroup
	for i := range results {
		racers[i] = acceptance(1)
		racers[i].Case.Index = model.Case.Index
		wg.Go(func() {
			var err error
			if results[i], err = stores[i%2].Accept(t.Context(), racers[i]); err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	winner := slices.IndexFunc(results, func(r postgres.AcceptResult) bool { return r.Status == postgres.StatusAccepted })
	if winner < 0 {
		t.Fatal("nobody opened the case")
	}
	for i, r := range results {
		if i == winner {
			continue
		}
		if r.Status != postgres.StatusCaseMoved {
			t.Fatalf("racer %d: status %d", i, r.Status)
		}
		if r.Case.ID != racers[winner].Case.ID || r.Case.Subject != racers[winner].Subject {
			t.Fatalf("racer %d was told another case", i)
		}
		// What the gateway does then.
		racers[i].Case.ID, racers[i].Case.New, racers[i].Subject = r.Case.ID, false, r.Case.Subject
		racers[i].Type, racers[i].Sequence = sinba.Segnalazione, 2 // an opening would be refused now
		accept(t, stores[i%2], racers[i])
	}
	wantStored(t, db, len(results))
	wantPositions(t, db, racers[winner].Case.ID, len(results))
}

// Events that all claim to open their cases are written before anything is looked at. Whatever turns out
// to be there changes nothing for those beside it, and what was begun in vain leaves nothing behind.
func TestWhatOpensNoCaseAfterAllLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	carrier := newShelf(10)
	store.HandTo(carrier)
	opener := func() *postgres.Acceptance { return inEnte(acceptance(ente.ID), ente) }
	known := opener()
	accept(t, store, known)
	if given := carrier.given(t); len(given) != 1 {
		t.Fatalf("handed over %d", len(given))
	}
	moved := opener()
	moved.Case.Index = known.Case.Index
	late := opener() // would be refused if the case were not there
	late.Case.Index, late.Type, late.Sequence = known.Case.Index, sinba.Segnalazione, 2
	otherContent := again(known)
	otherContent.ContentMAC = randomDigest()
	for name, c := range map[string]struct {
		met  *postgres.Acceptance
		want postgres.AcceptStatus
	}{
		"repeated":      {again(known), postgres.StatusDuplicate},
		"other content": {otherContent, postgres.StatusDuplicate},
		"same case":     {moved, postgres.StatusCaseMoved},
		"later event":   {late, postgres.StatusCaseMoved},
		"its own":       {known, postgres.StatusAccepted},
	} {
		before, after := opener(), opener()
		results := store.AcceptAll(t.Context(), []*postgres.Acceptance{before, c.met, after})
		for i, want := range []postgres.AcceptStatus{postgres.StatusAccepted, c.want, postgres.StatusAccepted} {
			if results[i].Err != nil || results[i].Value.Status != want {
				t.Errorf("%s: result %d is %+v", name, i, results[i])
			}
		}
		given := carrier.given(t)
		if len(given) != 2 {
			t.Errorf("%s: handed over %d", name, len(given))
		}
		for i, a := range []*postgres.Acceptance{before, after} {
			if len(given) == 2 && given[i].ID != a.TransmissionID {
				t.Errorf("%s: handed over %v", name, given[i].ID)
			}
		}
	}
	wantStored(t, db, 11)
}

// A batch that waited for a case's lock while another process opened a new case: what belongs to that case is
// not judged as if there were none.
func TestWhatAnotherProcessOpensMeanwhileIsSeen(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, other := open(t, db), open(t, db)
	held := acceptance(1)
	accept(t, store, held)
	opening, second, inHeld := acceptance(1), acceptance(1), acceptance(1)
	second.Case, second.Subject, second.Type, second.Sequence = opening.Case, opening.Subject, sinba.Segnalazione, 2
	inHeld.Case, inHeld.Subject, inHeld.Type, inHeld.Sequence = held.Case, held.Subject, sinba.Segnalazione, 2
	inHeld.Case.New = false
	holder, watcher := superuser(t, db), superuser(t, db)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM hub.case_file WHERE id = $1 FOR UPDATE", held.Case.ID); err != nil {
		t.Fatal(err)
	}
	results := make(chan []batch.Result[postgres.AcceptResult], 1)
	go func() { results <- store.AcceptAll(t.Context(), []*postgres.Acceptance{opening, second, inHeld}) }()
	hubtest.Await(t, time.Minute, "the batch waits", func() bool {
		return hubtest.Number(t, watcher, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	accept(t, other, again(opening))
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range <-results {
		want := postgres.StatusAccepted
		if i == 0 {
			want = postgres.StatusDuplicate
		}
		if r.Err != nil || r.Value.Status != want {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	wantStored(t, db, 4)
}

// A key that turns out at COMMIT to be taken ends the transaction, and what is accepted afterwards on the
// same connection is accepted in earnest.
func TestAKeyTakenAtCommitIsNoWarning(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	atCommit(t, db, "RAISE unique_violation;", 1)
	accept(t, store, acceptance(1))
	wantStored(t, db, 1)
}

func TestAcceptNumbersTheEventsOfACase(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db)}
	first := acceptance(1)
	accept(t, stores[0], first)
	var wg sync.WaitGroup
	const more = 60
	for i := range more {
		wg.Go(func() {
			if _, err := stores[i%2].Accept(t.Context(), follow(first, int32(i+2))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantPositions(t, db, first.Case.ID, more+1)
}

// One that PostgreSQL refuses must not take down those it shares a transaction with.
func TestAcceptPoisonFailsAlone(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	var wg sync.WaitGroup
	const all = 64
	for i := range all {
		a := acceptance(1)
		poison := i%16 == 7
		switch {
		case poison && i < all/2:
			a.Case.FactsEpoch = 0 // violates a CHECK
		case poison:
			a.ReceivedAt = time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC) // no partition
		}
		wg.Go(func() {
			_, err := store.Accept(t.Context(), a)
			if poison != (err != nil) {
				t.Errorf("event %d: poison %v, error %v", i, poison, err)
			}
			if err != nil {
				wantKind(t, err, hub.Unavailable)
			}
		})
	}
	wg.Wait()
	wantStored(t, db, all-4)
}

func TestAcceptWithoutADatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	accept(t, store, acceptance(1))
	// Nobody may connect any more, and whoever is connected is cut off.
	admin := superuser(t, hubtest.DB{DSNs: hubtest.Sibling(t, "postgres"), Name: "postgres"})
	for _, statement := range []string{
		"ALTER DATABASE " + db.Name + " ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + db.Name + "'",
	} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := store.Accept(t.Context(), acceptance(1))
	wantKind(t, err, hub.Unavailable)
	_, err = store.Lookup(t.Context(), postgres.Query{Key: acceptance(1).Key})
	wantKind(t, err, hub.Unavailable)
	if err := store.CanCommit(t.Context()); err == nil {
		t.Error("readiness says that it can commit")
	}
	if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+db.Name+" ALLOW_CONNECTIONS true"); err != nil {
		t.Fatal(err)
	}
	accept(t, store, acceptance(1))
	if err := store.CanCommit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAcceptRefusesTimesItCannotRepeat(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a := acceptance(1)
	a.ReceivedAt = a.ReceivedAt.Add(time.Nanosecond)
	_, err := store.Accept(t.Context(), a)
	wantKind(t, err, hub.Internal)
}

func TestStoppedStoreSaysThatItStops(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: db.App})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_ = store.Run(ctx)
	_, err = store.Accept(t.Context(), acceptance(1))
	refusal, ok := errors.AsType[*hub.Error](err)
	if !ok || refusal.Public[0].Code != hub.CodeStopping {
		t.Errorf("got %v", err)
	}
}

func TestEventsOfTellsSubjectsWithEvents(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	a, stranger := acceptance(1), uuid.New()
	accept(t, store, a)
	accept(t, store, follow(a, 2))
	found, err := store.EventsOf(t.Context(), []uuid.UUID{a.Subject, stranger})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[uuid.UUID]bool{a.Subject: true}, found); diff != "" {
		t.Error(diff)
	}
}

// wantKind checks an error of the hub.
func wantKind(tb testing.TB, err error, kind hub.Kind) {
	tb.Helper()
	refusal, ok := errors.AsType[*hub.Error](err)
	if !ok || refusal.Kind != kind {
		tb.Errorf("error %v, want kind %d", err, kind)
	}
}

// wantStored checks that each table has that many rows of accepted events.
func wantStored(tb testing.TB, db hubtest.DB, want int) {
	tb.Helper()
	conn := superuser(tb, db)
	for _, table := range []string{"event_key", "message", "event", "delivery", "journal_entry", "journal_queue"} {
		var rows int
		if err := conn.QueryRow(tb.Context(), "SELECT count(*) FROM hub."+table).Scan(&rows); err != nil {
			tb.Fatal(err)
		}
		if rows != want {
			tb.Errorf("%s has %d rows, want %d", table, rows, want)
		}
	}
}

// wantPositions checks that a case's events are numbered 1 to n without a gap.
func wantPositions(tb testing.TB, db hubtest.DB, file uuid.UUID, n int) {
	tb.Helper()
	var events, distinct, lowest, highest, counted int
	err := superuser(tb, db).QueryRow(tb.Context(), `
SELECT count(*), count(DISTINCT e.position), min(e.position), max(e.position), max(c.events)
FROM hub.event e JOIN hub.case_file c ON c.id = e.case_id WHERE c.id = $1`, file).
		Scan(&events, &distinct, &lowest, &highest, &counted)
	if err != nil {
		tb.Fatal(err)
	}
	got := []int{events, distinct, lowest, highest, counted}
	if diff := cmp.Diff([]int{n, n, 1, n, n}, got); diff != "" {
		tb.Error(diff)
	}
}

// TestEventsKeepTheVersionOfTheirReferenceData covers both: with dated lists, and without.
func TestEventsKeepTheVersionOfTheirReferenceData(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	for version, want := range map[string]string{"dd6f1f15ca79": "dd6f1f15ca79", "": "null"} {
		a := acceptance(1)
		a.ReferenceVersion = version
		if _, err := store.Accept(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := superuser(t, db).QueryRow(t.Context(), "SELECT coalesce(reference_version, 'null') FROM hub.event WHERE id = $1", a.ReceiptID).Scan(&got); err != nil || got != want {
			t.Error(version, got, err)
		}
	}
	a := acceptance(1)
	a.ReferenceVersion = "no digest"
	if _, err := store.Accept(t.Context(), a); err == nil {
		t.Error("a version that is no digest was stored")
	}
}

// TestAcceptAllStoresInOrderInOneTransaction: events of one new case share it, and one that is not
// whole fails alone.
func TestAcceptAllStoresInOrderInOneTransaction(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	first := acceptance(1)
	all := []*postgres.Acceptance{first}
	for i := range 40 {
		a := acceptance(1)
		a.Case, a.Subject = first.Case, first.Subject
		a.Type, a.Sequence = sinba.Segnalazione, int32(i+2)
		all = append(all, a)
	}
	broken := acceptance(1)
	broken.TransmissionID = uuid.Nil
	all = slices.Insert(all, 7, broken)
	all = append(all, again(first))
	for i, r := range store.AcceptAll(t.Context(), all) {
		switch {
		case i == 7:
			var e *hub.Error
			if !errors.As(r.Err, &e) || e.Kind != hub.Internal {
				t.Errorf("the broken one: %+v", r)
			}
		case i == len(all)-1:
			if r.Err != nil || r.Value.Status != postgres.StatusDuplicate || r.Value.Key.Receipt.ID != first.ReceiptID {
				t.Errorf("the repetition: %+v", r)
			}
		case r.Err != nil || r.Value.Status != postgres.StatusAccepted:
			t.Errorf("%d: %+v", i, r)
		}
	}
	found, err := store.LookupAll(t.Context(), []postgres.Query{
		{Key: all[3].Key, CaseIndex: first.Case.Index}, {Key: broken.Key, CaseIndex: broken.Case.Index},
	})
	if err != nil || found[0].Key == nil || found[0].Case.Events != 41 || found[1].Key != nil || found[1].Case != nil {
		t.Fatalf("found %+v, %v", found, err)
	}
	conn := superuser(t, db)
	rows, err := conn.Query(t.Context(), "SELECT id FROM hub.event WHERE case_id = $1 ORDER BY position", first.Case.ID)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	var want []uuid.UUID
	for i, a := range all[:len(all)-1] {
		if i != 7 {
			want = append(want, a.ReceiptID)
		}
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Error(diff)
	}
	var transactions int
	if err := conn.QueryRow(t.Context(), "SELECT count(DISTINCT xmin::text) FROM hub.event").Scan(&transactions); err != nil || transactions != 1 {
		t.Errorf("%d transactions, %v", transactions, err)
	}
}

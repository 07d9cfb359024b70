package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// erasureOf makes the entry of an order, and keeps it.
func erasureOf(kept *journal.Entry) func(int64) journal.Entry {
	return func(cases int64) journal.Entry {
		*kept = journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: journal.SubjectErased,
			Environment: hub.Prod, Actor: "dpo", Reason: "richiesta", Count: int32(cases),
		}
		return *kept
	}
}

// A child is not erased while an event of it waits for SISS, unless that is wanted, and then its case cannot
// be found while another child's can; the order stands in the journal, once for each time.
func TestEraseTakesTheWayToTheCases(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	gone, other := acceptance(ente.ID), acceptance(ente.ID)
	accept(t, store, gone)
	subjects := []uuid.UUID{gone.Subject}
	var entry journal.Entry
	if _, err := store.Erase(t.Context(), hub.Prod, subjects, uuid.Nil, false, erasureOf(&entry)); !errors.Is(err, postgres.ErrUndelivered) {
		t.Fatalf("erased while it waits: %v", err)
	}
	admin := superuser(t, db)
	count := func(sql string, args ...any) int64 {
		t.Helper()
		return hubtest.Number(t, admin, sql, args...)
	}
	if n := count("SELECT count(*) FROM hub.erasure") + count("SELECT count(*) FROM hub.journal_entry WHERE kind = 25"); n != 0 {
		t.Errorf("a refused order left %d rows", n)
	}
	accept(t, store, other)
	cases, err := store.Erase(t.Context(), hub.Prod, subjects, taken(t, db, hub.Prod, "erase"), true, erasureOf(&entry))
	if err != nil || cases != 1 {
		t.Fatalf("%d cases: %v", cases, err)
	}
	if n := count("SELECT count(*) FROM hub.journal_queue WHERE entry_id = $1", entry.ID); n != 1 {
		t.Errorf("the order stands %d times in the queue", n)
	}
	for a, want := range map[*postgres.Acceptance]bool{gone: false, other: true} {
		found, err := store.Lookup(t.Context(), postgres.Query{Key: a.Key, CaseIndex: a.Case.Index})
		if err != nil || (found.Case != nil) != want {
			t.Errorf("found %v, want %v: %v", found.Case != nil, want, err)
		}
	}
	// A case of the subject that an acceptance under way opened meanwhile.
	late := acceptance(ente.ID)
	late.Subject = gone.Subject
	accept(t, store, late)
	list, err := store.Erasures(t.Context(), hub.Prod, false)
	if err != nil || len(list) != 1 || !list[0].Again || list[0].Ripe || !list[0].Forgotten.IsZero() || list[0].Entry != entry.ID {
		t.Fatalf("%+v: %v", list, err)
	}
	if err := store.Forgotten(t.Context(), subjects, false); err != nil {
		t.Fatal(err)
	}
	if err := store.ErasureProven(t.Context(), gone.Subject); err != nil {
		t.Fatal(err)
	}
	if n := count("SELECT count(*) FROM hub.erasure WHERE proven_at IS NOT NULL"); n != 0 {
		t.Error("proven although a case came")
	}
	first := entry.ID
	if cases, err := store.Erase(t.Context(), hub.Prod, subjects, uuid.Nil, true, erasureOf(&entry)); err != nil || cases != 1 {
		t.Fatalf("again %d cases: %v", cases, err)
	}
	advance(t, db, "11 minutes")
	store = open(t, db)
	list, err = store.Erasures(t.Context(), hub.Prod, false)
	if err != nil || len(list) != 1 || list[0].Again || !list[0].Ripe || list[0].Entry != first {
		t.Fatalf("%+v: %v", list, err)
	}
	if err := store.ErasureProven(t.Context(), gone.Subject); err != nil {
		t.Fatal(err)
	}
	if list, err = store.Erasures(t.Context(), hub.Prod, false); err != nil || len(list) != 0 {
		t.Errorf("%+v: %v", list, err)
	}
	if list, err = store.Erasures(t.Context(), hub.Prod, true); err != nil || len(list) != 1 || list[0].Proven.IsZero() {
		t.Errorf("%+v: %v", list, err)
	}
}

// taken is a ticket that the opener took.
func taken(t *testing.T, db hubtest.DB, env hub.Environment, purpose string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	const sql = `
INSERT INTO hub.ticket_use (environment, ticket_id, purpose, requester, approver, expires_at, ticket, used_at, used_entry)
VALUES ($1, $2, $3, 'anna', 'bruno', now() + interval '1 hour', 'x', now(), gen_random_uuid())`
	if _, err := superuser(t, db).Exec(t.Context(), sql, env, id, purpose); err != nil {
		t.Fatal(err)
	}
	return id
}

// The database orders no erasure for the application that does not name a ticket which the opener took for one,
// and takes no second order under it; a refused order changes nothing.
func TestAnErasureNeedsATicketThatTheOpenerTook(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, admin := open(t, db), superuser(t, db)
	ente := addEnte(t, store)
	var subjects []uuid.UUID
	for range 3 {
		a := acceptance(ente.ID)
		accept(t, store, a)
		subjects = append(subjects, a.Subject)
	}
	revoked := taken(t, db, hub.Prod, "erase")
	if _, err := admin.Exec(t.Context(), "UPDATE hub.ticket_use SET revoked_at = now(), revoked_entry = gen_random_uuid() WHERE ticket_id = $1", revoked); err != nil {
		t.Fatal(err)
	}
	good := taken(t, db, hub.Prod, "erase")
	var entry journal.Entry
	order := func(under uuid.UUID, of ...uuid.UUID) error {
		_, err := store.Erase(t.Context(), hub.Prod, of, under, true, erasureOf(&entry))
		return err
	}
	refused := map[string]uuid.UUID{
		"none": uuid.Nil, "one that nobody took": uuid.New(), "one for a report": taken(t, db, hub.Prod, "report"),
		"one of the other environment": taken(t, db, hub.Test, "erase"), "a revoked one": revoked,
	}
	for name, under := range refused {
		if order(under, subjects[0]) == nil {
			t.Errorf("erased under %s", name)
		}
	}
	if n := hubtest.Number(t, admin, "SELECT count(*) FROM hub.case_file WHERE erased_at IS NOT NULL"); n != 0 {
		t.Errorf("%d cases lost what leads to them", n)
	}
	if err := order(good, subjects[0], subjects[1]); err != nil {
		t.Fatalf("two subjects of one child: %v", err)
	}
	if order(good, subjects[2]) == nil {
		t.Error("erased another child under a ticket that was used up")
	}
	if err := order(uuid.Nil, subjects[0]); err != nil {
		t.Errorf("not erased again: %v", err)
	}
	if n := hubtest.Number(t, admin, "SELECT count(*) FROM hub.erasure WHERE ticket_id = $1", good); n != 2 {
		t.Errorf("%d subjects ordered under the ticket", n)
	}
	// Who writes as the application cannot lay a use that the opener did not make.
	_, err := connect(t, db.App).Exec(t.Context(), `
INSERT INTO hub.ticket_use (environment, ticket_id, purpose, requester, approver, expires_at, ticket, used_at, used_entry)
VALUES (1, gen_random_uuid(), 'erase', 'anna', 'bruno', now() + interval '1 hour', 'x', now(), gen_random_uuid())`)
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a use was laid: %v", err)
	}
}

// What is held is counted over all subjects of a child and of no other one.
func TestHoldingOfAChild(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ente := addEnte(t, store)
	var subjects []uuid.UUID
	for range 3 {
		a := acceptance(ente.ID)
		accept(t, store, a)
		subjects = append(subjects, a.Subject)
	}
	h, err := store.HoldingOf(t.Context(), subjects[:2])
	if err != nil || h.Cases != 2 || h.Events != 2 || h.Messages != 2 || h.Attempts != 0 || len(h.Undelivered) != 2 || h.First.IsZero() || h.Last.Before(h.First) {
		t.Errorf("%+v: %v", h, err)
	}
	seen := map[uuid.UUID]bool{}
	if err := store.EachSubject(t.Context(), hub.Prod, func(ids []uuid.UUID) bool {
		for _, id := range ids {
			seen[id] = true
		}
		return false
	}); err != nil || len(seen) != 3 {
		t.Errorf("%d subjects: %v", len(seen), err)
	}
}

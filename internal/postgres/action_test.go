package postgres_test

import (
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// ordered is what somebody signed at a time, with its entry.
func ordered(t *testing.T, by string, key ed25519.PrivateKey, at time.Time) (ticket.SignedAction, journal.Entry) {
	t.Helper()
	signed, err := ticket.Action{
		ID: uuid.New(), Hub: "sinbahub/PROD", Environment: hub.Prod, Verb: ticket.RetentionRun, On: "all", Person: by, Reason: "prova",
		At: at.UTC().Truncate(time.Second),
	}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	entry := peopleEntry(journal.ActionSigned)
	entry.Commitment = signed.Digest()
	return signed, entry
}

// A signed action is taken once whoever is faster, with its entry, near the time at which it was signed, and
// of nobody who was retired; what is not taken leaves nothing.
func TestASignedActionIsTakenOnce(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	anna, key := signer("anna", ticket.Operator)
	if err := store.AddPerson(t.Context(), hub.Prod, anna, peopleEntry(journal.PersonChanged)); err != nil {
		t.Fatal(err)
	}
	signed, entry := ordered(t, "anna", key, time.Now())
	const many = 8
	taken := make([]error, many)
	var all sync.WaitGroup
	for i := range taken {
		all.Go(func() {
			own := entry
			own.ID = uuid.Must(uuid.NewV7())
			taken[i] = store.TakeAction(t.Context(), signed, own)
		})
	}
	all.Wait()
	good := 0
	for _, err := range taken {
		if err == nil {
			good++
		} else if !errors.Is(err, postgres.ErrActionTaken) {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("taken %d times", good)
	}
	for name, at := range map[string]time.Duration{"long ago": -11 * time.Minute, "to come": 11 * time.Minute} {
		late, entry := ordered(t, "anna", key, time.Now().Add(at))
		if err := store.TakeAction(t.Context(), late, entry); !errors.Is(err, postgres.ErrActionTime) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := store.RetirePerson(t.Context(), hub.Prod, "anna", peopleEntry(journal.PersonChanged)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "bruno"} {
		after, entry := ordered(t, name, key, time.Now())
		if err := store.TakeAction(t.Context(), after, entry); !errors.Is(err, ticket.ErrActionPerson) {
			t.Errorf("%s: %v", name, err)
		}
	}
	admin := superuser(t, db)
	if n := hubtest.Number(t, admin, "SELECT count(*) FROM hub.action a JOIN hub.journal_entry j ON j.id = a.entry_id AND j.kind = 28"); n != 1 {
		t.Errorf("%d with their entry", n)
	}
	if n := hubtest.Number(t, admin, "SELECT (SELECT count(*) FROM hub.action) + (SELECT count(*) FROM hub.journal_entry WHERE kind = 28)"); n != 2 {
		t.Errorf("%d rows", n)
	}
	kept, err := store.Actions(t.Context(), hub.Prod, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || len(kept) != 1 || kept[0].Text != string(signed.Bytes()) || kept[0].Entry.Commitment != signed.Digest() {
		t.Errorf("%+v %v", kept, err)
	}
	if other, err := store.Actions(t.Context(), hub.Test, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)); err != nil || len(other) != 0 {
		t.Errorf("%+v %v", other, err)
	}
}

package postgres_test

import (
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// signer is a person whose key is made of the name.
func signer(name string, roles ...ticket.Role) (ticket.Person, ed25519.PrivateKey) {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	private := ed25519.NewKeyFromSeed(seed)
	public, _ := private.Public().(ed25519.PublicKey)
	return ticket.Person{Name: name, Roles: roles, Key: public}, private
}

func peopleEntry(kind journal.Kind) journal.Entry {
	return journal.Entry{ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: kind, Environment: hub.Prod, Outcome: "x", Actor: "m.rossi", Reason: "prova"}
}

// A name and a key are given once, also to whom was retired, and each change has its entry.
func TestAPersonKeepsNameAndKeyForEver(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	anna, _ := signer("anna", ticket.Operator, ticket.Auditor)
	add := func(env hub.Environment, p ticket.Person) error {
		return store.AddPerson(t.Context(), env, p, peopleEntry(journal.PersonChanged))
	}
	if err := add(hub.Prod, anna); err != nil {
		t.Fatal(err)
	}
	again, other := anna, anna
	fresh, _ := signer("new")
	again.Key = fresh.Key
	other.Name = "anna2"
	retire := func() error {
		return store.RetirePerson(t.Context(), hub.Prod, "anna", peopleEntry(journal.PersonChanged))
	}
	for name, err := range map[string]error{"the name again": add(hub.Prod, again), "the key again": add(hub.Prod, other)} {
		if !errors.Is(err, postgres.ErrPersonTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := add(hub.Test, anna); err != nil {
		t.Errorf("in the other environment: %v", err)
	}
	if err := retire(); err != nil {
		t.Fatal(err)
	}
	if err := retire(); !errors.Is(err, postgres.ErrNoPerson) {
		t.Errorf("twice: %v", err)
	}
	for name, err := range map[string]error{"the name behind it": add(hub.Prod, again), "the key behind it": add(hub.Prod, other)} {
		if !errors.Is(err, postgres.ErrPersonTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if signers, err := store.Signers(t.Context(), hub.Prod); err != nil || len(signers) != 0 {
		t.Errorf("%v %v", signers, err)
	}
	if people, err := store.People(t.Context(), hub.Prod); err != nil || len(people) != 1 || people[0].RetiredAt.IsZero() || !people[0].Key.Equal(anna.Key) || len(people[0].Roles) != 2 {
		t.Errorf("%+v %v", people, err)
	}
	_, err := connect(t, db.App).Exec(t.Context(), "UPDATE hub.person SET retired_at = NULL, retired_entry = NULL WHERE name = 'anna' AND environment = 1")
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
		t.Errorf("taken back: %v", err)
	}
	var entries int
	if err := superuser(t, db).QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry WHERE kind = 15").Scan(&entries); err != nil || entries != 3 {
		t.Errorf("%d entries: %v", entries, err)
	}
}

// A ticket is used once whoever is faster, by the clock of the database, and not once it is revoked.
func TestATicketIsUsedOnce(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	app := open(t, db)
	people := map[string]ed25519.PrivateKey{}
	for name, role := range map[string]ticket.Role{"anna": ticket.Operator, "bruno": ticket.PrivacyOfficer} {
		p, key := signer(name, role)
		people[name] = key
		if err := app.AddPerson(t.Context(), hub.Prod, p, peopleEntry(journal.PersonChanged)); err != nil {
			t.Fatal(err)
		}
	}
	opener := openWith(t, postgres.Config{DSN: db.Opener})
	fresh := func(from, to time.Duration) ticket.Signed {
		now := time.Now().UTC().Truncate(time.Second)
		s := ticket.Signed{Ticket: ticket.Ticket{
			ID: uuid.New(), Hub: "sinbahub/PROD", Environment: hub.Prod, Purpose: ticket.Open, Scope: ticket.Scope{Kind: ticket.OneMessage, ID: uuid.New()},
			Requester: "anna", Reason: "prova", NotBefore: now.Add(from), Expires: now.Add(to),
		}}
		for _, name := range []string{"anna", "bruno"} {
			var err error
			if s, err = s.Sign(name, people[name]); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	use := func(s ticket.Signed) error {
		return opener.UseTicket(t.Context(), s, peopleEntry(journal.MessageOpened))
	}
	raced := fresh(-time.Hour, time.Hour)
	results := make(chan error, 16)
	var all sync.WaitGroup
	for range cap(results) {
		all.Go(func() { results <- use(raced) })
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ticket.ErrUsed) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
	revoke := func(s ticket.Signed) error {
		return app.RevokeTicket(t.Context(), s, peopleEntry(journal.TicketRevoked))
	}
	revoked := fresh(-time.Hour, time.Hour)
	if err := revoke(revoked); err != nil {
		t.Fatal(err)
	}
	if err := revoke(revoked); !errors.Is(err, postgres.ErrTicketDone) {
		t.Errorf("revoked twice: %v", err)
	}
	for name, test := range map[string]struct {
		ticket ticket.Signed
		want   error
	}{
		"revoked": {revoked, ticket.ErrRevoked}, "used": {raced, ticket.ErrUsed},
		"over": {fresh(-2*time.Hour, -time.Second), ticket.ErrExpired}, "to come": {fresh(time.Minute, time.Hour), ticket.ErrEarly},
	} {
		if err := opener.TicketState(t.Context(), test.ticket); !errors.Is(err, test.want) {
			t.Errorf("%s: state %v, want %v", name, err, test.want)
		}
		if err := use(test.ticket); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	under := func(s ticket.Signed) error {
		return opener.JournalUnderTicket(t.Context(), hub.Prod, s.ID, peopleEntry(journal.MessageOpened))
	}
	if err := under(raced); err != nil {
		t.Errorf("a part of its run: %v", err)
	}
	if err := under(fresh(-time.Hour, time.Hour)); !errors.Is(err, ticket.ErrExpired) {
		t.Errorf("a part of a run that did not begin: %v", err)
	}
	if err := revoke(raced); err != nil {
		t.Fatal(err)
	}
	if err := under(raced); !errors.Is(err, ticket.ErrExpired) {
		t.Errorf("a part of a revoked run: %v", err)
	}
	_, err := connect(t, db.App).Exec(t.Context(), "UPDATE hub.ticket_use SET revoked_at = NULL, revoked_entry = NULL WHERE used_at IS NOT NULL")
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "42501" {
		t.Errorf("taken back: %v", err)
	}
	var entries int
	if err := superuser(t, db).QueryRow(t.Context(), "SELECT count(*) FROM hub.journal_entry j JOIN hub.journal_queue q ON q.entry_id = j.id WHERE j.kind = 10").Scan(&entries); err != nil || entries != 2 {
		t.Errorf("%d entries: %v", entries, err)
	}
}

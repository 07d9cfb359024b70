package opener_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Each ticket that is not good for what it is shown for opens nothing, and the try is an entry that says
// why and repeats none of its words.
func TestATicketThatIsNotGoodOpensNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	change := func(change func(*ticket.Signed)) ticket.Signed {
		d := draft(ticket.Open, one(message))
		change(&d)
		return d
	}
	good := draft(ticket.Open, one(message))
	past := time.Now().UTC().Truncate(time.Second)
	// A good request with the approval of another one.
	signedGood, other := sign(t, good), sign(t, draft(ticket.Open, one(message)))
	lastLine := func(text string) int { return strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n') + 1 }
	approvedElsewhere := signedGood[:lastLine(signedGood)] + other[lastLine(other):]
	swapped := strings.Replace(sign(t, good), message.String(), w.message(w.child(), "two").String(), 1)
	for name, test := range map[string]struct {
		text string
		want error
		word string
	}{
		"none":                   {"", ticket.ErrFormat, "ticket_format"},
		"unsigned":               {string(good.Bytes()), ticket.ErrUnsigned, "ticket_unsigned"},
		"a request alone":        {sign(t, good, "anna"), ticket.ErrUnsigned, "ticket_unsigned"},
		"an operator's approval": {sign(t, good, "anna", "carla"), ticket.ErrRole, "ticket_role"},
		"nobody's approval":      {sign(t, good, "anna", "dario"), ticket.ErrPerson, "ticket_person"},
		"one person twice": {
			sign(t, good, "anna") + strings.SplitAfter(sign(t, good, "anna"), "\n\n")[1], ticket.ErrSamePerson, "ticket_same_person",
		},
		"expired": {
			sign(t, change(func(s *ticket.Signed) { s.NotBefore, s.Expires = past.Add(-2*time.Hour), past.Add(-time.Hour) })), ticket.ErrExpired, "ticket_expired",
		},
		"not yet": {
			sign(t, change(func(s *ticket.Signed) { s.NotBefore = past.Add(time.Hour); s.Expires = past.Add(2 * time.Hour) })), ticket.ErrEarly, "ticket_early",
		},
		"another hub":           {sign(t, change(func(s *ticket.Signed) { s.Hub = "sinbahub/other" })), ticket.ErrHub, "ticket_hub"},
		"the other environment": {sign(t, change(func(s *ticket.Signed) { s.Environment = hub.Test })), ticket.ErrHub, "ticket_hub"},
		"another message":       {sign(t, draft(ticket.Open, one(uuid.New()))), opener.ErrPurpose, "purpose"},
		"another purpose":       {sign(t, draft(ticket.Replay, today())), opener.ErrPurpose, "purpose"},
		"another's approval":    {approvedElsewhere, ticket.ErrApproval, "ticket_approval"},
		"another id put in":     {swapped, ticket.ErrSignature, "ticket_signature"},
		"an unfit reason":       {sign(t, change(func(s *ticket.Signed) { s.Reason = forbidden })), opener.ErrReason, "reason"},
	} {
		before := len(w.entriesOf(journal.TicketRefused))
		got, err := w.client.Open(t.Context(), opener.Question{Ticket: test.text, ID: message})
		if !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v %v, want %v", name, got, err, test.want)
		}
		all := w.entriesOf(journal.TicketRefused)
		if len(all) != before+1 {
			t.Errorf("%s: %d entries, want one more than %d", name, len(all), before)
			continue
		}
		if e := all[before]; e.Outcome != test.word || e.Actor != "" || e.Reason != "" || e.Codes[0] != hub.Code("uid:"+strconv.Itoa(os.Getuid())) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := len(w.entries()); n != 0 {
		t.Errorf("%d openings", n)
	}
	// And the good one is good still, once.
	question := opener.Question{Ticket: sign(t, good), ID: message}
	if got, err := w.client.Open(t.Context(), question); err != nil || string(got.Plain) != "one" {
		t.Errorf("%v", err)
	}
	if got, err := w.client.Open(t.Context(), question); !errors.Is(err, ticket.ErrUsed) || got != nil {
		t.Errorf("twice: %v", err)
	}
	// A database that was restored, or cleaned, has forgotten the use; the opener that saw it has not.
	w.exec("DELETE FROM hub.ticket_use")
	if got, err := w.client.Open(t.Context(), question); !errors.Is(err, ticket.ErrUsed) || got != nil {
		t.Errorf("behind a restore: %v", err)
	}
}

// forbidden is a reason that the hub of the tests does not let stand in the journal.
const forbidden = "RSSMRA80A01H501U"

// Of many uses of one ticket at once, and of two openers over one database, one opens.
func TestARaceOfTwoUsesHasOneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	first := w.client
	w.run(options{})
	question := opener.Question{Ticket: sign(t, draft(ticket.Open, one(message))), ID: message}
	const each = 8
	results := make(chan error, 2*each)
	var begin, all sync.WaitGroup
	begin.Add(1)
	for _, client := range []*opener.Client{first, w.client} {
		for range each {
			all.Go(func() {
				begin.Wait()
				_, err := client.Open(context.WithoutCancel(t.Context()), question)
				results <- err
			})
		}
	}
	begin.Done()
	all.Wait()
	close(results)
	opened := 0
	for err := range results {
		if err == nil {
			opened++
		} else if !errors.Is(err, ticket.ErrUsed) {
			t.Error(err)
		}
	}
	if n := len(w.entries()); opened != 1 || n != 1 {
		t.Errorf("%d opened, %d entries", opened, n)
	}
}

// A person counts who stands in both lists alike; who writes into one only forges nobody.
func TestAForgedPersonSignsNothing(t *testing.T) {
	t.Parallel()
	var listed []ticket.Person
	var failing error
	w := newWorld(t, options{trusted: func() ([]ticket.Person, error) { return slices.Clone(listed), failing }})
	listed, err := w.listed()
	if err != nil {
		t.Fatal(err)
	}
	message := w.message(w.child(), "one")
	ask := func(by ...string) error {
		_, err := w.client.Open(t.Context(), opener.Question{Ticket: sign(t, draft(ticket.Open, one(message)), by...), ID: message})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	w.register("mallory", ticket.PrivacyOfficer)
	if err := ask("anna", "mallory"); !errors.Is(err, ticket.ErrPerson) {
		t.Errorf("only in the database: %v", err)
	}
	listed = append(listed, ticket.Person{Name: "eve", Roles: []ticket.Role{ticket.PrivacyOfficer}, Key: key("eve").Public().(ed25519.PublicKey)})
	if err := ask("anna", "eve"); !errors.Is(err, ticket.ErrPerson) {
		t.Errorf("only in the opener's list: %v", err)
	}
	w.exec("UPDATE hub.person SET roles = ARRAY['operator', 'privacy-officer'] WHERE name = 'carla'")
	if err := ask("anna", "carla"); !errors.Is(err, ticket.ErrPerson) {
		t.Errorf("with another role in the database: %v", err)
	}
	w.exec("UPDATE hub.person SET public_key = $1 WHERE name = 'bruno'", []byte(key("other").Public().(ed25519.PublicKey)))
	if err := ask(); !errors.Is(err, ticket.ErrPerson) {
		t.Errorf("with another key in the database: %v", err)
	}
	failing = errors.New("no such file")
	if err := ask(); !errors.Is(err, opener.ErrTrust) {
		t.Errorf("without a list: %v", err)
	}
}

// Who was retired between signing and use has signed nothing.
func TestARetiredPersonsTicketIsGoodForNothing(t *testing.T) {
	t.Parallel()
	var retire func()
	w := newWorld(t, options{store: func(s opener.Store) opener.Store { return &late{s, func() { retire() }} }})
	message := w.message(w.child(), "one")
	// Between the opener's look at the people and the use, too.
	retire = func() {
		w.exec("UPDATE hub.person SET retired_at = now(), retired_entry = gen_random_uuid() WHERE name = 'bruno'")
	}
	if got, err := w.open(message, 0); !errors.Is(err, ticket.ErrPerson) || got != nil {
		t.Errorf("retired behind the look: %v", err)
	}
	retire = func() {}
	if got, err := w.open(message, 0); !errors.Is(err, ticket.ErrPerson) || got != nil {
		t.Errorf("retired: %v", err)
	}
	if n := len(w.entries()); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// late does something behind the look at the people.
type late struct {
	opener.Store

	before func()
}

func (l *late) UseTicket(ctx context.Context, t ticket.Signed, e journal.Entry) error {
	l.before()
	return l.Store.UseTicket(ctx, t, e)
}

// A run ends when its ticket does: expired, revoked, or one of its people retired.
func TestARunEndsWithItsTicket(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{
		"expired": "UPDATE hub.ticket_use SET expires_at = now() - interval '1 second'",
		"revoked": "UPDATE hub.ticket_use SET revoked_at = now(), revoked_entry = gen_random_uuid()",
		"retired": "UPDATE hub.person SET retired_at = now(), retired_entry = gen_random_uuid() WHERE name = 'anna'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			message := w.message(w.child(), "one")
			session := w.begin()
			if got, err := session.Open(t.Context(), []opener.Request{{Message: message}}); err != nil || string(got[0].Plain) != "one" {
				t.Fatal(err)
			}
			w.exec(end)
			if got, err := session.Open(t.Context(), []opener.Request{{Message: message}}); !errors.Is(err, ticket.ErrExpired) || got != nil {
				t.Errorf("%v", err)
			}
			if err := session.End(t.Context()); err != nil {
				t.Error(err)
			}
			all := w.entries()
			if len(all) != 3 || all[2].Outcome != "end" || all[2].Count != 1 {
				t.Errorf("%d entries, %+v", len(all), all[len(all)-1])
			}
		})
	}
}

// A range ticket is one run, also if the run came to nothing.
func TestARangeTicketIsOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	signed := sign(t, draft(ticket.Replay, today()))
	session, err := w.client.Begin(t.Context(), signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Hold(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := w.client.Begin(t.Context(), signed); !errors.Is(err, ticket.ErrUsed) {
			t.Errorf("a second run: %v", err)
		}
		_ = session.End(t.Context())
	}
	if err := session.Hold(t.Context()); !errors.Is(err, opener.ErrSession) {
		t.Errorf("behind its end: %v", err)
	}
}

// identify makes a child with identities and gives its code for a domain.
func (w *world) identify(d pseudonym.Domain, identities ...pseudonym.Identity) (pseudonym.Subject, string) {
	w.tb.Helper()
	s := pseudonym.NewSubject()
	for i, identity := range identities {
		sealed := w.seal(s, pseudonym.SealedIdentity, s.ID, string(identity.Bytes()))
		var err error
		if i == 0 {
			s, err = w.vault.Reserve(w.tb.Context(), w.keys.LinkIndex(identity), s, sealed)
		} else {
			err = w.vault.Link(w.tb.Context(), w.keys.LinkIndex(identity), s, sealed, uuid.New(),
				func(context.Context, []uuid.UUID) (pseudonym.Joinable, error) { return pseudonym.Free, nil })
		}
		if err != nil {
			w.tb.Fatal(err)
		}
	}
	code, err := w.keys.Code(d, w.keys.Epoch(d), s.ID)
	if err != nil {
		w.tb.Fatal(err)
	}
	return s, code
}

// pseudonymOf is the scope of a code.
func pseudonymOf(d pseudonym.Domain, code string) ticket.Scope {
	return ticket.Scope{Kind: ticket.OnePseudonym, Domain: string(d), Code: code}
}

// The way back from a pseudonym is told once, behind an entry that names neither.
func TestReidentifyTellsWhoIsBehindAPseudonym(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for range 20 {
		w.child()
	}
	want := []pseudonym.Identity{
		pseudonym.NewIdentity("CFP", hub.NewIdentifier("12345670017")),
		pseudonym.NewIdentity("CF", hub.NewIdentifier("RSSMRA80A01H501U")),
		pseudonym.NewLocalIdentity("C01", hub.NewIdentifier("locale à 7")),
	}
	_, code := w.identify(pseudonym.Nation, want...)
	signed := sign(t, draft(ticket.Reidentify, pseudonymOf(pseudonym.Nation, code)))
	found, err := w.client.Reidentify(t.Context(), signed)
	if err != nil || found.Closed != 0 {
		t.Fatal(err)
	}
	texts := func(all []pseudonym.Identity) (texts []string) {
		for _, i := range all {
			texts = append(texts, i.Kind()+" "+i.Ente()+" "+i.Value().Reveal())
		}
		slices.Sort(texts)
		return texts
	}
	if got := texts(found.Identities); !slices.Equal(got, texts(want)) {
		t.Errorf("%d identities, and not those", len(got))
	}
	if again, err := w.client.Reidentify(t.Context(), signed); !errors.Is(err, ticket.ErrUsed) || again != nil {
		t.Errorf("a second time: %v", err)
	}
	all := w.entriesOf(journal.SubjectReidentified)
	if len(all) != 1 {
		t.Fatalf("%d entries", len(all))
	}
	e := all[0]
	if e.Actor != "anna" || e.Reason != reason || !slices.Contains(e.Codes, "approved:bruno") || e.Commitment != w.usedTicket(e) {
		t.Errorf("%+v", e)
	}
	if bytes.Contains(e.Bytes(), []byte(code)) {
		t.Error("the pseudonym is in the journal")
	}
	for _, line := range w.logs.All() {
		for _, secret := range []string{code, "RSSMRA80A01H501U", "12345670017", "locale"} {
			if strings.Contains(line.Message, secret) || strings.Contains(fmt.Sprint(line.ContextMap()), secret) {
				t.Errorf("logged: %s", line.Message)
			}
		}
	}
}

// What is no pseudonym of a living subject here is told so, and uses no ticket up.
func TestReidentifyRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child, code := w.identify(pseudonym.Nation, pseudonym.NewIdentity("CF", hub.NewIdentifier("RSSMRA80A01H501U")))
	ask := func(d pseudonym.Domain, code string, by ...string) error {
		_, err := w.client.Reidentify(t.Context(), sign(t, draft(ticket.Reidentify, pseudonymOf(d, code)), by...))
		return err
	}
	for name, test := range map[string]struct{ got, want error }{
		"the other domain's":     {ask(pseudonym.Region, code), opener.ErrUnknown},
		"nobody's":               {ask(pseudonym.Nation, strings.Repeat("A", 20)), opener.ErrUnknown},
		"an operator's approval": {ask(pseudonym.Nation, code, "anna", "carla"), ticket.ErrRole},
		"a message's ticket":     {second(w.client.Reidentify(t.Context(), sign(t, draft(ticket.Open, one(uuid.New()))))), opener.ErrPurpose},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	var used int
	if err := w.super.QueryRow(t.Context(), "SELECT count(*) FROM hub.ticket_use").Scan(&used); err != nil || used != 0 {
		t.Errorf("%d tickets used: %v", used, err)
	}
	w.exec("UPDATE vault.epoch_key SET sealed_key = '\\x00'")
	if err := ask(pseudonym.Nation, code); !errors.Is(err, opener.ErrNoKey) {
		t.Errorf("without the epoch's key: %v", err)
	}
	w.erase(child)
	if err := ask(pseudonym.Nation, code); !errors.Is(err, opener.ErrUnknown) {
		t.Errorf("erased: %v", err)
	}
}

// The opener's list must be its own, and is read anew each time.
func TestTheListOfPeopleIsTheOpenersOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "people")
	trust, err := opener.OpenTrust(path, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trust.Close() }()
	if people, err := trust.People(); err != nil || len(people) != 0 {
		t.Fatalf("%v %v", people, err)
	}
	anna := ticket.Person{Name: "anna", Roles: []ticket.Role{ticket.Operator, ticket.Auditor}, Key: key("anna").Public().(ed25519.PublicKey)}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# people\n\n" + opener.TrustLine(anna))
	if people, err := trust.People(); err != nil || len(people) != 1 || opener.TrustLine(people[0]) != opener.TrustLine(anna) {
		t.Errorf("%v %v", people, err)
	}
	for name, text := range map[string]string{
		"a name twice":   opener.TrustLine(anna) + opener.TrustLine(anna),
		"a key twice":    opener.TrustLine(anna) + strings.Replace(opener.TrustLine(anna), "anna", "anna2", 1),
		"a comment":      strings.TrimSpace(opener.TrustLine(anna)) + " laptop\n",
		"cut off":        opener.TrustLine(anna)[:40],
		"no end of line": strings.TrimSpace(opener.TrustLine(anna)),
	} {
		write(text)
		if people, err := trust.People(); !errors.Is(err, opener.ErrTrust) || people != nil {
			t.Errorf("%s: %v %v", name, people, err)
		}
	}
	write(opener.TrustLine(anna))
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.People(); !errors.Is(err, opener.ErrTrust) {
		t.Errorf("its group may write: %v", err)
	}
	if err := errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path)); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.People(); !errors.Is(err, opener.ErrTrust) {
		t.Errorf("a link: %v", err)
	}
}

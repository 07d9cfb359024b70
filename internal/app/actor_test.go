package app_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// staff are registered people with their keys in a folder.
type staff struct {
	*desk

	folder string
	t      *testing.T
}

// file writes a part of a person's key, which is made of the name.
func (s *staff) file(name, kind string, der []byte, err error) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// as is who signs with the key of its own name.
func (s *staff) as(name string) app.Who {
	s.t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	return app.Who{As: name, Key: s.file(name+".key", "PRIVATE KEY", der, err), Reason: "prova"}
}

// add registers a person, which somebody signs for.
func (s *staff) add(who app.Who, name string, roles ...string) error {
	s.t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	der, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	who.Reason = "incarico"
	return app.AddPerson(s.t.Context(), s.cfg, app.PersonOptions{Name: name, Roles: roles, Key: s.file(name+".pub", "PUBLIC KEY", der, err), Who: who}, io.Discard)
}

func (s *staff) count(query string) int64 {
	s.t.Helper()
	return hubtest.Number(s.t, s.admin, query)
}

// newStaff has anna, an operator, bruno, a privacy officer, carla, an auditor, and dario, an operator who is retired.
func newStaff(t *testing.T) *staff {
	t.Helper()
	s := &staff{newDesk(t), t.TempDir(), t}
	for _, err := range []error{
		s.add(app.Who{}, "anna", "operator"),
		s.add(s.as("anna"), "bruno", "privacy-officer"),
		s.add(s.as("bruno"), "carla", "auditor"),
		s.add(s.as("bruno"), "dario", "operator"),
		app.RetirePerson(t.Context(), s.cfg, app.PersonOptions{Name: "dario", Who: s.as("anna")}, io.Discard),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// What a person signed stands beside the journal, and every entry of what was done leads to it.
func TestAPersonSignsWhatTheyDo(t *testing.T) {
	t.Parallel()
	s := newStaff(t)
	s.delivery(t, hub.Prod, hub.Dead)
	s.delivery(t, hub.Prod, hub.Dead)
	o := app.ActOptions{Verb: app.VerbPark, DeliveryFilter: app.DeliveryFilter{States: []string{"dead"}}, Yes: true, Who: s.as("anna")}
	if _, _, err := s.act(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var order, act journal.Entry
	acts := 0
	orders := map[uuid.UUID]string{}
	for _, e := range hubtest.JournalEntries(t, s.admin) {
		if e.Kind == journal.ActionSigned {
			orders[e.ID] = e.Actor + " " + e.Outcome
		}
		switch {
		case e.Kind == journal.PersonChanged && e.Actor != app.AccountName():
			if want := e.Actor + map[string]string{"added": " person add", "retired": " person retire"}[e.Outcome]; orders[e.Other] != want {
				t.Errorf("order %q, want %q", orders[e.Other], want)
			}
		case e.Kind == journal.ActionSigned && e.Outcome == string(ticket.DeliveryPark):
			order = e
		case e.Kind == journal.OperatorActed:
			act = e
			acts++
			if act.Actor != "anna" || act.Other != order.ID || act.Reason != "prova" {
				t.Errorf("done by %q for %s", act.Actor, act.Other)
			}
		}
	}
	if acts != 2 || order.Actor != "anna" {
		t.Fatalf("%d acts, ordered by %q", acts, order.Actor)
	}
	var text string
	if err := s.admin.QueryRow(t.Context(), "SELECT action FROM hub.action WHERE entry_id = $1", order.ID).Scan(&text); err != nil {
		t.Fatal(err)
	}
	signed, err := ticket.ParseAction([]byte(text))
	if err != nil || signed.Digest() != order.Commitment || signed.On != "2 found state=dead" || order.Codes[0] != hub.Code("action:"+signed.ID.String()) {
		t.Errorf("%v: %s", err, text)
	}
	key, _ := s.key("anna")
	persons := []ticket.Person{{Name: "anna", Roles: []ticket.Role{ticket.Operator}, Key: key}}
	if err := signed.Verify(s.cfg.JournalOrigin(), hub.Prod, persons); err != nil {
		t.Error(err)
	}
}

func (s *staff) key(name string) (ed25519.PublicKey, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, name+".pub"))
	if err != nil {
		return nil, err
	}
	return ticket.ParsePublic(text)
}

// Until an operator is registered the account acts, and says that nobody signed; a configured person signs
// without a flag.
func TestTheAccountActsUntilThereIsAnOperator(t *testing.T) {
	t.Parallel()
	s := &staff{newDesk(t), t.TempDir(), t}
	var notes, out strings.Builder
	if err := s.add(app.Who{}, "bruno", "privacy-officer"); err != nil {
		t.Fatal(err)
	}
	on := app.MaintenanceOptions{Text: "prova", Who: app.Who{Notes: &notes}}
	if err := app.BeginMaintenance(t.Context(), s.cfg, on, &out); err != nil || !strings.Contains(out.String(), app.AccountName()) {
		t.Errorf("%v %s", err, out.String())
	}
	if !strings.Contains(notes.String(), app.AccountName()) || !strings.HasPrefix(app.AccountName(), "account:") {
		t.Errorf("%q said of %q", notes.String(), app.AccountName())
	}
	anna, unsigned := s.as("anna"), s.cfg
	s.cfg.Operator.Person, s.cfg.Operator.KeyFile = anna.As, anna.Key
	if err := s.add(anna, "anna", "operator"); !errors.Is(err, ticket.ErrActionPerson) {
		t.Errorf("as somebody who is not registered: %v", err)
	}
	if err := s.add(app.Who{}, "anna", "operator"); err != nil {
		t.Fatal(err)
	}
	if err := app.BeginMaintenance(t.Context(), unsigned, on, io.Discard); !errors.Is(err, app.ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	out.Reset()
	if err := app.BeginMaintenance(t.Context(), s.cfg, on, &out); err != nil || !strings.Contains(out.String(), "by     anna") {
		t.Errorf("configured: %v %s", err, out.String())
	}
}

// Whose signature does not count does nothing: no entry, no row, no change.
func TestWhoDoesNotCountDoesNothing(t *testing.T) {
	t.Parallel()
	s := newStaff(t)
	id := s.delivery(t, hub.Prod, hub.Dead)
	const all = "SELECT (SELECT count(*) FROM hub.journal_entry) + (SELECT count(*) FROM hub.action) + (SELECT count(*) FROM hub.maintenance)"
	before := s.count(all)
	retry := func(who app.Who) error {
		_, _, err := s.act(t.Context(), app.ActOptions{Verb: app.VerbRetry, IDs: []string{id.String()}, Who: who})
		return err
	}
	open, stolen, half, wide := s.as("anna"), s.as("anna"), s.as("anna"), s.as("elena")
	stolen.Key = s.as("bruno").Key
	half.Key = ""
	wide.As, open.Key = "anna", filepath.Join(s.folder, "open.key")
	text, err := os.ReadFile(stolen.Key)
	if err == nil {
		err = os.WriteFile(open.Key, text, 0o600)
	}
	if err == nil {
		err = os.Chmod(open.Key, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want error }{
		"nobody":           {retry(app.Who{Reason: "prova"}), app.ErrUnsigned},
		"half":             {retry(half), app.ErrHalfSign},
		"another's key":    {retry(stolen), ticket.ErrActionKey},
		"a key of nobody":  {retry(wide), ticket.ErrActionKey},
		"a readable key":   {retry(open), app.ErrKeyMode},
		"retired":          {retry(s.as("dario")), ticket.ErrActionPerson},
		"unknown":          {retry(s.as("elena")), ticket.ErrActionPerson},
		"no name":          {retry(s.as("Elena")), app.ErrPersonName},
		"no operator":      {retry(s.as("bruno")), ticket.ErrActionRole},
		"an auditor":       {s.add(s.as("carla"), "elena", "auditor"), ticket.ErrActionRole},
		"bulk":             {s.bulk(s.as("carla")), ticket.ErrActionRole},
		"maintenance":      {app.BeginMaintenance(t.Context(), s.cfg, app.MaintenanceOptions{Text: "prova", Who: s.as("carla")}, io.Discard), ticket.ErrActionRole},
		"no maintenance":   {app.EndMaintenance(t.Context(), s.cfg, app.MaintenanceOptions{}, io.Discard), app.ErrUnsigned},
		"retention":        {app.RunRetention(t.Context(), s.cfg, app.RetentionOptions{Who: s.as("carla")}, io.Discard), ticket.ErrActionRole},
		"a key's rotation": {app.RotateKey(t.Context(), s.cfg, app.KeyOptions{Name: "journal", Who: s.as("carla"), Wait: time.Minute}, io.Discard), ticket.ErrActionRole},
		"a key's end":      {app.DestroyKey(t.Context(), s.cfg, app.KeyOptions{Name: "journal", Epoch: 1, Who: app.Who{Reason: "prova"}}, io.Discard), app.ErrUnsigned},
		"retirement":       {app.RetirePerson(t.Context(), s.cfg, app.PersonOptions{Name: "anna", Who: app.Who{Reason: "prova"}}, io.Discard), app.ErrUnsigned},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if after := s.count(all); after != before || s.states(t)["dead"] != 1 {
		t.Errorf("%d rows, before %d; %v", after, before, s.states(t))
	}
	// And the same is done for who counts.
	if err := retry(s.as("anna")); err != nil || s.states(t)["uncertain"] != 1 {
		t.Errorf("%v %v", err, s.states(t))
	}
}

func (s *staff) bulk(who app.Who) error {
	_, _, err := s.act(s.t.Context(), app.ActOptions{Verb: postgres.VerbRetry, DeliveryFilter: app.DeliveryFilter{States: []string{"dead"}}, Yes: true, Who: who})
	return err
}

// More ids than a line holds are signed by their digest.
func TestManyDeliveriesAreSignedByTheirDigest(t *testing.T) {
	t.Parallel()
	s := newStaff(t)
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	if _, _, err := s.act(t.Context(), app.ActOptions{Verb: app.VerbPark, IDs: ids, Who: s.as("anna")}); !errors.Is(err, app.ErrRefused) {
		t.Fatal(err)
	}
	if n := s.count("SELECT count(*) FROM hub.action WHERE verb = 'delivery park' AND action LIKE '%on: 100 ids with the SHA-256 %'"); n != 1 {
		t.Errorf("%d", n)
	}
}

// An order that somebody changed in the database, or whose entry says otherwise, is told; one of a person who
// was retired since is good.
func TestOrdersAreVerified(t *testing.T) {
	t.Parallel()
	s := newStaff(t)
	if err := app.BeginMaintenance(t.Context(), s.cfg, app.MaintenanceOptions{Text: "prova", Who: s.as("anna")}, io.Discard); err != nil {
		t.Fatal(err)
	}
	retired := app.RetirePerson(t.Context(), s.cfg, app.PersonOptions{Name: "anna", Who: s.as("bruno")}, io.Discard)
	if retired != nil {
		t.Fatal(retired)
	}
	show := func(text bool) (string, error) {
		var out strings.Builder
		err := app.Orders(t.Context(), s.cfg, app.OrderOptions{
			From: time.Now().Add(-time.Hour).Format(time.RFC3339), To: time.Now().Add(time.Hour).Format(time.RFC3339), Text: text,
		}, &out)
		return out.String(), err
	}
	if out, err := show(false); err != nil || strings.Count(out, "  good\n") != 6 || !strings.Contains(out, "maintenance on") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := show(true); err != nil || strings.Count(out, "sinbahub action v1\n") != 6 {
		t.Errorf("%v\n%s", err, out)
	}
	s.exec(t, "UPDATE hub.action SET action = replace(action, 'on: prova', 'on: altro') WHERE verb = 'maintenance on'")
	if out, err := show(false); !errors.Is(err, app.ErrRefused) || !strings.Contains(out, ticket.ErrActionKey.Error()) {
		t.Errorf("changed: %v\n%s", err, out)
	}
	// Another order of the same person, with the same words: only the digest tells them apart.
	s.exec(t, `UPDATE hub.action a SET action = (SELECT o.action FROM hub.action o WHERE o.verb = 'person add' AND o.person = 'bruno' AND o.action_id <> a.action_id)
		WHERE a.verb = 'person add' AND a.person = 'bruno'`)
	s.exec(t, "DELETE FROM hub.action WHERE verb = 'maintenance on'")
	if out, err := show(false); !errors.Is(err, app.ErrRefused) || !strings.Contains(out, "NOT what the journal") {
		t.Errorf("another's: %v\n%s", err, out)
	}
	s.exec(t, "DELETE FROM hub.journal_entry WHERE kind = 28")
	if out, err := show(false); err != nil || strings.Count(out, "beyond its period") != 5 {
		t.Errorf("after retention: %v\n%s", err, out)
	}
}

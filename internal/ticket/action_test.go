package ticket_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// order is a good action of somebody.
func order(by someone, verb ticket.Verb) ticket.Action {
	return ticket.Action{
		ID: uuid.MustParse("7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f"), Hub: origin, Environment: hub.Prod, Verb: verb, On: "3 found state=dead",
		Person: by.Name, Reason: "SISS risponde di nuovo", At: time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC),
	}
}

// The form of what is signed, for ever: who verifies it years later has these bytes only.
func TestTextOfAnAction(t *testing.T) {
	t.Parallel()
	const want = `sinbahub action v1
id: 7d1f3b0a-0c1e-4a53-9d0e-5b1a2c3d4e5f
hub: sinbahub/PROD
environment: PROD
verb: delivery retry
on: 3 found state=dead
person: anna
reason: SISS risponde di nuovo
at: 2026-11-22T17:00:00Z
`
	if got := order(anna(), ticket.DeliveryRetry).Text(); got != want {
		t.Errorf("%s", got)
	}
}

// An action counts as its person signed it, here, with a role for it, and in no other way.
func TestVerifyAction(t *testing.T) {
	t.Parallel()
	sign := func(by someone, change func(*ticket.Action)) ticket.SignedAction {
		a := order(by, ticket.DeliveryRetry)
		change(&a)
		return must[ticket.SignedAction](t)(a.Sign(by.private))
	}
	same := func(*ticket.Action) {}
	impostor := carla()
	impostor.Name = "anna"
	changed := sign(anna(), same)
	changed.On = "4 found state=dead"
	renamed := sign(carla(), same)
	renamed.Person = "anna"
	weak := anna().Person
	weak.Key = make([]byte, len(weak.Key))
	for name, c := range map[string]struct {
		action  ticket.SignedAction
		persons []ticket.Person
		want    error
	}{
		"good":           {sign(anna(), same), registered(), nil},
		"another key":    {sign(impostor, same), registered(), ticket.ErrActionKey},
		"changed":        {changed, registered(), ticket.ErrActionKey},
		"another's name": {renamed, registered(), ticket.ErrActionKey},
		"a weak key":     {sign(anna(), same), []ticket.Person{weak}, ticket.ErrActionKey},
		"a role short":   {sign(bruno(), same), registered(), ticket.ErrActionRole},
		"nobody":         {sign(anna(), same), []ticket.Person{carla().Person}, ticket.ErrActionPerson},
		"another hub":    {sign(anna(), func(a *ticket.Action) { a.Hub = "other" }), registered(), ticket.ErrActionHub},
		"other data":     {sign(anna(), func(a *ticket.Action) { a.Environment = hub.Test }), registered(), ticket.ErrActionHub},
	} {
		if err := c.action.Verify(origin, hub.Prod, c.persons); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Who may do what: an operator nothing that gives data away, an auditor nothing that changes the hub.
func TestWhoMayAct(t *testing.T) {
	t.Parallel()
	auditor := person("dora", ticket.Auditor)
	operator := carla()
	for verb, want := range map[ticket.Verb]string{
		ticket.DeliveryRetry: "carla", ticket.DeliveryPark: "carla", ticket.DeliveryUnpark: "carla", ticket.DeliveryRedeliver: "carla",
		ticket.DeliveryRenew: "carla", ticket.CodesRetry: "carla", ticket.MaintenanceOn: "carla", ticket.MaintenanceOff: "carla", ticket.RetentionRun: "carla",
		ticket.KeysRotate: "bruno carla", ticket.KeysDestroy: "bruno carla", ticket.SubjectFind: "bruno carla",
		ticket.PersonAdd: "bruno carla", ticket.PersonRetire: "bruno carla",
		ticket.AuditExport: "bruno dora", ticket.TicketRevoke: "bruno carla dora",
	} {
		var may []string
		for _, p := range []someone{bruno(), operator, auditor} {
			signed := must[ticket.SignedAction](t)(order(p, verb).Sign(p.private))
			if signed.Verify(origin, hub.Prod, []ticket.Person{p.Person}) == nil {
				may = append(may, p.Name)
			}
		}
		if got := strings.Join(may, " "); got != want {
			t.Errorf("%s: %s, want %s", verb, got, want)
		}
	}
}

// Of each signed action there is one sequence of bytes, and a ticket is none.
func TestParseActionTakesWhatBytesWrote(t *testing.T) {
	t.Parallel()
	signed := must[ticket.SignedAction](t)(order(anna(), ticket.AuditExport).Sign(anna().private))
	file := signed.Bytes()
	if got := must[ticket.SignedAction](t)(ticket.ParseAction(file)); got != signed {
		t.Errorf("%+v", got)
	}
	rapid.Check(t, func(rt *rapid.T) {
		changed := bytes.Clone(file)
		at := rapid.IntRange(0, len(changed)-1).Draw(rt, "at")
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		got, err := ticket.ParseAction(changed)
		if err == nil && got.Verify(origin, hub.Prod, registered()) == nil {
			rt.Fatalf("%q", changed)
		}
	})
	request := signedTicket(t)
	for name, other := range map[string][]byte{
		"nothing": nil, "a ticket": request.Bytes(), "twice": append(bytes.Clone(file), file...),
		"a line more": append(bytes.Clone(file), '\n'), "two signatures": append(bytes.Clone(file), file[bytes.LastIndex(file, []byte("\u2014")):]...),
	} {
		if _, err := ticket.ParseAction(other); !errors.Is(err, ticket.ErrAction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ticket.Parse(file); !errors.Is(err, ticket.ErrFormat) {
		t.Errorf("an action as a ticket: %v", err)
	}
}

func signedTicket(t *testing.T) ticket.Signed {
	t.Helper()
	return signed(t, fresh(), anna())
}

// What is signed is one line each, of somebody, for something that there is.
func TestSignRefusesWhatIsNoAction(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ticket.Action){
		"no id": func(a *ticket.Action) { a.ID = uuid.Nil }, "no verb": func(a *ticket.Action) { a.Verb = "delivery list" },
		"nothing": func(a *ticket.Action) { a.On = "" }, "two lines": func(a *ticket.Action) { a.On = "all\nverb: keys destroy" },
		"long": func(a *ticket.Action) { a.On = strings.Repeat("x", 1001) }, "no reason": func(a *ticket.Action) { a.Reason = "" },
		"nobody": func(a *ticket.Action) { a.Person = "Anna" }, "a part of a second": func(a *ticket.Action) { a.At = a.At.Add(time.Millisecond) },
	} {
		a := order(anna(), ticket.DeliveryRetry)
		change(&a)
		if _, err := a.Sign(anna().private); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
}

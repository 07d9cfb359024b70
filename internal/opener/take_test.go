package opener_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// pseudonymOf is the scope of one code.
func coded(code string) ticket.Scope {
	return ticket.Scope{Kind: ticket.OnePseudonym, Domain: "nation", Code: code}
}

// someCode has the form of a pseudonym.
const someCode = "ABCDEFGHIJKLMNOPQRST"

// A report and an erasure are allowed by a good ticket for just that, and by no other; each refusal is an
// entry that says why.
func TestATicketThatIsNotGoodIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.register("elena", ticket.Auditor)
	past := time.Now().UTC().Truncate(time.Second)
	for _, purpose := range []ticket.Purpose{ticket.Report, ticket.Erase, ticket.Unjoin} {
		good := draft(purpose, coded(someCode))
		change := func(change func(*ticket.Signed)) ticket.Signed {
			d := draft(purpose, coded(someCode))
			change(&d)
			return d
		}
		for name, test := range map[string]struct {
			text string
			want error
			word string
		}{
			"none":                   {"", ticket.ErrFormat, "ticket_format"},
			"unsigned":               {string(good.Bytes()), ticket.ErrUnsigned, "ticket_unsigned"},
			"a request alone":        {sign(t, good, "anna"), ticket.ErrUnsigned, "ticket_unsigned"},
			"an operator's approval": {sign(t, good, "anna", "carla"), ticket.ErrRole, "ticket_role"},
			"an auditor's approval":  {sign(t, good, "anna", "elena"), ticket.ErrRole, "ticket_role"},
			"an auditor's request": {
				sign(t, change(func(s *ticket.Signed) { s.Requester = "elena" }), "elena", "bruno"), ticket.ErrRole, "ticket_role",
			},
			"nobody's approval": {sign(t, good, "anna", "dario"), ticket.ErrPerson, "ticket_person"},
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
			"another child put in":  {strings.Replace(sign(t, good), someCode, "TSRQPONMLKJIHGFEDCBA", 1), ticket.ErrSignature, "ticket_signature"},
			"another purpose":       {sign(t, draft(ticket.Reidentify, coded(someCode))), opener.ErrPurpose, "purpose"},
			"an unfit reason":       {sign(t, change(func(s *ticket.Signed) { s.Reason = forbidden })), opener.ErrReason, "reason"},
		} {
			before := len(w.entriesOf(journal.TicketRefused))
			if got, err := w.client.Take(t.Context(), test.text); !errors.Is(err, test.want) || got != nil {
				t.Errorf("%s, %s: %v %v, want %v", purpose, name, got, err, test.want)
			}
			all := w.entriesOf(journal.TicketRefused)
			if len(all) != before+1 || all[before].Outcome != test.word || all[before].Actor != "" || all[before].Reason != "" {
				t.Errorf("%s, %s: %d entries behind %d", purpose, name, len(all), before)
			}
		}
	}
	if n := len(w.entriesOf(journal.SubjectLooked)); n != 0 {
		t.Errorf("%d tickets were taken", n)
	}
}

// What was taken stands in the journal, with the people whom the signatures prove, before it is answered; it is
// not taken again.
func TestATicketAboutAChildIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for _, purpose := range []ticket.Purpose{ticket.Report, ticket.Erase, ticket.Unjoin} {
		text := sign(t, draft(purpose, coded(someCode)))
		taken, err := w.client.Take(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		all := w.entriesOf(journal.SubjectLooked)
		e := all[len(all)-1]
		if e.ID != taken.Entry || !e.At.Equal(taken.At) || e.Outcome != string(purpose) || e.Actor != "anna" || e.Reason != reason ||
			e.Commitment != w.usedTicket(e) || e.Codes[0] != hub.Code("uid:"+strconv.Itoa(os.Getuid())) || e.Codes[2] != "approved:bruno" {
			t.Errorf("%+v", e)
		}
		if _, err := w.client.Take(t.Context(), text); !errors.Is(err, ticket.ErrUsed) {
			t.Errorf("%s twice: %v", purpose, err)
		}
		if n := len(w.entriesOf(journal.SubjectLooked)); n != len(all) {
			t.Errorf("%d entries behind %d", n, len(all))
		}
	}
}

// mute is a database that answers nothing about the use of a ticket, which may be durable or not.
type mute struct{ opener.Store }

func (mute) UseTicket(context.Context, ticket.Signed, journal.Entry) error {
	return hub.NewError(hub.Unavailable, hub.CodeUnavailable, errors.New("gone"))
}

// Nothing is allowed while it is not known that the use stands in the journal.
func TestATicketIsNotTakenWithoutItsEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{store: func(s opener.Store) opener.Store { return mute{s} }})
	got, err := w.client.Take(t.Context(), sign(t, draft(ticket.Erase, coded(someCode))))
	if !errors.Is(err, opener.ErrUnavailable) || got != nil {
		t.Errorf("%v %v", got, err)
	}
	if n := hubNumber(w, "SELECT count(*) FROM hub.ticket_use WHERE ticket_id <> $1", uuid.Nil); n != 0 {
		t.Errorf("%d uses", n)
	}
}

func hubNumber(w *world, sql string, args ...any) (n int64) {
	w.tb.Helper()
	if err := w.super.QueryRow(w.tb.Context(), sql, args...).Scan(&n); err != nil {
		w.tb.Fatal(err)
	}
	return n
}

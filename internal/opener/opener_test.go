package opener_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// What was sealed comes back, and who looked stands in the journal.
func TestOpenGivesWhatWasSealedAndSaysWhoLooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child := w.child()
	message := w.message(child, "as it came")
	delivery := w.delivery(child, message, "first", "", "third", "")
	for name, test := range map[string]struct {
		id      uuid.UUID
		attempt int32
		want    opener.Answer
	}{
		"message":         {message, 0, opener.Answer{Outcome: "message", Message: message, Schema: "1.0", Plain: []byte("as it came")}},
		"last that stays": {delivery, 0, opener.Answer{Outcome: "outbound", Message: message, Delivery: delivery, Attempt: 3, Schema: "1.0", Plain: []byte("third")}},
		"an attempt":      {delivery, 1, opener.Answer{Outcome: "outbound", Message: message, Delivery: delivery, Attempt: 1, Schema: "1.0", Plain: []byte("first")}},
	} {
		before := len(w.entries())
		got, err := w.open(test.id, test.attempt)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, *got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		all := w.entries()
		if len(all) != before+1 {
			t.Fatalf("%s: %d entries, want one more than %d", name, len(all), before)
		}
		e := all[before]
		want := journal.Entry{
			ID: e.ID, At: e.At, Kind: journal.MessageOpened, Environment: hub.Prod, Participant: 3, Ente: 7, Message: message,
			Delivery: test.want.Delivery, Attempt: test.want.Attempt, Outcome: test.want.Outcome, Actor: "anna", Reason: reason,
			Codes: []hub.Code{hub.Code("uid:" + strconv.Itoa(os.Getuid())), e.Codes[1], "approved:bruno"}, Commitment: e.Commitment,
		}
		if !strings.HasPrefix(string(e.Codes[1]), "ticket:") || e.Commitment != w.usedTicket(e) {
			t.Errorf("%s: %v is not the ticket used", name, e.Codes)
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Each reason for which nothing opens is told as itself.
func TestWhatDoesNotOpenSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child, erased := w.child(), w.child()
	message := w.message(child, "one")
	ofErased := w.message(erased, "two")
	w.erase(erased)
	gone := w.message(child, "three")
	w.exec("DELETE FROM hub.message WHERE id = $1", gone)
	bare := w.delivery(child, message, "")
	changed, swapped, torn := w.message(child, "four"), w.message(child, "five"), w.message(child, "six")
	w.exec("UPDATE hub.message SET sealed = set_byte(sealed, octet_length(sealed) - 1, get_byte(sealed, octet_length(sealed) - 1) # 1) WHERE id = $1", changed)
	w.exec("UPDATE hub.message SET sealed = (SELECT m.sealed FROM hub.message m WHERE m.id = $2) WHERE id = $1", swapped, message)
	w.exec("UPDATE hub.message SET sealed = substr(sealed, 1, 20) WHERE id = $1", torn)
	otherKind := w.message(child, "another kind")
	w.exec("UPDATE hub.message SET sealed = $2 WHERE id = $1", otherKind, w.seal(child, pseudonym.SealedCase, otherKind, "local ids"))
	elsewhere := w.message(child, "seven")
	w.exec("UPDATE hub.event SET environment = 2 WHERE id = $1", elsewhere)
	ofOther := w.message(child, "eight")
	w.exec("UPDATE hub.event SET subject_id = $2 WHERE id = $1", ofOther, w.child().ID)
	for name, test := range map[string]struct {
		id   uuid.UUID
		want error
	}{
		"never accepted":        {uuid.New(), opener.ErrUnknown},
		"erased child":          {ofErased, opener.ErrErased},
		"past its time":         {gone, opener.ErrGone},
		"nothing was sent":      {bare, opener.ErrGone},
		"a changed bit":         {changed, opener.ErrDamaged},
		"another message's":     {swapped, opener.ErrDamaged},
		"another kind":          {otherKind, opener.ErrDamaged},
		"cut off":               {torn, opener.ErrDamaged},
		"another child's":       {ofOther, opener.ErrDamaged},
		"the other environment": {elsewhere, opener.ErrUnknown},
	} {
		got, err := w.open(test.id, 0)
		if !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v %v, want %v", name, got, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		id   uuid.UUID
		want error
	}{
		"an attempt of a message":               {message, opener.ErrReceipt},
		"an attempt of a message past its time": {gone, opener.ErrReceipt},
		"an attempt that sent nothing":          {bare, opener.ErrAttempt},
		"an attempt of nothing":                 {uuid.New(), opener.ErrUnknown},
		"an attempt elsewhere":                  {elsewhere, opener.ErrUnknown},
	} {
		if got, err := w.open(test.id, 2); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v %v, want %v", name, got, err, test.want)
		}
	}
	// Last, because all was sealed in one epoch.
	w.exec("DELETE FROM vault.epoch_key")
	if got, err := w.open(message, 0); !errors.Is(err, opener.ErrNoKey) {
		t.Errorf("epoch key gone: %v %v", got, err)
	}
}

// A pair that is not the one of that time opens nothing, and is told apart from damage.
func TestAnOpenerWithAnotherPairHasNoKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	w.exec("UPDATE vault.epoch_key SET opener_epoch = 2")
	if got, err := w.open(message, 0); !errors.Is(err, opener.ErrNoKey) {
		t.Errorf("%v %v", got, err)
	}
}

// spy tells when secrets are read, and may refuse the journal.
type spy struct {
	opener.Store
	opener.Vault

	journalled atomic.Int32
	early      atomic.Int32
	refuse     atomic.Bool
}

func (s *spy) JournalOpening(ctx context.Context, e journal.Entry) error {
	if s.refuse.Load() {
		return errors.New("no disk")
	}
	err := s.Store.JournalOpening(ctx, e)
	s.journalled.Add(1)
	return err
}

func (s *spy) UseTicket(ctx context.Context, t ticket.Signed, e journal.Entry) error {
	if s.refuse.Load() {
		return errors.New("no disk")
	}
	err := s.Store.UseTicket(ctx, t, e)
	s.journalled.Add(1)
	return err
}

func (s *spy) JournalUnderTicket(ctx context.Context, env hub.Environment, id uuid.UUID, e journal.Entry) error {
	if s.refuse.Load() {
		return errors.New("no disk")
	}
	err := s.Store.JournalUnderTicket(ctx, env, id, e)
	s.journalled.Add(1)
	return err
}

func (s *spy) Secrets(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]pseudonym.Secret, error) {
	if s.journalled.Load() == 0 {
		s.early.Add(1)
	}
	return s.Vault.Secrets(ctx, subjects)
}

func spied() (*spy, options) {
	s := &spy{}
	return s, options{
		store: func(store opener.Store) opener.Store { s.Store = store; return s },
		vault: func(vault opener.Vault) opener.Vault { s.Vault = vault; return s },
	}
}

// No secret is even read before the entry is durable, and none at all when it cannot be.
func TestNothingIsOpenedBeforeItsEntryIsDurable(t *testing.T) {
	t.Parallel()
	s, o := spied()
	w := newWorld(t, o)
	message := w.message(w.child(), "one")
	s.refuse.Store(true)
	if got, err := w.open(message, 0); !errors.Is(err, opener.ErrUnavailable) || got != nil {
		t.Errorf("without an entry: %v %v", got, err)
	}
	s.refuse.Store(false)
	session := w.begin()
	s.journalled.Store(0)
	s.refuse.Store(true)
	if got, err := session.Open(t.Context(), []opener.Request{{Message: message}}); !errors.Is(err, opener.ErrUnavailable) || got != nil {
		t.Errorf("batch without an entry: %v %v", got, err)
	}
	if s.journalled.Load() != 0 || s.early.Load() != 0 {
		t.Errorf("%d entries, secrets read %d times", s.journalled.Load(), s.early.Load())
	}
	s.refuse.Store(false)
	if _, err := w.open(message, 0); err != nil || s.early.Load() != 0 || s.journalled.Load() != 1 {
		t.Errorf("%v, %d early, %d entries", err, s.early.Load(), s.journalled.Load())
	}
}

// A database that refuses the entry, whatever the reason, leaves everything closed.
func TestAJournalThatTakesNothingKeepsEverythingClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	w.exec("REVOKE INSERT ON hub.journal_queue FROM hub_opener")
	if got, err := w.open(message, 0); !errors.Is(err, opener.ErrUnavailable) || got != nil {
		t.Errorf("%v %v", got, err)
	}
	w.exec("GRANT INSERT ON hub.journal_queue TO hub_opener")
	if _, err := w.open(message, 0); err != nil || len(w.entries()) != 1 {
		t.Errorf("%v, %d entries", err, len(w.entries()))
	}
}

// Who shows too many tickets in a minute is not answered, and none of what is too much is an entry.
func TestWhoIsTooFastIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{rate: 2})
	message := w.message(w.child(), "one")
	ask := func() error {
		_, err := w.open(message, 0)
		return err
	}
	for i, want := range []error{nil, nil, opener.ErrLimited} {
		if err := ask(); !errors.Is(err, want) {
			t.Errorf("question %d: %v, want %v", i+1, err, want)
		}
	}
	w.clock.add(31 * time.Second)
	for i, want := range []error{nil, opener.ErrLimited} {
		if err := ask(); !errors.Is(err, want) {
			t.Errorf("half a minute later, question %d: %v, want %v", i+1, err, want)
		}
	}
	// A ticket that is none counts, too: so nobody fills the journal with refusals.
	w.clock.add(time.Hour)
	for i, want := range []error{ticket.ErrFormat, ticket.ErrFormat, opener.ErrLimited} {
		if _, err := w.client.Open(t.Context(), opener.Question{Ticket: "x", ID: message}); !errors.Is(err, want) {
			t.Errorf("no ticket %d: %v, want %v", i+1, err, want)
		}
	}
	if opened, refused := len(w.entries()), len(w.entriesOf(journal.TicketRefused)); opened != 3 || refused != 2 {
		t.Errorf("%d and %d entries", opened, refused)
	}
}

// The kernel says who asks; a user who is not named gets nothing, not even whether an id is known.
func TestAStrangerIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{uids: []int{os.Getuid() + 1}})
	message := w.message(w.child(), "one")
	for _, id := range []uuid.UUID{message, uuid.New()} {
		if got, err := w.open(id, 0); !errors.Is(err, opener.ErrStranger) || got != nil {
			t.Errorf("%v %v", got, err)
		}
	}
	if err := w.client.Alive(t.Context()); !errors.Is(err, opener.ErrStranger) {
		t.Error(err)
	}
	if s, err := w.client.Begin(t.Context(), sign(t, draft(ticket.Replay, today()))); !errors.Is(err, opener.ErrStranger) || s != nil {
		t.Error(err)
	}
	if len(w.entries()) != 0 {
		t.Errorf("%d entries", len(w.entries()))
	}
}

// What was opened, and what was not, stands in no log line.
func TestNoContentInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child := w.child()
	const content = "MARIO-CONTENUTO-SEGRETO"
	message := w.message(child, content)
	if got, err := w.open(message, 0); err != nil || string(got.Plain) != content {
		t.Fatal(err)
	}
	if _, err := w.begin().Open(t.Context(), []opener.Request{{Message: message}, {Message: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE hub.message SET sealed = 'x'")
	if _, err := w.open(message, 0); !errors.Is(err, opener.ErrDamaged) {
		t.Fatal(err)
	}
	w.erase(child)
	_, _ = w.open(message, 0)
	w.exec("REVOKE SELECT (secret) ON vault.subject FROM hub_opener")
	_, _ = w.open(message, 0)
	w.stop()
	if w.logs.Len() < 5 {
		t.Fatalf("only %d lines", w.logs.Len())
	}
	for _, line := range w.logs.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); strings.Contains(text, content) || strings.Contains(text, child.ID.String()) {
			t.Errorf("logged: %s", line.Message)
		}
	}
}

package opener_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// A batch answers each request in its place, whatever becomes of the others.
func TestABatchAnswersInItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child, erased := w.child(), w.child()
	message, ofErased := w.message(child, "as it came"), w.message(erased, "nobody's")
	delivery := w.delivery(child, message, "first", "second")
	old := w.message(child, "too old")
	w.exec("UPDATE hub.event SET received_at = now() - interval '2 days' WHERE id = $1", old)
	w.exec("UPDATE hub.message SET received_at = (SELECT received_at FROM hub.event e WHERE e.id = $1) WHERE id = $1", old)
	about := string(slices.Concat(child.ID[:], uuid.New().NodeID(), make([]byte, 10)))
	origin := w.seal(child, pseudonym.SealedOrigin, message, about)
	ofErasedOrigin := w.seal(erased, pseudonym.SealedOrigin, ofErased, about)
	strange := w.seal(child, pseudonym.SealedOrigin, uuid.New(), about)
	notOrigin := w.seal(child, pseudonym.SealedMessage, message, "not this way")
	changed := bytes.Clone(origin)
	changed[len(changed)-1] ^= 1
	w.erase(erased)
	session := w.begin()
	asked := []opener.Request{
		{Message: message},
		{Delivery: delivery},
		{Delivery: delivery, Attempt: 1},
		{Message: ofErased},
		{Message: uuid.New()},
		{Origin: origin},
		{Message: message, Origin: origin},
		{Message: ofErased, Origin: origin},
		{Origin: ofErasedOrigin},
		{Origin: strange},
		{Origin: notOrigin},
		{Origin: changed},
		{Origin: []byte("x")},
		{},
		{Message: message, Attempt: 1},
		{Message: message, Delivery: delivery},
		{Message: message},
		{Message: old},
		{Delivery: message},
	}
	want := []any{
		"as it came", "second", "first", opener.ErrErased, opener.ErrUnknown,
		about, about, opener.ErrMalformed, opener.ErrErased,
		opener.ErrUnknown, opener.ErrMalformed, opener.ErrDamaged, opener.ErrMalformed, opener.ErrMalformed, opener.ErrMalformed,
		opener.ErrMalformed, "as it came", opener.ErrOutside, opener.ErrUnknown,
	}
	// More than one look-up takes at once.
	for range 6 {
		asked, want = append(asked, asked[:19]...), append(want, want[:19]...)
	}
	got, err := session.Open(t.Context(), asked)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %d answers of %d", err, len(got), len(want))
	}
	for i := range want {
		if text, good := want[i].(string); good && (got[i].Err != nil || string(got[i].Plain) != text) {
			t.Errorf("%d: %.20q %v, want %q", i, got[i].Plain, got[i].Err, text)
		}
		if fault, bad := want[i].(error); bad && (!errors.Is(got[i].Err, fault) || got[i].Plain != nil) {
			t.Errorf("%d: %v, want %v", i, got[i].Err, fault)
		}
	}
}

// The journal has a session's begin, each of its batches with the ids, and its end.
func TestASessionStandsInTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	child := w.child()
	ids := []uuid.UUID{w.message(child, "a"), w.message(child, "b"), w.message(child, "c")}
	session := w.begin()
	order := []opener.Request{{Message: ids[1]}, {Message: ids[2]}, {Message: ids[0]}}
	for _, batch := range [][]opener.Request{order, order[:1]} {
		if _, err := session.Open(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, again := range []error{session.End(t.Context()), second(session.Open(t.Context(), order))} {
		if !errors.Is(again, opener.ErrSession) {
			t.Errorf("after the end: %v", again)
		}
	}
	all := w.entries()
	if len(all) != 4 {
		t.Fatalf("%d entries", len(all))
	}
	for i, want := range []journal.Entry{
		{Outcome: "begin"},
		{Outcome: "batch", Count: 3, Message: ids[0], Other: ids[2], Commitment: sha256.Sum256(slices.Concat(ids[1][:], ids[2][:], ids[0][:]))},
		{Outcome: "batch", Count: 1, Message: ids[1], Other: ids[1], Commitment: sha256.Sum256(ids[1][:])},
		{Outcome: "end", Count: 4},
	} {
		e := all[i]
		if want.Commitment == [32]byte{} {
			want.Commitment = w.usedTicket(all[0])
		}
		if e.Outcome != want.Outcome || e.Count != want.Count || e.Message != want.Message || e.Other != want.Other || e.Commitment != want.Commitment ||
			e.Actor != "anna" || e.Reason != reason || e.Kind != journal.MessageOpened {
			t.Errorf("entry %d: %+v, want %+v", i, e, want)
		}
		if len(e.Codes) != 7 || !slices.Equal(e.Codes, all[0].Codes) || !strings.HasPrefix(string(e.Codes[3]), "session:") ||
			!slices.Contains(e.Codes, hub.Code("purpose:replay")) {
			t.Errorf("entry %d: codes %v", i, e.Codes)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A session that nobody ends has an end in the journal all the same, when the opener stops.
func TestStoppingEndsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	session := w.begin()
	if _, err := session.Open(t.Context(), []opener.Request{{Message: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	w.stop()
	all := w.entries()
	if last := all[len(all)-1]; len(all) != 3 || last.Outcome != "end" || last.Count != 1 {
		t.Errorf("%d entries, last %+v", len(all), last)
	}
	if _, err := session.Open(t.Context(), []opener.Request{{Message: uuid.New()}}); !errors.Is(err, opener.ErrUnreachable) {
		t.Errorf("after the stop: %v", err)
	}
}

// A session is of the user that began it.
func TestASessionIsOneUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	const mine, other = 1, 2
	begun, err := w.openedBy.Begin(t.Context(), mine, sign(t, draft(ticket.Replay, today())))
	if err != nil {
		t.Fatal(err)
	}
	id := begun.Session
	open := func(uid uint32) (opened int, err error) {
		err = w.openedBy.OpenBatch(t.Context(), uid, id, []opener.Request{{Message: message}}, func(o opener.Opened) error {
			opened++
			return o.Err
		})
		return opened, err
	}
	if n, err := open(other); !errors.Is(err, opener.ErrSession) || n != 0 {
		t.Errorf("another user's batch: %d %v", n, err)
	}
	if err := w.openedBy.End(t.Context(), other, id); !errors.Is(err, opener.ErrSession) {
		t.Errorf("another user's end: %v", err)
	}
	if n, err := open(mine); err != nil || n != 1 {
		t.Errorf("its own batch: %d %v", n, err)
	}
}

// What is no batch is refused before anything is written, and a session too many before its ticket is used.
func TestSessionsAndBatchesHaveBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	session := w.begin()
	full := make([]opener.Request, opener.MaxBatch)
	for i := range full {
		full[i] = opener.Request{Message: uuid.New()}
	}
	if _, err := session.Open(t.Context(), full); err != nil {
		t.Errorf("a full batch: %v", err)
	}
	for name, batch := range map[string][]opener.Request{"none": {}, "one too many": slices.Concat(full, full[:1])} {
		if _, err := session.Open(t.Context(), batch); !errors.Is(err, opener.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d entries", n)
	}
	var err error
	for range 16 {
		_, err = w.client.Begin(t.Context(), sign(t, draft(ticket.Replay, today())))
	}
	if !errors.Is(err, opener.ErrCrowded) {
		t.Errorf("one session too many: %v", err)
	}
}

// Two batches of one session at once, and its end among them, leave a journal that counts right.
func TestASessionEndsBehindItsBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	message := w.message(w.child(), "one")
	session := w.begin()
	opened := make(chan int, 8)
	for range cap(opened) {
		go func() {
			all, err := session.Open(t.Context(), slices.Repeat([]opener.Request{{Message: message}}, 200))
			if err != nil && !errors.Is(err, opener.ErrSession) {
				t.Error(err)
			}
			opened <- len(all)
		}()
	}
	first := <-opened
	if err := session.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := first
	for range cap(opened) - 1 {
		total += <-opened
	}
	all := w.entries()
	if last := all[len(all)-1]; last.Outcome != "end" || int(last.Count) != total || total == 0 {
		t.Errorf("opened %d, the end says %s %d", total, last.Outcome, last.Count)
	}
}

// BenchmarkBatch opens messages of the usual size as replay does.
func BenchmarkBatch(b *testing.B) {
	w := newWorld(b, options{})
	ids := make([]opener.Request, 2000)
	for i := range ids {
		ids[i].Message = w.message(w.child(), fmt.Sprintf("%d %s", i, strings.Repeat("<Evento>lorem ipsum</Evento>", 150)))
	}
	session := w.begin()
	b.ResetTimer()
	n := 0
	for b.Loop() {
		at := n % 2 * opener.MaxBatch
		got, err := session.Open(b.Context(), ids[at:at+opener.MaxBatch])
		if err != nil || len(got) != opener.MaxBatch || got[0].Err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n*opener.MaxBatch)/b.Elapsed().Seconds(), "messages/s")
}

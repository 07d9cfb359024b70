package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// placed opens a case of a child at an ente with a placement, which only its regional event names.
func placed(ente int32, subject uuid.UUID, structure string) *postgres.Acceptance {
	a := acceptance(ente)
	a.Subject, a.Type = subject, sinba.CaricamentoIniziale
	a.Facts = sinba.Facts{Subject: "S", OpenedOn: 20240101, Items: []sinba.Item{{
		Kind: sinba.ItemPlacement, ID: "p", Start: 20240201, Residential: true, Where: "a stand-in of this case: " + uuid.NewString(),
	}}}
	a.Body = []byte("placed " + structure)
	return a
}

// across reads the bodies that placed writes.
func across() postgres.Across {
	return postgres.Across{Now: time.Now, Facts: func(body []byte) (sinba.Facts, error) {
		structure, ok := strings.CutPrefix(string(body), "placed ")
		if !ok {
			return sinba.Facts{}, errors.New("unreadable")
		}
		return sinba.Facts{Items: []sinba.Item{{Kind: sinba.ItemPlacement, ID: "p", Start: 20240201, Residential: true, Where: structure}}}, nil
	}}
}

// checkFound wants as many findings, journalled and queued once each, and as many events left to look at.
func checkFound(t *testing.T, db *pgx.Conn, found, left int) {
	t.Helper()
	for what, sql := range map[string]string{
		"findings": "SELECT count(*) FROM hub.others_finding",
		"entries":  "SELECT count(*) FROM hub.others_finding f JOIN hub.journal_entry j ON j.id = f.entry_id AND j.message_id = f.message_id AND j.kind = 5",
		"all":      "SELECT count(*) FROM hub.journal_entry WHERE kind = 5",
		"queued":   "SELECT count(*) FROM hub.others_finding f JOIN hub.journal_queue q ON q.entry_id = f.entry_id",
	} {
		if n := hubtest.Number(t, db, sql); n != int64(found) {
			t.Errorf("%s: %d, want %d", what, n, found)
		}
	}
	if n := hubtest.Number(t, db, "SELECT count(*) FROM hub.others_check"); n != int64(left) {
		t.Errorf("%d events are left to look at, want %d", n, left)
	}
}

func TestLookAcrossFindsWhatEntiSayTogether(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	subject := uuid.New()
	first := placed(1, subject, "x")
	for _, a := range []*postgres.Acceptance{first, placed(1, uuid.New(), "x"), acceptance(2), placed(3, subject, "x")} {
		accept(t, store, a)
	}
	looked, err := store.LookAcross(t.Context(), across())
	if err != nil || len(looked.Found) != 0 {
		t.Errorf("found %v in one structure: %v", looked, err)
	}
	checkFound(t, super, 0, 0)
	second := placed(2, subject, "y")
	accept(t, store, second)
	for _, want := range []map[hub.Code]int{{hub.CodeRule14: 2}, nil} {
		looked, err := store.LookAcross(t.Context(), across())
		if diff := cmp.Diff(want, looked.Found); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	checkFound(t, super, 2, 0)
	named := 0
	for _, e := range hubtest.JournalEntries(t, super) {
		if e.Kind != journal.OthersHistory {
			continue
		}
		if e.Message != second.ReceiptID || e.Event != second.Key.Event || e.Ente != 2 || e.Participant != 1 || e.Environment != hub.Prod ||
			len(e.Codes) != 1 || e.Codes[0] != hub.CodeRule14 {
			t.Errorf("entry %+v is not of the later event", e)
		}
		if e.Other == first.ReceiptID {
			named++
		}
	}
	if named != 1 {
		t.Errorf("%d entries name the first event", named)
	}
}

// TestLookersAtOnceFindOnce: several processes, and looks that break off at any moment, find everything
// once in the end.
func TestLookersAtOnceFindOnce(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	const children = 130 // more than one look takes
	for range children {
		subject := uuid.New()
		accept(t, store, placed(1, subject, "x"))
		accept(t, store, placed(2, subject, "y"))
	}
	for _, last := range []int{1, 7, 60, 100} { // a look reads the two events of each of fifty children
		ctx, cancel := context.WithCancel(t.Context())
		breaking, reads := across(), 0
		breaking.Facts = func(body []byte) (sinba.Facts, error) {
			if reads++; reads == last {
				cancel()
			}
			return across().Facts(body)
		}
		// The server may hold the lock of the look before for a moment more: then this one does nothing.
		var err error
		for err == nil && reads == 0 {
			_, err = store.LookAcross(ctx, breaking)
		}
		if err == nil || reads < last {
			t.Errorf("the look was not broken off after %d events: %d read, %v", last, reads, err)
		}
		cancel()
	}
	checkFound(t, super, 0, 2*children)
	var lookers sync.WaitGroup
	for range 4 {
		lookers.Go(func() {
			for range 6 {
				if _, err := store.LookAcross(t.Context(), across()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	lookers.Wait()
	for more := true; more; {
		looked, err := store.LookAcross(t.Context(), across())
		if err != nil {
			t.Fatal(err)
		}
		more = looked.More
	}
	checkFound(t, super, children, 0)
}

// TestLookAcrossGoesRoundWhatItCannotRead: it is told, holds up nobody, and is tried again in an hour.
func TestLookAcrossGoesRoundWhatItCannotRead(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	for _, structure := range []string{"", "y"} {
		subject := uuid.New()
		accept(t, store, placed(1, subject, "x"))
		other := placed(2, subject, structure)
		if structure == "" {
			other.Body, other.Facts.Adopted = []byte("unreadable"), true
		}
		accept(t, store, other)
	}
	for _, want := range []postgres.Looked{{Found: map[hub.Code]int{hub.CodeRule14: 1}, Failed: 1}, {}} {
		looked, err := store.LookAcross(t.Context(), across())
		if diff := cmp.Diff(want, looked); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	checkFound(t, super, 1, 2)
	advance(t, db, "61 minutes")
	readable := across()
	readable.Facts = func(body []byte) (sinba.Facts, error) {
		if string(body) == "unreadable" {
			body = []byte("placed z")
		}
		return across().Facts(body)
	}
	looked, err := open(t, db).LookAcross(t.Context(), readable)
	if err != nil || looked.Found[hub.CodeRule14] != 1 || looked.Failed != 0 {
		t.Errorf("an hour later: %+v, %v", looked, err)
	}
	checkFound(t, super, 2, 0)
}

// TestAdoptionIsWatched: a case that goes on elsewhere is found although none of its events is one to be
// compared, and each of its events once.
func TestAdoptionIsWatched(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	subject := uuid.New()
	adoption := placed(1, subject, "x")
	adoption.Facts.Adopted = true
	accept(t, store, adoption)
	watching := across()
	watching.Facts = func(body []byte) (sinba.Facts, error) {
		return sinba.Facts{Adopted: strings.HasPrefix(string(body), "placed")}, nil
	}
	elsewhere := acceptance(2)
	elsewhere.Subject = subject
	for i, a := range []*postgres.Acceptance{nil, elsewhere, follow(elsewhere, 2), nil, follow(elsewhere, 3)} {
		if a != nil {
			accept(t, store, a)
		}
		looked, err := store.LookAcross(t.Context(), watching)
		want := map[hub.Code]int(nil)
		if a != nil {
			want = map[hub.Code]int{hub.CodeRule22: 1}
		}
		if diff := cmp.Diff(want, looked.Found); err != nil || diff != "" {
			t.Errorf("event %d: %v (-want +got)\n%s", i, err, diff)
		}
	}
	checkFound(t, super, 3, 0)
}

// TestOnlyWhatAnEventSaysItselfMarksIt: the mark that costs something depends on nobody else.
func TestOnlyWhatAnEventSaysItselfMarksIt(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	first := acceptance(1)
	accept(t, store, first)
	accept(t, store, follow(first, 2))
	care := follow(first, 3)
	care.Type, care.Facts.Items = sinba.PresaInCarico, []sinba.Item{{Kind: sinba.ItemCare, ID: "c", Start: 20240201}}
	accept(t, store, care)
	checkFound(t, super, 0, 0)
	correction := follow(first, 4)
	correction.Type, correction.Operation, correction.RefersTo = sinba.PresaInCarico, sinba.Rettifica, care.Key.Event
	accept(t, store, correction)
	checkFound(t, super, 0, 1)
	accept(t, store, placed(2, uuid.New(), "x"))
	checkFound(t, super, 0, 2)
}

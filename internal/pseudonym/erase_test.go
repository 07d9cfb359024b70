package pseudonym_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// joined makes subjects of which each is joined to the one before, in whatever order of ids that is.
func joined(t *testing.T, v *pseudonym.Vault, keys *pseudonym.Keys, n int) (subjects []pseudonym.Subject, indexes []pseudonym.LinkIndex) {
	t.Helper()
	for i := range n {
		indexes = append(indexes, anyone(keys))
		subjects = append(subjects, mustReserve(t, v, indexes[i], pseudonym.NewSubject()))
		if err := v.Confirm(t.Context(), subjects[i]); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := v.Link(t.Context(), indexes[i], subjects[i-1], []byte("sealed"), uuid.Must(uuid.NewV7()), free); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := v.JoinClaimed(t.Context(), func(_ context.Context, asked []uuid.UUID) (map[uuid.UUID]bool, error) {
		return events(asked...)(t.Context(), asked)
	}, free); err != nil {
		t.Fatal(err)
	}
	return subjects, indexes
}

// All that was joined to a subject is the same child, and another one is not.
func TestSameChildIsAllThatWasJoined(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	subjects, _ := joined(t, v, keys, 4)
	joined(t, v, keys, 2) // somebody else
	for _, s := range subjects {
		ids, err := v.SameChild(t.Context(), s.ID)
		if err != nil || len(ids) != len(subjects) {
			t.Fatalf("%d of %d: %v", len(ids), len(subjects), err)
		}
	}
	if ids, err := v.SameChild(t.Context(), uuid.New()); len(ids) != 0 || err != nil {
		t.Errorf("nobody is %v: %v", ids, err)
	}
}

// Erase leaves nothing of a subject, whatever hangs on it, and everything of others; it may be repeated.
func TestEraseLeavesNothingOfASubject(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	gone, indexes := joined(t, v, keys, 3)
	// a claim that is not settled yet
	if err := v.Link(t.Context(), anyone(keys), gone[0], []byte("sealed"), uuid.Must(uuid.NewV7()), free); err != nil {
		t.Fatal(err)
	}
	kept := anyone(keys)
	stays := mustReserve(t, v, kept, pseudonym.NewSubject())
	elsewhere := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	if _, err := d.super.Exec(t.Context(), `UPDATE vault.subject SET environment = 'TEST' WHERE id = $1`, [16]byte(elsewhere.ID)); err != nil {
		t.Fatal(err)
	}
	ids := []uuid.UUID{gone[0].ID, gone[1].ID, gone[2].ID, uuid.New(), elsewhere.ID}
	for _, want := range []int{3, 0} {
		if n, err := v.Erase(t.Context(), ids); n != want || err != nil {
			t.Fatalf("erased %d, want %d: %v", n, want, err)
		}
	}
	for what, n := range map[string]int{
		"subjects": d.count(t, "SELECT count(*) FROM vault.subject"), "links": d.count(t, "SELECT count(*) FROM vault.subject_link"),
	} {
		if n != 2 {
			t.Errorf("%d %s left", n, what)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join") + d.count(t, "SELECT count(*) FROM vault.subject_claim"); n != 0 {
		t.Errorf("%d joins and claims left", n)
	}
	if id, err := v.Known(t.Context(), kept); err != nil || id != stays.ID {
		t.Errorf("the other child is lost: %v", err)
	}
	for _, index := range indexes {
		if _, err := v.Known(t.Context(), index); !errors.Is(err, pseudonym.ErrNoSubject) {
			t.Errorf("the child is known: %v", err)
		}
	}
	if s := mustReserve(t, v, indexes[0], pseudonym.NewSubject()); s.ID == gone[0].ID {
		t.Error("the same identity is the old child")
	}
}

// Erase comes again to a subject that somebody holds, and gives up with its context, having changed nothing.
func TestEraseWaitsForWhoHoldsASubject(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	index := anyone(keys)
	child := mustReserve(t, v, index, pseudonym.NewSubject())
	for _, held := range []string{
		"SELECT FROM vault.subject FOR NO KEY UPDATE", "SELECT FROM vault.subject_link FOR NO KEY UPDATE",
	} {
		tx, err := d.super.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		n, err := v.Erase(brief, []uuid.UUID{child.ID})
		cancel()
		if n != 0 || err == nil {
			t.Errorf("%s: erased %d: %v", held, n, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id, err := v.Known(t.Context(), index); err != nil || id != child.ID {
			t.Errorf("%s: half erased: %v", held, err)
		}
	}
	if n, err := v.Erase(t.Context(), []uuid.UUID{child.ID}); n != 1 || err != nil {
		t.Errorf("erased %d: %v", n, err)
	}
}

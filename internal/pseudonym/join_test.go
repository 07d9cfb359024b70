package pseudonym_test

import (
	"testing"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

func TestLinkGivesASubjectOneMoreIdentity(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	child := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	fresh := anyone(keys)
	for range 2 { // it may be repeated
		if err := v.Link(t.Context(), fresh, child, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	if found := mustResolve(t, v, fresh); !same(found, child) || found.New {
		t.Error("the new identity is somebody else's")
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
		t.Errorf("%d joins of a subject with itself", n)
	}
	if err := v.Link(t.Context(), anyone(keys), pseudonym.Subject{}, []byte("sealed")); err == nil {
		t.Error("linked to nobody")
	}
	if err := v.Link(t.Context(), anyone(keys), child, nil); err == nil {
		t.Error("linked without a way back")
	}
}

func TestLinkJoinsSubjectsWithoutChangingThem(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	var subjects [4]pseudonym.Subject
	var indexes [4]pseudonym.LinkIndex
	for i := range subjects {
		indexes[i] = anyone(keys)
		subjects[i] = mustReserve(t, v, indexes[i], pseudonym.NewSubject())
	}
	for _, join := range [][2]int{{0, 1}, {2, 1}, {0, 1}, {1, 0}} {
		if err := v.Link(t.Context(), indexes[join[1]], subjects[join[0]], []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range subjects {
		if !same(mustResolve(t, v, indexes[i]), subjects[i]) {
			t.Errorf("identity %d stands for another subject", i)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 2 {
		t.Errorf("%d joins, want 2: each once, whichever was linked to the other", n)
	}
}

// TestSweepTakesAJoinedSubjectWithoutAnEvent: the other subject of a join may have been reserved for
// an event that never came.
func TestSweepTakesAJoinedSubjectWithoutAnEvent(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	child := mustReserve(t, now, anyone(keys), pseudonym.NewSubject())
	index := anyone(keys)
	pending := mustReserve(t, now, index, pseudonym.NewSubject())
	if err := now.Link(t.Context(), index, child, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	if n, err := after.Sweep(t.Context(), events(child.ID)); n != 1 || err != nil {
		t.Fatalf("swept %d: %v", n, err)
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
		t.Errorf("%d joins are left of %v", n, pending.ID)
	}
	if !mustResolve(t, now, index).New {
		t.Error("the identity of the swept subject is still known")
	}
}

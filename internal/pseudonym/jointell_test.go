package pseudonym_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// A child that was adopted, by what any ente says, is joined to nobody, nor is one that is joined to it; what
// is not known yet is asked again, and a child whom nobody adopted is joined then.
func TestAnAdoptedChildIsNotJoined(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	subjects, indexes := joined(t, v, keys, 2) // the second of them is adopted
	other := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	joins := func() int { return d.count(t, "SELECT count(*) FROM vault.subject_join") }
	claims := func() int { return d.count(t, "SELECT count(*) FROM vault.subject_claim") }
	answer := pseudonym.Unclear
	ask := func(_ context.Context, ids []uuid.UUID) (pseudonym.Joinable, error) {
		if !slices.Contains(ids, other.ID) || !slices.Contains(ids, subjects[0].ID) || !slices.Contains(ids, subjects[1].ID) {
			t.Errorf("asked of %d subjects, not of all who would be one child", len(ids))
		}
		return answer, nil
	}
	message := uuid.Must(uuid.NewV7())
	step := func(a pseudonym.Joinable, frozen, wantJoins, wantClaims int) {
		t.Helper()
		answer = a
		n, err := v.JoinClaimed(t.Context(), accepted(message), ask)
		if err != nil || n != frozen || joins() != wantJoins || claims() != wantClaims {
			t.Errorf("%v: %d frozen, %d joins, %d claims: %v", a, n, joins(), claims(), err)
		}
	}
	if err := v.Link(t.Context(), indexes[0], other, []byte("sealed"), message, free); err != nil {
		t.Fatal(err)
	}
	step(pseudonym.Unclear, 0, 1, 1)
	step(pseudonym.Frozen, 1, 1, 0)
	if err := v.Link(t.Context(), indexes[0], other, []byte("sealed"), message, free); err != nil {
		t.Fatal(err)
	}
	step(pseudonym.Unclear, 0, 1, 1)
	step(pseudonym.Free, 0, 2, 0)
}

// A join is given to who tells of it once it stands in the journal, again until it was taken over, and then
// never again; one that is not taken over holds up no other.
func TestJoinsAreGivenToBeToldUntilTheyAreTakenOver(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	subjects, _ := joined(t, v, keys, 3)
	for _, s := range subjects {
		if err := v.Confirm(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var given []pseudonym.Pair
	tell := func(take int, fault error) error {
		given = nil
		return v.TellJoins(t.Context(), func(_ context.Context, pairs []pseudonym.Pair) (taken []uuid.UUID, err error) {
			given = append(given, pairs...)
			for _, p := range pairs[:min(take, len(pairs))] {
				taken = append(taken, p.Entry)
			}
			return taken, fault
		})
	}
	if err := tell(2, nil); err != nil || len(given) != 0 {
		t.Fatalf("%d joins are told before they stand in the journal: %v", len(given), err)
	}
	var j journalOf
	if _, err := v.JournalJoins(t.Context(), j.write); err != nil {
		t.Fatal(err)
	}
	if err := tell(2, errors.New("away")); err == nil || len(given) != 2 {
		t.Fatalf("%d given: %v", len(given), err)
	}
	if err := tell(1, nil); err != nil || len(given) != 2 {
		t.Fatalf("%d given again: %v", len(given), err)
	}
	for _, p := range given {
		a := slices.IndexFunc(subjects, func(s pseudonym.Subject) bool { return s.ID == p.One })
		b := slices.IndexFunc(subjects, func(s pseudonym.Subject) bool { return s.ID == p.Other })
		if a < 0 || b < 0 || a == b || !slices.ContainsFunc(j.joins, func(j pseudonym.Join) bool { return j.Entry == p.Entry }) {
			t.Errorf("%+v", p)
		}
	}
	left := given[1].Entry
	if err := tell(1, nil); err != nil || len(given) != 1 || given[0].Entry != left {
		t.Fatalf("%+v: %v", given, err)
	}
	if err := tell(1, nil); err != nil || len(given) != 0 {
		t.Fatalf("%d given behind the end: %v", len(given), err)
	}
}

// Who was joined is taken apart for good: each is a child of its own again, the same claim does not join them
// anew, SISS is not told of it any more, and the others' joins stand.
func TestJoinsAreUndoneForGood(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	subjects, indexes := joined(t, v, keys, 3)
	for range 2 { // it may be repeated
		undone, err := v.Unjoin(t.Context(), subjects[0].ID)
		if err != nil || len(undone) != 1 || !slices.Contains([]uuid.UUID{undone[0].One, undone[0].Other}, subjects[1].ID) {
			t.Fatalf("%+v: %v", undone, err)
		}
	}
	other := mustReserve(t, v, anyone(keys), pseudonym.NewSubject()).ID
	for _, asked := range []struct {
		subject uuid.UUID
		want    bool
	}{{subjects[0].ID, true}, {subjects[2].ID, true}, {other, false}} {
		if was, err := v.WasJoined(t.Context(), asked.subject); err != nil || was != asked.want {
			t.Errorf("was joined: %t, want %t: %v", was, asked.want, err)
		}
	}
	message := uuid.Must(uuid.NewV7())
	if err := v.Link(t.Context(), indexes[1], subjects[0], []byte("sealed"), message, free); err != nil {
		t.Fatal(err)
	}
	if _, err := v.JoinClaimed(t.Context(), accepted(message), free); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 2, 2} {
		if all, err := v.SameChild(t.Context(), subjects[i].ID); err != nil || len(all) != want {
			t.Errorf("%d subjects of child %d, want %d: %v", len(all), i, want, err)
		}
		if !same(mustResolve(t, v, indexes[i]), subjects[i]) {
			t.Errorf("identity %d stands for another subject", i)
		}
	}
	for _, s := range subjects {
		if err := v.Confirm(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	var j journalOf
	if _, err := v.JournalJoins(t.Context(), j.write); err != nil {
		t.Fatal(err)
	}
	err := v.TellJoins(t.Context(), func(_ context.Context, pairs []pseudonym.Pair) ([]uuid.UUID, error) {
		if len(pairs) != 1 || pairs[0].One == subjects[0].ID || pairs[0].Other == subjects[0].ID {
			t.Errorf("%+v", pairs)
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnAdoptiveIdentityDoesNotLeadToTheLifeBefore: an ente that knows nothing of a child's adoption tells another
// name of its own case's child. None is linked if the adoption is known; if it is found only then, the link goes,
// and with it the index under the key that comes. What stood before stays.
func TestAnAdoptiveIdentityDoesNotLeadToTheLifeBefore(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	says := func(j pseudonym.Joinable) pseudonym.AskJoinable {
		return func(context.Context, []uuid.UUID) (pseudonym.Joinable, error) { return j, nil }
	}
	first, second := anyone(keys), anyone(keys)
	child := mustReserve(t, v, first, pseudonym.NewSubject())
	stands := func(index pseudonym.LinkIndex) bool {
		t.Helper()
		found := mustResolve(t, v, index)
		return !found.New() && same(found, child)
	}
	rename := func(to pseudonym.LinkIndex, sealed string, known, found pseudonym.Joinable) int {
		t.Helper()
		message := uuid.Must(uuid.NewV7())
		if err := v.Link(t.Context(), to, child, []byte(sealed), message, says(known)); err != nil {
			t.Fatal(err)
		}
		if known == pseudonym.Frozen && stands(to) {
			t.Error("an adoption that is known is linked for a while")
		}
		frozen, err := v.JoinClaimed(t.Context(), accepted(message), says(found))
		if err != nil {
			t.Fatal(err)
		}
		return frozen
	}
	if n := rename(second, "second", pseudonym.Free, pseudonym.Free); n != 0 || !stands(second) {
		t.Error("a child that was not adopted got no other name")
	}
	adoptive := anyone(keys)
	if n := rename(adoptive, "adoptive", pseudonym.Frozen, pseudonym.Frozen); n != 1 || stands(adoptive) {
		t.Errorf("known to be adopted: %d not followed, linked: %v", n, stands(adoptive))
	}
	// What the look waits for is not known yet.
	if n := rename(adoptive, "adoptive", pseudonym.Unclear, pseudonym.Unclear); n != 0 || !stands(adoptive) {
		t.Errorf("not known: %d not followed", n)
	}
	if _, err := d.super.Exec(t.Context(), `INSERT INTO vault.subject_link (link_index, key_epoch, subject_id, sealed_identity, created_at)
		SELECT sha256(link_index), 2, subject_id, sealed_identity, created_at FROM vault.subject_link`); err != nil {
		t.Fatal(err)
	}
	other := uuid.Must(uuid.NewV7())
	if err := v.Link(t.Context(), second, child, []byte("second again"), other, says(pseudonym.Unclear)); err != nil {
		t.Fatal(err)
	}
	waits, err := v.JoinClaimed(t.Context(), func(_ context.Context, asked []uuid.UUID) (map[uuid.UUID]bool, error) {
		return events(asked...)(t.Context(), asked)
	}, says(pseudonym.Frozen))
	if err != nil || waits != 2 {
		t.Errorf("%d not followed: %v", waits, err)
	}
	if stands(adoptive) || !stands(first) || !stands(second) {
		t.Errorf("adoptive %v, first %v, second %v", stands(adoptive), stands(first), stands(second))
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_link"); n != 4 {
		t.Errorf("%d rows of two identities under two keys", n)
	}
}

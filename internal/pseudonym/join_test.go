package pseudonym_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// accepted answers for the messages that were.
func accepted(have ...uuid.UUID) pseudonym.Accepted { return pseudonym.Accepted(events(have...)) }

// free is of children whom nobody adopted.
func free(context.Context, []uuid.UUID) (pseudonym.Joinable, error) { return pseudonym.Free, nil }

// journalOf collects what is journalled; a fault is answered instead once it is set.
type journalOf struct {
	joins []pseudonym.Join
	fault error
}

func (j *journalOf) write(_ context.Context, joins []pseudonym.Join) error {
	j.joins = append(j.joins, joins...)
	return j.fault
}

func TestLinkGivesASubjectOneMoreIdentity(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	child := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	fresh := anyone(keys)
	for range 2 { // it may be repeated
		if err := v.Link(t.Context(), fresh, child, []byte("sealed"), uuid.New(), free); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.JoinClaimed(t.Context(), func(_ context.Context, asked []uuid.UUID) (map[uuid.UUID]bool, error) {
		return events(asked...)(t.Context(), asked)
	}, free); err != nil {
		t.Fatal(err)
	}
	if found := mustResolve(t, v, fresh); !same(found, child) || found.New() {
		t.Error("the new identity is somebody else's")
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
		t.Errorf("%d joins of a subject with itself", n)
	}
	if err := v.Link(t.Context(), anyone(keys), pseudonym.Subject{}, []byte("sealed"), uuid.New(), free); err == nil {
		t.Error("linked to nobody")
	}
	if err := v.Link(t.Context(), anyone(keys), child, nil, uuid.New(), free); err == nil {
		t.Error("linked without a way back")
	}
	if err := v.Link(t.Context(), anyone(keys), child, []byte("sealed"), uuid.Nil, free); err == nil {
		t.Error("linked without a message that says so")
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
	var messages []uuid.UUID
	for _, join := range [][2]int{{0, 1}, {2, 1}, {0, 1}, {1, 0}} {
		messages = append(messages, uuid.Must(uuid.NewV7()))
		if err := v.Link(t.Context(), indexes[join[1]], subjects[join[0]], []byte("sealed"), messages[len(messages)-1], free); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
		t.Errorf("%d joins before the events that say so are accepted", n)
	}
	if _, err := v.JoinClaimed(t.Context(), accepted(messages...), free); err != nil {
		t.Fatal(err)
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
// an event that never came; the join waits for both, whichever of them it names first.
func TestSweepTakesAJoinedSubjectWithoutAnEvent(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"named first": true, "named last": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, keys := newDatabase(t), newKeys(t, hub.Prod)
			now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
			one, two := pseudonym.NewSubject(), pseudonym.NewSubject()
			if (bytes.Compare(one.ID[:], two.ID[:]) < 0) != first {
				one, two = two, one
			}
			index := anyone(keys)
			pending, child := mustReserve(t, now, index, one), mustReserve(t, now, anyone(keys), two)
			if err := now.Confirm(t.Context(), child); err != nil {
				t.Fatal(err)
			}
			message := uuid.New()
			if err := now.Link(t.Context(), index, child, []byte("sealed"), message, free); err != nil {
				t.Fatal(err)
			}
			if _, err := now.JoinClaimed(t.Context(), accepted(message), free); err != nil {
				t.Fatal(err)
			}
			var j journalOf
			if n, err := now.JournalJoins(t.Context(), j.write); n != 0 || err != nil || len(j.joins) != 0 {
				t.Errorf("journalled %d joins of subjects that may be swept: %v", n, err)
			}
			if n, err := after.Sweep(t.Context(), events(child.ID)); n != 1 || err != nil {
				t.Fatalf("swept %d: %v", n, err)
			}
			if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
				t.Errorf("%d joins are left of %v", n, pending.ID)
			}
			if !mustResolve(t, now, index).New() {
				t.Error("the identity of the swept subject is still known")
			}
		})
	}
}

// TestClaimsOfMessagesThatWereNotAcceptedAreForgotten: a claim waits for its event as long as that may
// still be accepted, then it goes; neither makes a join.
func TestClaimsOfMessagesThatWereNotAcceptedAreForgotten(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	mustReserve(t, now, index, pseudonym.NewSubject())
	child := mustReserve(t, now, anyone(keys), pseudonym.NewSubject())
	if err := now.Link(t.Context(), index, child, []byte("sealed"), uuid.New(), free); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		vault *pseudonym.Vault
		want  int
	}{{now, 1}, {after, 0}} {
		if _, err := step.vault.JoinClaimed(t.Context(), accepted(), free); err != nil {
			t.Fatal(err)
		}
		if n := d.count(t, "SELECT count(*) FROM vault.subject_claim"); n != step.want {
			t.Errorf("%d claims, want %d", n, step.want)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != 0 {
		t.Errorf("%d joins that no accepted event said", n)
	}
}

// TestEveryJoinIsJournalledOnce also when the writing of its entry fails, or the process ends behind
// it: the repetition is the same entry.
func TestEveryJoinIsJournalledOnce(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	index := anyone(keys)
	other := mustReserve(t, v, index, pseudonym.NewSubject())
	child := mustReserve(t, v, anyone(keys), pseudonym.NewSubject())
	for _, s := range []pseudonym.Subject{other, child} {
		if err := v.Confirm(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	messages := []uuid.UUID{uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())}
	for _, m := range slices.Backward(messages) { // told twice: the first message counts, whichever was here first
		if err := v.Link(t.Context(), index, child, []byte("sealed"), m, free); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.JoinClaimed(t.Context(), accepted(messages...), free); err != nil {
		t.Fatal(err)
	}
	broken := journalOf{fault: errors.New("no journal")}
	if n, err := v.JournalJoins(t.Context(), broken.write); n != 0 || err == nil {
		t.Errorf("%d joins are known to a journal that was not written: %v", n, err)
	}
	var whole journalOf
	for _, want := range []int{1, 0} {
		if n, err := v.JournalJoins(t.Context(), whole.write); n != want || err != nil {
			t.Errorf("%d joins became known, want %d: %v", n, want, err)
		}
	}
	if len(whole.joins) != 1 || !slices.Equal(whole.joins, broken.joins) || whole.joins[0].Message != messages[0] {
		t.Errorf("journalled %v, before %v, want one of message %v", whole.joins, broken.joins, messages[0])
	}
}

// TestJoinsOfTheOtherEnvironmentAreLeftAlone: what TEST claims and joins is neither settled, nor
// journalled, by a process of PROD, though the store should say that its message was accepted.
func TestJoinsOfTheOtherEnvironmentAreLeftAlone(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Test)
	prod, test := d.vault(t, newKeys(t, hub.Prod)), d.vault(t, keys)
	index, message := anyone(keys), uuid.New()
	other := mustReserve(t, test, index, pseudonym.NewSubject())
	child := mustReserve(t, test, anyone(keys), pseudonym.NewSubject())
	for _, s := range []pseudonym.Subject{other, child} {
		if err := test.Confirm(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := test.Link(t.Context(), index, child, []byte("sealed"), message, free); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		vault *pseudonym.Vault
		want  int
	}{{prod, 0}, {test, 1}} {
		if _, err := step.vault.JoinClaimed(t.Context(), accepted(message), free); err != nil {
			t.Fatal(err)
		}
		if n := d.count(t, "SELECT count(*) FROM vault.subject_join"); n != step.want {
			t.Errorf("%d joins, want %d", n, step.want)
		}
	}
	for _, step := range []struct {
		vault *pseudonym.Vault
		want  int
	}{{prod, 0}, {test, 1}} {
		var j journalOf
		if n, err := step.vault.JournalJoins(t.Context(), j.write); n != step.want || err != nil || len(j.joins) != step.want {
			t.Errorf("journalled %d joins, want %d: %v", n, step.want, err)
		}
	}
}

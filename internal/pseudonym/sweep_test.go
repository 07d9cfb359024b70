package pseudonym_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// later is a session whose clock is eleven minutes ahead.
const later = "11min"

// events answers a sweep for the subjects that have one.
func events(have ...uuid.UUID) pseudonym.Exists {
	return func(_ context.Context, asked []uuid.UUID) (map[uuid.UUID]bool, error) {
		found := map[uuid.UUID]bool{}
		for _, id := range asked {
			for _, h := range have {
				found[id] = found[id] || id == h
			}
		}
		return found, nil
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	subjects := map[string]pseudonym.Subject{}
	indexes := map[string]pseudonym.LinkIndex{}
	for _, name := range []string{"confirmed", "old without event", "old with event", "refreshed", "other environment"} {
		indexes[name] = anyone(keys)
		subjects[name] = mustReserve(t, now, indexes[name], pseudonym.NewSubject())
	}
	if err := now.Confirm(t.Context(), subjects["confirmed"]); err != nil {
		t.Fatal(err)
	}
	indexes["fresh"] = anyone(keys)
	subjects["fresh"] = mustReserve(t, after, indexes["fresh"], pseudonym.NewSubject())
	mustReserve(t, after, indexes["refreshed"], subjects["refreshed"])
	if _, err := d.super.Exec(t.Context(), `UPDATE vault.subject SET environment = 'TEST' WHERE id = $1`,
		[16]byte(subjects["other environment"].ID)); err != nil {
		t.Fatal(err)
	}
	if n, err := now.Sweep(t.Context(), events()); n != 0 || err != nil {
		t.Fatalf("swept %d before their time: %v", n, err)
	}
	n, err := after.Sweep(t.Context(), events(subjects["old with event"].ID))
	if n != 1 || err != nil {
		t.Errorf("deleted %d: %v", n, err)
	}
	want := map[string]string{
		"confirmed": "confirmed", "old without event": "new", "old with event": "confirmed",
		"refreshed": "pending", "fresh": "pending", "other environment": "pending",
	}
	for name, state := range want {
		s := mustResolve(t, now, indexes[name])
		got := "confirmed"
		switch {
		case s.New():
			got = "new"
		case s.Pending:
			got = "pending"
		}
		if got != state || (!s.New() && !same(s, subjects[name])) {
			t.Errorf("%s: %s, want %s", name, got, state)
		}
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_link WHERE subject_id = $1", [16]byte(subjects["old without event"].ID)); n != 0 {
		t.Error("a link outlived its subject")
	}
}

func TestSweepLeavesNoRowOfAThousand(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v := d.vault(t, keys)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if _, err := v.Reserve(t.Context(), anyone(keys), pseudonym.NewSubject(), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rows := "SELECT (SELECT count(*) FROM vault.subject) + (SELECT count(*) FROM vault.subject_link)"
	if n := d.count(t, rows); n != 2000 {
		t.Fatalf("%d rows reserved", n)
	}
	n, err := d.vaultAhead(t, keys, later).Sweep(t.Context(), events())
	if n != 1000 || err != nil {
		t.Errorf("deleted %d: %v", n, err)
	}
	if n := d.count(t, rows); n != 0 {
		t.Errorf("%d rows left", n)
	}
}

func TestSweepStopsWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	mustReserve(t, d.vault(t, keys), anyone(keys), pseudonym.NewSubject())
	n, err := d.vaultAhead(t, keys, later).Sweep(t.Context(), func(context.Context, []uuid.UUID) (map[uuid.UUID]bool, error) {
		return nil, hub.NewError(hub.Unavailable, hub.CodeUnavailable, errors.New("store: away"))
	})
	if n != 0 || err == nil {
		t.Error(n, err)
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject"); n != 1 {
		t.Error("deleted without knowing")
	}
}

// TestReserveBetweenQuestionAndDeleteIsSafe reserves the subject again, for a second event,
// after the sweep asked whether it has one.
func TestReserveBetweenQuestionAndDeleteIsSafe(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	s := mustReserve(t, now, index, pseudonym.NewSubject())
	n, err := after.Sweep(t.Context(), func(ctx context.Context, _ []uuid.UUID) (map[uuid.UUID]bool, error) {
		found, err := after.Resolve(ctx, index)
		if err != nil || !found.Pending {
			t.Error("not pending", err)
		}
		_, err = after.Reserve(ctx, index, found, []byte("x"))
		return nil, err
	})
	if n != 0 || err != nil {
		t.Errorf("deleted %d: %v", n, err)
	}
	if got := mustResolve(t, now, index); !same(got, s) {
		t.Error("the sweep took a subject that was reserved again")
	}
}

// TestReserveAfterTheSweepWritesTheSubjectAgain is the other order: looked up as pending, swept,
// then reserved.
func TestReserveAfterTheSweepWritesTheSubjectAgain(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	mustReserve(t, now, index, pseudonym.NewSubject())
	found := mustResolve(t, now, index)
	if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if again := mustReserve(t, now, index, found); !same(again, found) {
		t.Error("another subject although nobody raced")
	}
	if got := mustResolve(t, now, index); !same(got, found) {
		t.Error("not written again")
	}
}

// TestSweepWaitsForNobodyAndTakesNoHalf: somebody holds a subject, or one of the two links of a
// subject. The sweep leaves them whole and comes back without them.
func TestSweepWaitsForNobodyAndTakesNoHalf(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"subject": `SELECT FROM vault.subject WHERE id = (SELECT subject_id FROM vault.subject_link WHERE link_index = $1) FOR NO KEY UPDATE`,
		"link":    `SELECT FROM vault.subject_link WHERE link_index = $1 FOR NO KEY UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, keys := newDatabase(t), newKeys(t, hub.Prod)
			now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
			held, alias := anyone(keys), anyone(keys)
			s := mustReserve(t, now, held, pseudonym.NewSubject())
			d.addLink(t, held, alias)
			mustReserve(t, now, anyone(keys), pseudonym.NewSubject())
			tx, err := d.super.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			if _, err := tx.Exec(t.Context(), lock, bytesOf(held)); err != nil {
				t.Fatal(err)
			}
			if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
				t.Errorf("deleted %d: %v", n, err)
			}
			for _, index := range []pseudonym.LinkIndex{held, alias} {
				if got := mustResolve(t, now, index); !same(got, s) {
					t.Error("half of a subject was swept")
				}
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
				t.Errorf("deleted %d afterwards: %v", n, err)
			}
		})
	}
}

// TestConfirmRestoresWhatWasSweptTooEarly: a process stood still for longer than the sweep waits,
// between its reservation and its acceptance.
func TestConfirmRestoresWhatWasSweptTooEarly(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	mine := mustReserve(t, now, index, pseudonym.NewSubject())
	if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := now.Confirm(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if got := mustResolve(t, now, index); !same(got, mine) || got.Pending {
		t.Error("the subject of an accepted event is lost")
	}
	if n := d.count(t, "SELECT count(*) FROM vault.subject_link WHERE sealed_identity = $1", []byte("sealed for "+mine.ID.String())); n != 1 {
		t.Error("the way back is lost")
	}
}

// TestConfirmRestoresAgainstASecondSweep: a sweep that asked before the event came takes whatever is
// pending in the same moment as it is written.
func TestConfirmRestoresAgainstASecondSweep(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	mine := mustReserve(t, now, index, pseudonym.NewSubject())
	if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for _, sql := range []string{
		`CREATE FUNCTION second_sweep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN DELETE FROM vault.subject WHERE id = NEW.id AND state = 'pending'; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER second_sweep AFTER INSERT ON vault.subject
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION second_sweep()`,
	} {
		if _, err := d.super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := now.Confirm(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if got := mustResolve(t, now, index); !same(got, mine) || got.Pending {
		t.Error("the subject of an accepted event is lost")
	}
}

func TestConfirmTellsASplit(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	now, after := d.vault(t, keys), d.vaultAhead(t, keys, later)
	index := anyone(keys)
	mine := mustReserve(t, now, index, pseudonym.NewSubject())
	if n, err := after.Sweep(t.Context(), events()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	theirs := mustReserve(t, now, index, pseudonym.NewSubject())
	if err := now.Confirm(t.Context(), mine); !errors.Is(err, pseudonym.ErrSplit) {
		t.Error(err)
	}
	if got := mustResolve(t, now, index); !same(got, theirs) {
		t.Error("the link was taken away from the other subject")
	}
	if kept, err := now.SubjectOf(t.Context(), mine.ID); err != nil || !kept.Secret().Equal(mine.Secret()) {
		t.Error("what was sealed for the accepted event cannot be opened", err)
	}
}

// TestSweepRacesWithReservations sweeps from two processes all the time while others resolve,
// reserve, accept and confirm. Every accepted event keeps its subject, nobody deadlocks.
func TestSweepRacesWithReservations(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	// The sweepers' clock is ahead, so to them everything pending is stale at once: the worst case.
	now, sweepers := d.vault(t, keys), []*pseudonym.Vault{d.vaultAhead(t, keys, later), d.vaultAhead(t, keys, later)}
	var mu sync.Mutex
	accepted := map[uuid.UUID]bool{}
	exists := func(_ context.Context, asked []uuid.UUID) (map[uuid.UUID]bool, error) {
		mu.Lock()
		defer mu.Unlock()
		found := map[uuid.UUID]bool{}
		for _, id := range asked {
			found[id] = accepted[id]
		}
		return found, nil
	}
	stop := make(chan struct{})
	var sweeping, working sync.WaitGroup
	swept := 0
	for _, v := range sweepers {
		sweeping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n, err := v.Sweep(t.Context(), exists)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				swept += n
				mu.Unlock()
			}
		})
	}
	indexes := make([]pseudonym.LinkIndex, 150)
	for i := range indexes {
		indexes[i] = anyone(keys)
	}
	splits := 0
	for w := range 8 {
		working.Go(func() {
			for i, index := range indexes {
				s, err := now.Resolve(t.Context(), index)
				if err == nil && (s.New() || s.Pending) {
					s, err = now.Reserve(t.Context(), index, s, []byte("x"))
				}
				if err != nil {
					t.Error(err)
					return
				}
				if (i+w)%3 == 0 {
					continue // this one's event never comes
				}
				mu.Lock()
				accepted[s.ID] = true
				mu.Unlock()
				err = now.Confirm(t.Context(), s)
				if errors.Is(err, pseudonym.ErrSplit) {
					// Swept and taken over by another, which needs ten minutes in the field.
					mu.Lock()
					splits++
					mu.Unlock()
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	close(stop)
	sweeping.Wait()
	for id := range accepted {
		if _, err := now.SubjectOf(t.Context(), id); err != nil {
			t.Fatal("the subject of an accepted event is lost:", err)
		}
	}
	if n := d.count(t, deadlocks); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	t.Logf("%d accepted, %d swept, %d splits", len(accepted), swept, splits)
}

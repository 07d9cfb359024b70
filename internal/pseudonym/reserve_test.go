package pseudonym_test

import (
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// A child that many enti send events about would otherwise get a new version of its link with each of them.
func TestReservingAConfirmedChildLeavesItsLink(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v, index := d.vault(t, keys), anyone(keys)
	child := mustReserve(t, v, index, mustResolve(t, v, index))
	version := func() (where string) {
		t.Helper()
		if err := d.super.QueryRow(t.Context(), `SELECT ctid::text FROM vault.subject_link`).Scan(&where); err != nil {
			t.Fatal(err)
		}
		return where
	}
	pending := version()
	mustReserve(t, v, index, child)
	if version() == pending {
		t.Error("a pending child's link was not held against the sweep")
	}
	if err := v.Confirm(t.Context(), child); err != nil {
		t.Fatal(err)
	}
	confirmed := version()
	if late := mustReserve(t, v, index, pseudonym.NewSubject()); !same(child, late) {
		t.Error("a late reservation did not get the confirmed subject")
	}
	if now := version(); now != confirmed {
		t.Errorf("the link was written again: %s, then %s", confirmed, now)
	}
}

// Whoever erases the child meanwhile wins: the reservation then makes a new one.
func TestReservingAChildThatIsErasedMeanwhileMakesAnother(t *testing.T) {
	t.Parallel()
	d, keys := newDatabase(t), newKeys(t, hub.Prod)
	v, index := d.vault(t, keys), anyone(keys)
	child := mustReserve(t, v, index, mustResolve(t, v, index))
	if err := v.Confirm(t.Context(), child); err != nil {
		t.Fatal(err)
	}
	eraser, err := d.super.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`DELETE FROM vault.subject_link`, `DELETE FROM vault.subject`} {
		if _, err := eraser.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	fresh := pseudonym.NewSubject()
	reserved := make(chan pseudonym.Subject, 1)
	go func() {
		s, err := v.Reserve(t.Context(), index, fresh, []byte("sealed"))
		if err != nil {
			t.Error(err)
		}
		reserved <- s
	}()
	hubtest.Await(t, time.Minute, "the reservation waits", func() bool {
		return d.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND usename = 'hub_vault' AND wait_event_type = 'Lock'`) == 1
	})
	if err := eraser.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := <-reserved; !same(s, fresh) || !s.Pending {
		t.Error("the erased child was reserved, or nobody")
	}
	if n := d.count(t, `SELECT count(*) FROM vault.subject_link`); n != 1 {
		t.Errorf("%d links", n)
	}
}

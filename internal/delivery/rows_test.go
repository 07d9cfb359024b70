package delivery_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/replay"
)

// rowsOf are the columns of deliveries and attempts that are not what the journal says.
func (w *world) rowsOf(t *testing.T) (columns []string) {
	t.Helper()
	now := time.Now()
	l, err := replay.CheckLedger(t.Context(), w.store, &replay.Options{
		Range: replay.Range{From: now.Add(-time.Hour), To: now.Add(time.Hour)}, Began: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range l.Rows {
		for _, c := range r.Columns {
			// The acceptances of these tests have short entries.
			if strings.HasPrefix(c, "hub.attempt") || strings.HasPrefix(c, "hub.delivery") {
				columns = append(columns, c)
			}
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// try claims the only due delivery and settles it.
func (w *world) try(t *testing.T, e accepted, state hub.DeliveryState, codes ...string) {
	t.Helper()
	claimed, err := w.store.Claim(t.Context(), postgres.ClaimQuery{Environment: hub.Prod, Owner: uuid.New(), Limit: 1, Lease: time.Minute})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d: %v", len(claimed), err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	s := &postgres.Settlement{Delivery: claimed[0].ID, Lease: claimed[0].Lease, State: state, StartedAt: now, Codes: codes}
	s.Entry = journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: now, Kind: journal.AttemptSettled, Environment: hub.Prod, Message: e.message, Delivery: claimed[0].ID,
		Attempt: claimed[0].Attempt, Outcome: string(state), Evidence: journal.Evidence{StartedAt: now, Hub: "test"},
	}
	for _, code := range codes {
		s.Entry.Codes = append(s.Entry.Codes, hub.Code(code))
	}
	if err := w.store.Settle(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// asked settles what is in doubt by what SISS says, as a reconciliation does.
func (w *world) asked(t *testing.T, e accepted, turn postgres.Turn, state hub.DeliveryState, codes ...string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	s := &postgres.Settlement{Delivery: e.transmission, State: state, StartedAt: now, Codes: codes}
	s.Entry = journal.Entry{ID: uuid.Must(uuid.NewV7()), At: now, Codes: []hub.Code{"reconciled"}}
	if state == hub.Delivered {
		s.Codes = []string{"reconciled"}
	}
	for _, code := range codes {
		s.Entry.Codes = append(s.Entry.Codes, hub.Code(code))
	}
	if settled, err := w.store.SettleAsked(t.Context(), turn, s); err != nil || !settled {
		t.Fatalf("%v %v", settled, err)
	}
}

func (w *world) act(t *testing.T, verb postgres.Verb, id uuid.UUID) uuid.UUID {
	t.Helper()
	acted, err := w.store.Operate(t.Context(), postgres.Act{
		Verb: verb, Environment: hub.Prod, ID: id, Confirmed: true, At: time.Now(), Actor: "anna", Reason: "prova",
	})
	if err != nil || acted.Refusal != "" {
		t.Fatalf("%s: %q, %v", verb, acted.Refusal, err)
	}
	return acted.Delivery
}

// TestEveryStateOfADeliveryFollowsFromTheJournal leads deliveries through everything that attempts,
// operators and reconciliations do. After each step the journal explains the delivery's state; and any
// other state, put there instead, it does not.
func TestEveryStateOfADeliveryFollowsFromTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := pgx.Connect(t.Context(), w.db.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), `DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname FROM pg_constraint
		WHERE conrelid = 'hub.delivery'::regclass AND contype = 'c' LOOP EXECUTE format('ALTER TABLE hub.delivery DROP CONSTRAINT %I', c.conname); END LOOP; END $$`); err != nil {
		t.Fatal(err)
	}
	turn, err := w.store.TakeTurn(t.Context(), postgres.TurnQuery{Environment: hub.Prod, Owner: uuid.New(), For: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	// settled is what may not be put in the place of what waits.
	settled := []hub.DeliveryState{hub.Delivered, hub.Refused, hub.Dead, hub.Parked}
	others := func(is hub.DeliveryState) (all []hub.DeliveryState) {
		for _, s := range hub.DeliveryStates() {
			if s != is {
				all = append(all, s)
			}
		}
		return all
	}
	var first accepted
	var renewed uuid.UUID
	steps := []struct {
		name string
		do   func()
		// wrong are states that the journal does not explain.
		wrong []hub.DeliveryState
	}{
		{"accepted", func() { first = w.accept(t, newChild(), nil) }, settled},
		{"parked before the first attempt", func() { w.act(t, postgres.VerbPark, first.transmission) }, others(hub.Parked)},
		{"unparked", func() { w.act(t, postgres.VerbUnpark, first.transmission) }, settled},
		{"not received", func() { w.try(t, first, hub.Retrying, "timeout") }, append(slices.Clone(settled), hub.Pending)},
		{"retried by an operator", func() { w.act(t, postgres.VerbRetry, first.transmission) }, settled},
		{"in doubt", func() { w.try(t, first, hub.Uncertain, "a code with blanks") }, others(hub.Uncertain)},
		{"SISS was asked and has it", func() { w.asked(t, first, turn, hub.Delivered, "SISS_1") }, others(hub.Delivered)},
		{"sent again", func() { w.act(t, postgres.VerbRedeliver, first.transmission) }, settled},
		{"given up", func() { w.try(t, first, hub.Dead, "timeout") }, others(hub.Dead)},
		{"SISS was asked and refused it", func() { w.asked(t, first, turn, hub.Refused, "SISS_2", "SISS_3") }, others(hub.Refused)},
		{"renewed", func() { renewed = w.act(t, postgres.VerbRenew, first.transmission) }, others(hub.Refused)},
		{"the renewed one parked by an attempt", func() { w.try(t, first, hub.Parked, "SINBA_203") }, others(hub.Refused)},
		{"the renewed one unparked and delivered", func() {
			w.act(t, postgres.VerbUnpark, renewed)
			w.try(t, first, hub.Delivered)
		}, others(hub.Refused)},
	}
	for _, step := range steps {
		step.do()
		if columns := w.rowsOf(t); len(columns) > 0 {
			t.Fatalf("%s: %v", step.name, columns)
		}
		for _, state := range step.wrong {
			var was string
			if err := conn.QueryRow(t.Context(), `UPDATE hub.delivery d SET state = $2 FROM hub.delivery b WHERE d.id = $1 AND b.id = d.id RETURNING b.state`,
				first.transmission, state).Scan(&was); err != nil {
				t.Fatal(err)
			}
			if columns := w.rowsOf(t); !slices.Equal(columns, []string{"hub.delivery.state"}) {
				t.Errorf("%s, and changed to %s: %v", step.name, state, columns)
			}
			if _, err := conn.Exec(t.Context(), "UPDATE hub.delivery SET state = $2 WHERE id = $1", first.transmission, was); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := int32(1); n <= 5; n++ {
		if _, err := conn.Exec(t.Context(), "UPDATE hub.attempt SET codes = coalesce(codes || ' ', '') || 'x' WHERE delivery_id = $1 AND number = $2", first.transmission, n); err != nil {
			t.Fatal(err)
		}
		want := []string{"hub.attempt.codes"}
		if n == 5 {
			want = append(want, "hub.delivery.codes")
		}
		if columns := w.rowsOf(t); !slices.Equal(columns, want) {
			t.Errorf("codes of attempt %d: %v", n, columns)
		}
	}
}

// TestAttemptsAreHeldAgainstTheirEntriesPageByPage checks more attempts than are remembered at a time, and finds
// the only one that has no entry.
func TestAttemptsAreHeldAgainstTheirEntriesPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := pgx.Connect(t.Context(), w.db.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	e := w.accept(t, newChild(), nil)
	w.try(t, e, hub.Delivered)
	const many = 40_000
	began := time.Now().UTC().Truncate(time.Microsecond).Add(-40 * time.Minute)
	attempts, entries := make([][]any, 0, many), make([][]any, 0, many)
	for n := range int32(many) {
		at := began.Add(time.Duration(n) * 50 * time.Millisecond)
		id := uuid.Must(uuid.NewV7())
		for i := range 6 {
			id[i] = byte(at.UnixMilli() >> (40 - 8*i))
		}
		j := journal.Entry{
			ID: id, At: at.Add(time.Second), Kind: journal.AttemptSettled, Environment: hub.Prod, Message: e.message, Delivery: e.transmission,
			Attempt: n + 2, Outcome: "retrying", Evidence: journal.Evidence{StartedAt: at, Hub: "test"},
		}
		entries = append(entries, []any{j.ID, j.At, int16(j.Kind), j.Message, j.Bytes()})
		attempts = append(attempts, []any{e.transmission, n + 2, at, time.Second, "retrying", uuid.New()})
	}
	attempts = append(attempts, []any{e.transmission, int32(many + 2), began.Add(10 * time.Minute), time.Second, "retrying", uuid.New()})
	copyRows(t, conn, pgx.Identifier{"hub", "journal_entry"}, []string{"id", "at", "kind", "message_id", "body"}, entries)
	copyRows(t, conn, pgx.Identifier{"hub", "attempt"}, []string{"delivery_id", "number", "started_at", "took", "state", "lease"}, attempts)
	if _, err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO hub.journal_queue (entry_id, entry_at)
		SELECT j.id, j.at FROM hub.journal_entry j ON CONFLICT DO NOTHING; UPDATE hub.delivery SET attempts = %d, state = 'retrying', settled_at = NULL, due_at = now()`, many+2)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l, err := replay.CheckLedger(t.Context(), w.store, &replay.Options{
		Range: replay.Range{From: now.Add(-time.Hour), To: now.Add(time.Hour)}, Began: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	var found []replay.LedgerRow
	for _, r := range l.Rows {
		if strings.HasPrefix(r.Columns[0], "hub.attempt") {
			found = append(found, r)
		}
	}
	if len(found) != 1 || found[0].Attempt != many+2 || *found[0].Delivery != e.transmission || l.Attempts != many+1 {
		t.Errorf("%d attempts, found %+v", l.Attempts, found)
	}
}

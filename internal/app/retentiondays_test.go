package app_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// simulatedDays is how long the hub of the test lives.
const simulatedDays = 90

// kept is one record that the test wrote, in a class of retention.
type kept struct {
	at time.Time
	// message is the event that it belongs to, the nil id if to none.
	message uuid.UUID
	// leafless says that an entry never gets its leaf.
	leafless bool
}

// calendar is a hub whose days the test makes, and all that was ever written into it: what must be there
// on a day is reckoned from that, and not by what the database counts.
type calendar struct {
	db     hubtest.DB
	admin  *pgx.Conn
	policy config.Retention
	store  *postgres.Store
	stop   func()
	ente   int32
	now    time.Time

	written map[postgres.RetentionClass]map[string]kept
	// states are those of all events' deliveries.
	states map[uuid.UUID]hub.DeliveryState
	events map[uuid.UUID]*postgres.Acceptance
}

// newCalendar begins on the third of November of a year to come, so that a year ends within the days.
func newCalendar(t *testing.T) *calendar {
	t.Helper()
	db := hubtest.Database(t)
	admin, err := pgx.Connect(t.Context(), db.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	c := &calendar{
		db: db, admin: admin, now: time.Date(time.Now().Year()+2, time.November, 3, 12, 0, 0, 0, time.UTC),
		policy: config.Retention{Hour: 4, Messages: 1, Attempts: 1, Journal: 12, Refusals: 30, Cases: 5, Reconciliations: 14},
		states: map[uuid.UUID]hub.DeliveryState{}, events: map[uuid.UUID]*postgres.Acceptance{},
		written: map[postgres.RetentionClass]map[string]kept{},
	}
	for _, class := range postgres.RetentionClasses() {
		c.written[class] = map[string]kept{}
	}
	if err := admin.QueryRow(t.Context(), `INSERT INTO hub.ente (environment, code, zone, region)
VALUES (1, 'ENTE-1', 'ZONA-1', '17') RETURNING id`).Scan(&c.ente); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *calendar) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := c.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// open lets a hub start on the day that it is.
func (c *calendar) open(t *testing.T) {
	t.Helper()
	offset := fmt.Sprintf("%d seconds", int64(time.Until(c.now).Seconds()))
	c.exec(t, "ALTER DATABASE "+c.db.Name+" SET hub.clock_offset = '"+offset+"'")
	c.exec(t, "SELECT set_config('hub.clock_offset', $1, false)", offset)
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: c.db.App, Connections: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Run(ctx)
	}()
	c.store, c.stop = store, func() {
		cancel()
		<-done
		store.Close()
	}
	if err := store.EnsurePartitions(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
}

// past writes what a hub has that is years old: entries of all days of fifteen months, comparisons, and
// cases that ended in several years.
func (c *calendar) past(t *testing.T) {
	t.Helper()
	began := c.now
	for months := 16; months > 0; months-- {
		offset := fmt.Sprintf("%d seconds", int64(time.Until(began.AddDate(0, -months, 0)).Seconds()))
		c.exec(t, "SELECT set_config('hub.clock_offset', $1, false)", offset)
		c.exec(t, "SELECT hub.ensure_partitions(1)")
	}
	for day := began.AddDate(0, -15, 0); day.Before(began); day = day.AddDate(0, 0, 1) {
		id := uuid.Must(uuid.NewV7())
		c.exec(t, "INSERT INTO hub.journal_entry (id, at, kind, body) VALUES ($1, $2, 3, '')", id, day)
		c.exec(t, "INSERT INTO hub.journal_queue (entry_id, entry_at) VALUES ($1, $2)", id, day)
		c.written[postgres.RetainJournal][id.String()] = kept{at: day}
		c.compared(t, day)
	}
	for day := began.AddDate(-7, 0, 0); day.Before(began.AddDate(-4, 0, 0)); day = day.AddDate(0, 0, 9) {
		c.file(t, day)
	}
}

// compared notes a comparison with SISS.
func (c *calendar) compared(t *testing.T, day time.Time) {
	t.Helper()
	c.exec(t, "INSERT INTO hub.reconciliation_day (environment, day, state, checked_at) VALUES (1, $1, 'equal', $2)", day, day)
	c.written[postgres.RetainReconciliations][day.Format(time.DateOnly)] = kept{at: day}
}

// file writes a case whose one event came on a day; every third waits for SISS to this day.
func (c *calendar) file(t *testing.T, day time.Time) {
	t.Helper()
	id, message := uuid.New(), uuid.Must(uuid.NewV7())
	state := hub.Delivered
	if len(c.written[postgres.RetainCases])%3 == 0 {
		state = hub.Parked
	}
	c.exec(t, `INSERT INTO hub.case_file (id, environment, ente_id, case_index, index_epoch, subject_id, sealed_ids, events, created_at,
  last_event_at, state, status, incongruent, facts_epoch) VALUES ($1, 1, $2, sha256($3), 1, $1, '', 1, $4, $4, '', 1, 0, 1)`,
		id, c.ente, id[:], day)
	c.exec(t, `INSERT INTO hub.event_key (environment, ente_id, event_id, receipt_id, received_at, registration_id, outcome, content_mac, commitment)
VALUES (1, $2, $1, $1, $3, $1, 1, sha256(''), sha256(''))`, message, c.ente, day)
	c.exec(t, `INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type, operation,
  sequence, position, facts, schema_version, mapping_version, rules_version, region_epoch, body_format, body)
VALUES ($1, $2, 1, 1, $3, $1, $4, $4, 'SEGNALAZIONE', 'I', 1, 1, '', '1.0', 1, 1, 1, 1, '')`, message, day, c.ente, id)
	c.exec(t, `INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts,
  changed_at, settled_at) VALUES ($1, $1, 1, $2, 1, 1, $3, 1, $4, 1, $3, $3)`, message, id, day, state)
	c.written[postgres.RetainCases][id.String()] = kept{at: day, message: message}
	c.states[message] = state
}

// leaves gives every entry that waits for one its leaf, but those that never get one.
func (c *calendar) leaves(t *testing.T) {
	t.Helper()
	var never []string
	for id, e := range c.written[postgres.RetainJournal] {
		if e.leafless {
			never = append(never, id)
		}
	}
	for id, e := range c.written[postgres.RetainRefusals] {
		if e.leafless {
			never = append(never, id)
		}
	}
	c.exec(t, `
WITH taken AS (DELETE FROM hub.journal_queue WHERE NOT entry_id = ANY ($1::uuid[]) RETURNING entry_id, entry_at), base AS (
  SELECT coalesce(max(leaf_index) + 1, 0) AS next FROM hub.journal_leaf
)
INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
SELECT base.next + row_number() OVER () - 1, taken.entry_id, taken.entry_at, 0, 0, base.next + row_number() OVER ()
FROM taken CROSS JOIN base`, never)
}

// accept takes an event through the store and brings its delivery into a state, as SISS would.
func (c *calendar) accept(t *testing.T, state hub.DeliveryState) *postgres.Acceptance {
	t.Helper()
	digest := sha256.Sum256([]byte(uuid.NewString()))
	id := uuid.Must(uuid.NewV7())
	a := &postgres.Acceptance{
		Key: postgres.Key{Environment: hub.Prod, Ente: c.ente, Event: uuid.New()}, Participant: 1,
		ReceiptID: id, ReceivedAt: c.now, ContentMAC: digest, Commitment: digest, Subject: uuid.New(),
		Case: postgres.AcceptedCase{ID: uuid.New(), Index: digest, SealedIDs: []byte("sealed"), FactsEpoch: 1, NationEpoch: 1, New: true},
		Type: sinba.AperturaCartella, Operation: sinba.Inserimento, Sequence: 1,
		SchemaVersion: "1.0", MappingVersion: 1, RulesVersion: 1, RegionEpoch: 1, NationEpoch: 1,
		Sealed: postgres.Sealed{Epoch: uuid.New(), Bytes: []byte("sealed message"), Digest: digest},
		Body:   []byte("<EventoRegionale/>"), TransmissionID: uuid.New(),
		Entry: journal.Entry{
			ID: uuid.Must(uuid.NewV7()), At: c.now, Kind: journal.EventAccepted, Environment: hub.Prod, Participant: 1, Ente: c.ente,
			Message: id, Sealed: digest, Commitment: digest,
		},
	}
	if got, err := c.store.Accept(t.Context(), a); err != nil || got.Status != postgres.StatusAccepted {
		t.Fatalf("accept: %+v, %v", got, err)
	}
	c.written[postgres.RetainMessages][id.String()] = kept{at: c.now, message: id}
	c.written[postgres.RetainJournal][a.Entry.ID.String()] = kept{at: c.now, message: id}
	c.written[postgres.RetainCases][a.Case.ID.String()] = kept{at: c.now, message: id}
	c.events[id] = a
	c.settle(t, id, state)
	return a
}

// settle tries what is due, and ends the attempt of one event with a state. What is not to be tried again
// on its own is put off for a year.
func (c *calendar) settle(t *testing.T, message uuid.UUID, state hub.DeliveryState) {
	t.Helper()
	c.states[message] = state
	if state == hub.Pending {
		c.exec(t, "UPDATE hub.delivery SET due_at = hub.hub_now() + interval '1 year' WHERE message_id = $1", message)
		return
	}
	claimed, err := c.store.Claim(t.Context(), postgres.ClaimQuery{Environment: hub.Prod, Owner: uuid.New(), Limit: 10, Lease: time.Minute})
	if err != nil || len(claimed) != 1 || claimed[0].Message != message {
		t.Fatalf("claimed %d: %v", len(claimed), err)
	}
	one := claimed[0]
	if state == hub.Sending {
		c.exec(t, "UPDATE hub.delivery SET due_at = hub.hub_now() + interval '1 year' WHERE message_id = $1", message)
		return
	}
	entry := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: c.now, Kind: journal.AttemptSettled, Environment: hub.Prod, Message: message,
		Delivery: one.ID, Attempt: one.Attempt, Outcome: string(state),
	}
	if err := c.store.Settle(t.Context(), &postgres.Settlement{
		Delivery: one.ID, Lease: one.Lease, State: state, RetryIn: 365 * 24 * time.Hour, StartedAt: c.now, Took: time.Second, Entry: entry,
	}); err != nil {
		t.Fatal(err)
	}
	c.written[postgres.RetainAttempts][one.ID.String()+strconv.Itoa(int(one.Attempt))] = kept{at: c.now, message: message}
	c.written[postgres.RetainJournal][entry.ID.String()] = kept{at: c.now, message: message}
}

// refuse journals a refused request; every tenth never gets a leaf.
func (c *calendar) refuse(t *testing.T) {
	t.Helper()
	// not on the very edge of a day's run
	at := c.now.Add(-time.Hour)
	e := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: at, Kind: journal.RequestRefused, Environment: hub.Prod, Codes: []hub.Code{"SINBA_001"}}
	if err := c.store.Journal(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	c.written[postgres.RetainRefusals][e.ID.String()] = kept{at: at, leafless: len(c.written[postgres.RetainRefusals])%10 == 0}
}

// monthGone tells whether a month of so many months' keeping has gone by now.
func (c *calendar) monthGone(at time.Time, months int) bool {
	end := time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	return !end.AddDate(0, months, 0).After(c.now)
}

// back is the day so many months ago, in a shorter month its last.
func back(day time.Time, months int) time.Time {
	first := time.Date(day.Year(), day.Month()-time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	return first.AddDate(0, 0, min(day.Day(), first.AddDate(0, 1, -1).Day())-1)
}

// over tells whether a record must be gone today.
func (c *calendar) over(class postgres.RetentionClass, k kept) bool {
	state, known := c.states[k.message]
	if known && state != hub.Delivered && state != hub.Refused || k.leafless {
		return false
	}
	switch class {
	case postgres.RetainMessages:
		return c.monthGone(k.at, c.policy.Messages)
	case postgres.RetainAttempts:
		return c.monthGone(k.at, c.policy.Attempts)
	case postgres.RetainJournal:
		return c.monthGone(k.at, c.policy.Journal)
	case postgres.RetainRefusals:
		return k.at.Before(c.now.AddDate(0, 0, -c.policy.Refusals))
	case postgres.RetainCases:
		return k.at.Year() < c.now.Year()-c.policy.Cases
	case postgres.RetainReconciliations:
		return k.at.Before(back(c.now, c.policy.Reconciliations))
	}
	return false
}

// stored are the ids of a class that the database has.
func (c *calendar) stored(t *testing.T, class postgres.RetentionClass) map[string]bool {
	t.Helper()
	query := map[postgres.RetentionClass]string{
		postgres.RetainMessages:        "SELECT id::text FROM hub.message",
		postgres.RetainAttempts:        "SELECT delivery_id::text || number FROM hub.attempt",
		postgres.RetainJournal:         "SELECT id::text FROM hub.journal_entry WHERE kind NOT IN (2, 14)",
		postgres.RetainRefusals:        "SELECT id::text FROM hub.journal_entry WHERE kind = 2",
		postgres.RetainCases:           "SELECT id::text FROM hub.case_file",
		postgres.RetainReconciliations: "SELECT day::text FROM hub.reconciliation_day",
	}[class]
	rows, err := c.admin.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, id := range ids {
		found[id] = true
	}
	return found
}

// check compares every class with what must be there, and gives the oldest record that nothing holds.
func (c *calendar) check(t *testing.T) map[postgres.RetentionClass]time.Time {
	t.Helper()
	oldest := map[postgres.RetentionClass]time.Time{}
	for _, class := range postgres.RetentionClasses() {
		stored := c.stored(t, class)
		expected := 0
		for id, k := range c.written[class] {
			gone := c.over(class, k)
			if gone == stored[id] {
				t.Errorf("%s: %s of %s: there %v, must be gone %v", c.now.Format(time.DateOnly), class, k.at.Format(time.DateOnly), stored[id], gone)
			}
			if gone {
				continue
			}
			expected++
			state, known := c.states[k.message]
			held := k.leafless || known && state != hub.Delivered && state != hub.Refused
			if first := oldest[class]; !held && (first.IsZero() || k.at.Before(first)) {
				oldest[class] = k.at
			}
		}
		if len(stored) != expected {
			t.Errorf("%s: %d %s are there, want %d", c.now.Format(time.DateOnly), len(stored), class, expected)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return oldest
}

// For ninety days events come, are delivered, refused, and get stuck in every way; retention runs every
// day. On each of them exactly what must be there is there, of every class, and the figure of the oldest
// record is that of the oldest. What was held is shown, told, repeated and delivered as ever, and then it
// goes, too.
func TestRetentionOverNinetyDays(t *testing.T) {
	t.Parallel()
	c := newCalendar(t)
	c.past(t)
	stuck := []hub.DeliveryState{hub.Pending, hub.Sending, hub.Retrying, hub.Uncertain, hub.Dead, hub.Parked}
	runs := 0
	for day := range simulatedDays {
		c.open(t)
		c.accept(t, hub.Delivered)
		if day%3 == 0 {
			c.accept(t, hub.Refused)
		}
		if day%2 == 0 {
			c.accept(t, stuck[day/2%len(stuck)])
		}
		c.refuse(t)
		c.compared(t, c.now)
		c.leaves(t)
		today := c.now.Truncate(24 * time.Hour)
		if err := app.Retire(t.Context(), c.store, c.policy, today, func() time.Time { return c.now }); err != nil {
			t.Fatalf("%s: %v", c.now, err)
		}
		runs++
		if err := app.Retire(t.Context(), c.store, c.policy, today, func() time.Time { return c.now }); !errors.Is(err, postgres.ErrNoTurn) {
			t.Fatalf("a second run on the same day: %v", err)
		}
		c.figures(t, c.check(t))
		c.stop()
		c.now = c.now.AddDate(0, 0, 1)
	}
	if runs != simulatedDays {
		t.Fatalf("%d runs", runs)
	}
	over := c.gone()
	for _, class := range postgres.RetentionClasses() {
		if over[class] == 0 {
			t.Errorf("no %s were ever over", class)
		}
	}
	c.open(t)
	defer func() { c.stop() }()
	c.useHeld(t)
}

// figures compares what Prometheus is told with what is there.
func (c *calendar) figures(t *testing.T, oldest map[postgres.RetentionClass]time.Time) {
	t.Helper()
	measures, succeeded, err := c.store.RetentionMeasures(t.Context())
	if err != nil || len(measures) != len(postgres.RetentionClasses()) || succeeded.IsZero() {
		t.Fatalf("%d measures, %v, %v", len(measures), succeeded, err)
	}
	for _, m := range measures {
		want := c.now.Sub(oldest[m.Class])
		if m.Class == postgres.RetainReconciliations {
			want = c.now.Sub(oldest[m.Class].Truncate(24 * time.Hour))
		}
		if oldest[m.Class].IsZero() {
			want = 0 // there is none
		}
		// The hub tells whole seconds, and the test took some since the day began.
		if off := m.Age - want; off < -10*time.Minute || off > 10*time.Minute || oldest[m.Class].IsZero() && m.Age != 0 {
			t.Errorf("%s: the oldest of %s is %v old, told %v", c.now.Format(time.DateOnly), m.Class, want, m.Age)
		}
	}
}

// useHeld does with what is held of the first month what vendors and operators do, delivers it, and sees
// it go.
func (c *calendar) useHeld(t *testing.T) {
	t.Helper()
	used := map[hub.DeliveryState]int{}
	for id, a := range c.events {
		state := c.states[id]
		if state == hub.Delivered || state == hub.Refused || !c.monthGone(a.ReceivedAt, c.policy.Messages) {
			continue
		}
		used[state]++
		got, err := c.store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{c.ente}, Receipt: id})
		if err != nil || got.State != state {
			t.Errorf("statoEvento of a held %s: %+v, %v", state, got, err)
		}
		again := *a
		again.ReceiptID = uuid.Must(uuid.NewV7())
		if result, err := c.store.Accept(t.Context(), &again); err != nil || result.Status != postgres.StatusDuplicate {
			t.Errorf("repetition of a held %s: %+v, %v", state, result, err)
		}
		shown, err := c.store.ShowDelivery(t.Context(), a.TransmissionID)
		tries := 1
		if state == hub.Pending || state == hub.Sending {
			tries = 0
		}
		if err != nil || len(shown.Tries) != tries {
			t.Errorf("show of a held %s: %v, %v", state, shown, err)
		}
		c.exec(t, `UPDATE hub.delivery SET due_at = hub.hub_now() - interval '1 second', settled_at = NULL, lease = NULL, owner = NULL,
  state = CASE WHEN attempts = 0 THEN 'pending' ELSE 'uncertain' END WHERE message_id = $1`, id)
		c.settle(t, id, hub.Delivered)
	}
	if len(used) != 6 {
		t.Errorf("held of the first month: %v", used)
	}
	c.leaves(t)
	if err := app.Retire(t.Context(), c.store, c.policy, time.Time{}, func() time.Time { return c.now }); err != nil {
		t.Fatal(err)
	}
	c.check(t)
}

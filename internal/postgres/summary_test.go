package postgres_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// acceptedAt accepts an event and lets it have been received at an instant: partitions of messages
// reach back to the last month only.
func acceptedAt(t *testing.T, store *postgres.Store, super *pgx.Conn, a *postgres.Acceptance, received string) *postgres.Acceptance {
	t.Helper()
	accept(t, store, a)
	if _, err := super.Exec(t.Context(), "UPDATE hub.event SET received_at = $2::text::timestamptz WHERE id = $1", a.ReceiptID, received); err != nil {
		t.Fatal(err)
	}
	return a
}

// period asks for what ente 1 sent from a day to a day.
func period(from, to string) postgres.SummaryQuery {
	return postgres.SummaryQuery{Environment: hub.Prod, Ente: 1, From: from, To: to}
}

func summary(t *testing.T, store *postgres.Store, q postgres.SummaryQuery) postgres.Summary {
	t.Helper()
	page, err := store.Summary(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// digestOf is Impronta as deploy/docs/vendors.md tells to compute it.
func digestOf(events ...*postgres.Acceptance) string {
	lines := make([]string, len(events))
	for i, a := range events {
		lines[i] = strings.ToLower(a.Key.Event.String())
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n") + "\n"))
	return hex.EncodeToString(sum[:])
}

func TestSummaryCountsByDayOfEuropeRomeAndType(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	// 23:30 UTC is the next day in Italy; the clocks go back in the night to 29 October 2023, a day
	// of 25 hours.
	acceptedAt(t, store, super, acceptance(1), "2023-10-28T21:59:59.999999Z")
	first := acceptedAt(t, store, super, acceptance(1), "2023-10-28T22:00:00Z")
	second := acceptedAt(t, store, super, acceptance(1), "2023-10-29T22:59:59.999999Z")
	other := follow(first, 2)
	acceptedAt(t, store, super, other, "2023-10-29T10:00:00Z")
	acceptedAt(t, store, super, acceptance(1), "2023-10-29T23:00:00Z")
	acceptedAt(t, store, super, acceptance(2), "2023-10-29T10:00:00Z")
	want := []postgres.DayTotal{
		{Day: "2023-10-29", Type: "APERTURA_CARTELLA", Events: 2, Digest: digestOf(first, second)},
		{Day: "2023-10-29", Type: "SEGNALAZIONE", Events: 1, Digest: digestOf(other)},
	}
	page := summary(t, store, period("2023-10-29", "2023-10-29"))
	if diff := cmp.Diff(want, page.Totals); diff != "" {
		t.Error(diff)
	}
	var told []uuid.UUID
	for _, e := range page.Events {
		told = append(told, e.Event)
	}
	if diff := cmp.Diff([]uuid.UUID{first.Key.Event, other.Key.Event, second.Key.Event}, told); diff != "" {
		t.Error(diff)
	}
	days := []string{}
	for _, total := range summary(t, store, period("2023-10-28", "2023-10-30")).Totals {
		days = append(days, total.Day)
	}
	if diff := cmp.Diff([]string{"2023-10-28", "2023-10-29", "2023-10-29", "2023-10-30"}, days); diff != "" {
		t.Error(diff)
	}
}

// Every state a vendor can be told of is the same word as statoEvento's.
func TestSummaryTellsTheStateThatStatoEventoTells(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	var all []*postgres.Acceptance
	super := superuser(t, db)
	for _, state := range []string{
		"state = 'pending'",
		"state = 'delivered', attempts = 1, settled_at = now(), due_at = NULL",
		"state = 'refused', attempts = 1, settled_at = now(), due_at = NULL",
		"state = 'retrying', attempts = 1",
		"state = 'dead', attempts = 1, settled_at = now(), due_at = NULL",
	} {
		a := acceptance(1)
		accept(t, store, a)
		if _, err := super.Exec(t.Context(), "UPDATE hub.delivery SET "+state+" WHERE id = $1", a.TransmissionID); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	// The second one is annulled, and the annulment confirmed.
	annulment := follow(all[1], 2)
	annulment.Type, annulment.Operation, annulment.RefersTo = all[1].Type, sinba.Annullamento, all[1].Key.Event
	accept(t, store, annulment)
	if _, err := super.Exec(t.Context(), "UPDATE hub.delivery SET state = 'delivered', attempts = 1, settled_at = now(), due_at = NULL WHERE id = $1", annulment.TransmissionID); err != nil {
		t.Fatal(err)
	}
	// The third one was sent again by an operator after its refusal.
	if _, err := super.Exec(t.Context(), `INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position,
		received_at, nation_epoch, state, attempts, changed_at, due_at)
		SELECT gen_random_uuid(), message_id, environment, case_id, sequence, position, received_at, nation_epoch,
		'pending', 0, now(), now() FROM hub.delivery WHERE id = $1`, all[2].TransmissionID); err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC()
	page := summary(t, store, period(day.AddDate(0, 0, -1).Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)))
	words := map[string]bool{}
	for _, e := range page.Events {
		state, err := store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{1}, Event: e.Event})
		if err != nil {
			t.Fatal(err)
		}
		if e.Stato() != state.Stato() || !e.At.Equal(state.At) || e.Place.Receipt != state.Receipt {
			t.Errorf("riepilogo %s %v, stato %s %v", e.Stato(), e.At, state.Stato(), state.At)
		}
		words[e.Stato()] = true
	}
	for _, word := range []string{"MEMORIZZATO", "ANNULLATO", "CONFERMATO", "IN_INOLTRO", "DA_VERIFICARE"} {
		if !words[word] {
			t.Errorf("no event is %s", word)
		}
	}
	if len(page.Events) != 6 {
		t.Errorf("%d events", len(page.Events))
	}
}

// Pages give every event once, in one order, though others arrive meanwhile and many have one
// instant.
func TestSummaryPagesAreStableWhileEventsArrive(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, super := open(t, db), superuser(t, db)
	accept(t, store, acceptance(1)) // makes what the bulk is copied from
	if _, err := super.Exec(t.Context(), bulkSQL, 2*postgres.PageSize+5, "2024-03-01T10:00:00Z", "0"); err != nil {
		t.Fatal(err)
	}
	q := period("2024-03-01", "2024-03-31")
	seen := map[uuid.UUID]bool{}
	var sizes []int
	var last postgres.Place
	for {
		page := summary(t, store, q)
		sizes = append(sizes, len(page.Events))
		if (q.After == postgres.Place{}) != (len(page.Totals) > 0) {
			t.Errorf("page %d has %d totals", len(sizes), len(page.Totals))
		}
		for _, e := range page.Events {
			if seen[e.Event] {
				t.Fatal("an event twice")
			}
			seen[e.Event] = true
			if e.Place.ReceivedAt.Before(last.ReceivedAt) {
				t.Fatal("out of order")
			}
			last = e.Place
		}
		if page.Next == (postgres.Place{}) {
			break
		}
		q.After = page.Next
		acceptedAt(t, store, super, acceptance(1), "2024-03-02T10:00:00Z")
	}
	if diff := cmp.Diff([]int{postgres.PageSize, postgres.PageSize, 7}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestSummaryOfExactlyOnePageHasNoNext(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	accept(t, store, acceptance(1))
	if _, err := superuser(t, db).Exec(t.Context(), bulkSQL, postgres.PageSize, "2024-03-01T10:00:00Z", "1 second"); err != nil {
		t.Fatal(err)
	}
	page := summary(t, store, period("2024-03-01", "2024-03-01"))
	if len(page.Events) != postgres.PageSize || page.Next != (postgres.Place{}) {
		t.Errorf("%d events, next %v", len(page.Events), page.Next)
	}
}

func TestSummaryTellsTheNumbersThatACaseMisses(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	first := acceptance(1)
	first.Sequence = 3
	accept(t, store, first)
	for _, number := range []int32{3, 7, 4} {
		accept(t, store, follow(first, number))
	}
	whole, far := acceptance(1), acceptance(1)
	accept(t, store, whole)
	far.Sequence = math.MaxInt32
	accept(t, store, far)
	many := make([]int32, 1000)
	for i := range many {
		many[i] = int32(i + 1)
	}
	for name, tt := range map[string]struct {
		index [32]byte
		want  []int32
	}{
		"gaps": {first.Case.Index, []int32{1, 2, 5, 6}}, "none": {whole.Case.Index, nil}, "bounded": {far.Case.Index, many}, "not asked": {},
	} {
		q := period("2024-01-01", "2024-01-01")
		q.CaseIndex = tt.index
		if diff := cmp.Diff(tt.want, summary(t, store, q).Missing); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// The case of another ente, and of the other environment, is none.
	for _, q := range []postgres.SummaryQuery{
		{Environment: hub.Prod, Ente: 2, From: "2024-01-01", To: "2024-01-01", CaseIndex: first.Case.Index},
		{Environment: hub.Test, Ente: 1, From: "2024-01-01", To: "2024-01-01", CaseIndex: first.Case.Index},
	} {
		_, err := store.Summary(t.Context(), q)
		refusal, ok := errors.AsType[*hub.Error](err)
		if !ok || refusal.Kind != hub.NotFound || refusal.Public[0].Code != hub.CodeUnknownCase {
			t.Errorf("%v", err)
		}
	}
}

// bulkSQL copies the only event, and its delivery, $1 times from instant $2 on, $3 apart.
const bulkSQL = `
WITH e AS (
  INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id,
    subject_id, type, operation, refers_to, sequence, position, schema_version,
    mapping_version, rules_version, region_epoch, body_format, body, facts)
  SELECT gen_random_uuid(), $2::timestamptz + n * $3::interval, e.environment, e.participant_id, e.ente_id,
    gen_random_uuid() AS event_id, gen_random_uuid() AS case_id, e.subject_id, e.type, e.operation, NULL, 1, 1, e.schema_version,
    e.mapping_version, e.rules_version, e.region_epoch, e.body_format, e.body, e.facts
  FROM (SELECT hub.event.id FROM hub.event LIMIT 1) AS first JOIN hub.event e ON e.id = first.id CROSS JOIN generate_series(1, $1::integer) AS n
  RETURNING id, case_id, received_at, environment
)
INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position,
  received_at, nation_epoch, state, attempts, changed_at, settled_at)
SELECT gen_random_uuid(), e.id, e.environment, e.case_id, 1, 1, e.received_at, 1, 'delivered', 1, e.received_at, e.received_at
FROM e`

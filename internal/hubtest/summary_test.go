//go:build e2e

package hubtest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/client"
)

// TestE2ESummaryPagesThroughAnEntesEvents goes through more than two pages with pkg/client, computes
// the totals again from them, and takes a cursor where it does not belong.
func TestE2ESummaryPagesThroughAnEntesEvents(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	c := goClient(t, h, hubtest.ChildEnte)
	const many = 2100
	if _, err := c.InviaEvento(t.Context(), hubtest.Child(700).Event(uuid.New(), 1)); err != nil {
		t.Fatal(err)
	}
	db := h.Superuser()
	hubtest.AwaitDelivered(t, db, time.Minute)
	copyEvents(t, db, many)

	day := time.Now()
	q := client.SummaryQuery{CodiceEnte: hubtest.ChildEnte, Dal: day.AddDate(0, 0, -60), Al: day.AddDate(0, 0, 1)}
	var ids []string
	var totals []client.DayTotal
	var cursors []string
	for {
		page, err := c.RiepilogoEventi(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		totals = append(totals, page.Totali...)
		for _, e := range page.Voci {
			ids = append(ids, e.IDEvento)
			if e.Stato != "CONFERMATO" {
				t.Fatalf("%+v", e)
			}
		}
		if page.Cursore == "" {
			break
		}
		if page.Cursore == q.Cursore || len(page.Voci) != 1000 {
			t.Fatalf("%d events and the cursor %q", len(page.Voci), page.Cursore)
		}
		cursors = append(cursors, page.Cursore)
		q.Cursore = page.Cursore
	}
	slices.Sort(ids)
	if len(ids) != many+1 || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("%d events, want %d, each once", len(ids), many+1)
	}
	sum := 0
	for _, total := range totals {
		sum += total.Numero
	}
	if sum != len(ids) {
		t.Errorf("%d counted, %d listed", sum, len(ids))
	}
	// All copies are of one day and type.
	digest := sha256.Sum256([]byte(strings.Join(copiedIDs(t, db), "\n") + "\n"))
	if !slices.ContainsFunc(totals, func(d client.DayTotal) bool { return d.Impronta == hex.EncodeToString(digest[:]) && d.Numero == many }) {
		t.Errorf("no total has the digest of the copied events: %+v", totals)
	}
	refuseCursors(t, h, q, cursors[0])
}

// refuseCursors takes a cursor to other questions, and changes it.
func refuseCursors(t *testing.T, h *hubtest.Hub, q client.SummaryQuery, cursor string) {
	t.Helper()
	ours, theirs := goClient(t, h, hubtest.ChildEnte), goClient(t, h, "SDS-FI")
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(cursor) > 100 {
		t.Fatal(len(cursor), err)
	}
	forged := slices.Clone(raw)
	forged[3] ^= 1
	for name, tt := range map[string]struct {
		client *client.Client
		change func(*client.SummaryQuery)
	}{
		"another ente":   {theirs, func(q *client.SummaryQuery) { q.CodiceEnte = "SDS-FI" }},
		"another period": {ours, func(q *client.SummaryQuery) { q.Dal = q.Dal.AddDate(0, 0, 1) }},
		"forged":         {ours, func(q *client.SummaryQuery) { q.Cursore = base64.RawURLEncoding.EncodeToString(forged) }},
		"cut":            {ours, func(q *client.SummaryQuery) { q.Cursore = cursor[:len(cursor)-1] }},
		"longer":         {ours, func(q *client.SummaryQuery) { q.Cursore = cursor + "AA" }},
		"garbled":        {ours, func(q *client.SummaryQuery) { q.Cursore = "'; DROP TABLE hub.event; --" }},
	} {
		question := q
		question.Cursore = cursor
		tt.change(&question)
		_, err := tt.client.RiepilogoEventi(t.Context(), question)
		fault, ok := errors.AsType[*client.FaultError](err)
		if !ok || len(fault.Anomalie) != 1 || fault.Anomalie[0].Codice != "SINBA_107" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// copyEvents copies the only event, delivered, n times, all of one day a month ago.
func copyEvents(t *testing.T, db *pgx.Conn, n int) {
	t.Helper()
	if _, err := db.Exec(t.Context(), `
WITH e AS (
  INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id,
    subject_id, type, operation, refers_to, sequence, position, schema_version,
    mapping_version, rules_version, region_epoch, body_format, body, facts)
  SELECT gen_random_uuid(), date_trunc('day', now()) - interval '30 days' + interval '12 hours', e.environment, e.participant_id, e.ente_id,
    gen_random_uuid() AS event_id, gen_random_uuid() AS case_id, e.subject_id, e.type, e.operation, NULL, 1, 1, e.schema_version,
    e.mapping_version, e.rules_version, e.region_epoch, e.body_format, e.body, e.facts
  FROM (SELECT hub.event.id FROM hub.event LIMIT 1) AS first JOIN hub.event e ON e.id = first.id CROSS JOIN generate_series(1, $1::integer) AS n
  RETURNING id, case_id, received_at, environment
)
INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position,
  received_at, nation_epoch, state, attempts, changed_at, settled_at)
SELECT gen_random_uuid(), e.id, e.environment, e.case_id, 1, 1, e.received_at, 1, 'delivered', 1, e.received_at, e.received_at
FROM e`, n); err != nil {
		t.Fatal(err)
	}
}

// copiedIDs are the sorted IdEvento of the copies.
func copiedIDs(t *testing.T, db *pgx.Conn) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT event_id::text FROM hub.event WHERE received_at < now() - interval '7 days'")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

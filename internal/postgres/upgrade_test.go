package postgres_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// firstVersion is that of the first hub that ran.
const firstVersion = 6

// What a claim after the upgrade must make of a delivery.
const (
	claimedSure = "claimed"
	claimedAsk  = "claimed, to be asked about"
	waits       = "waits"
)

// oldRow is a delivery as an older hub left it.
type oldRow struct {
	name, state   string
	attempts      int
	due           string
	lease, behind bool
	settled       bool
	// becomes is what a claim makes of it at once, and later once what was before it is done.
	becomes string
}

// oldRows are deliveries in every state, work in flight above all.
func oldRows() []oldRow {
	return []oldRow{
		{name: "pending", state: "pending", due: "-1 minute", becomes: claimedSure},
		{name: "pending behind pending", state: "pending", due: "-1 minute", behind: true, becomes: waits},
		{name: "sending, killed", state: "sending", attempts: 1, due: "-1 second", lease: true, becomes: claimedAsk},
		{name: "pending behind sending", state: "pending", due: "-1 minute", behind: true, becomes: waits},
		{name: "sending, alive", state: "sending", attempts: 1, due: "1 hour", lease: true, becomes: waits},
		{name: "retrying, due", state: "retrying", attempts: 3, due: "-1 second", becomes: claimedSure},
		{name: "retrying, later", state: "retrying", attempts: 3, due: "1 hour", becomes: waits},
		{name: "uncertain, due", state: "uncertain", attempts: 2, due: "-1 second", becomes: claimedAsk},
		{name: "uncertain, killed while asking", state: "uncertain", attempts: 2, due: "-1 second", lease: true, becomes: claimedAsk},
		{name: "uncertain, later", state: "uncertain", attempts: 2, due: "1 hour", becomes: waits},
		{name: "delivered", state: "delivered", attempts: 1, settled: true, becomes: waits},
		{name: "pending behind delivered", state: "pending", due: "-1 minute", behind: true, becomes: claimedSure},
		{name: "refused", state: "refused", attempts: 1, settled: true, becomes: waits},
		{name: "pending behind refused", state: "pending", due: "-1 minute", behind: true, becomes: claimedSure},
		{name: "dead", state: "dead", attempts: 9, settled: true, becomes: waits},
		{name: "pending behind dead", state: "pending", due: "-1 minute", behind: true, becomes: waits},
		{name: "parked", state: "parked", attempts: 1, settled: true, becomes: waits},
		{name: "pending behind parked", state: "pending", due: "-1 minute", behind: true, becomes: waits},
	}
}

// emptyDatabase is one of the test's own without any schema.
func emptyDatabase(t *testing.T) (postgres.DSNs, postgres.MigrateConfig) {
	t.Helper()
	admin := superuser(t, hubtest.Database(t))
	name := fmt.Sprintf("test_%d_%s", time.Now().Unix(), strings.ToLower(rand.Text()[:12]))
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	dsns := hubtest.Sibling(t, name)
	cfg := postgres.MigrateConfig{DSN: dsns.Superuser, AppPassword: passwordOf(t, dsns.App), VaultPassword: passwordOf(t, dsns.Vault)}
	t.Cleanup(func() { _, _ = admin.Exec(t.Context(), "DROP DATABASE "+name+" WITH (FORCE)") })
	return dsns, cfg
}

func passwordOf(t *testing.T, dsn string) string {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	word, _ := address.User.Password()
	return word
}

// fillOld writes one event with all its rows in the words of a version's schema.
func fillOld(t *testing.T, conn *pgx.Conn, version int64, r *oldRow, event, caseID uuid.UUID, position int) {
	t.Helper()
	id, transmission := v7(), uuid.New()
	digest := randomDigest()
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("version %d, %s: %v", version, r.name, err)
		}
	}
	run(`INSERT INTO hub.event_key (environment, ente_id, event_id, receipt_id, received_at, registration_id, outcome, content_mac, commitment)
VALUES (1, 1, $1, $2, hub.hub_now(), $3, 1, $4, $4)`, event, id, v7(), digest[:])
	caseColumns, caseValues, eventColumns, eventValues := "", "", "", ""
	if version >= 8 {
		caseColumns, caseValues = ", state, status, incongruent, facts_epoch", `, '\x0100000000000000000000', 1, 0, 1`
		eventColumns, eventValues = ", facts", `, '\x010000000000000000'`
	}
	run(`INSERT INTO hub.case_file (id, environment, ente_id, case_index, index_epoch, subject_id, sealed_ids, events, created_at, last_event_at`+caseColumns+`)
VALUES ($1, 1, 1, $2, 1, $3, 'sealed', 1, hub.hub_now(), hub.hub_now()`+caseValues+`)
ON CONFLICT (id) DO UPDATE SET events = hub.case_file.events + 1`, caseID, digest[:], uuid.New())
	run(`INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type, operation,
  sequence, position, schema_version, mapping_version, rules_version, region_epoch, body_format, body`+eventColumns+`)
VALUES ($1, hub.hub_now(), 1, 1, 1, $2, $3, $4, 'SEGNALAZIONE', 'I', $5, $5, '1.0', 1, 1, 1, 1, $6`+eventValues+`)`,
		id, event, caseID, uuid.New(), position, s2.Encode(nil, []byte(r.name)))
	run(`INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed)
VALUES ($1, hub.hub_now(), 1, 1, 1, $2, $3, 'sealed')`, id, uuid.New(), digest[:])
	run(`INSERT INTO hub.journal_entry (id, at, kind, message_id, body) VALUES ($1, hub.hub_now(), 1, $2, 'entry')`, v7(), id)
	run(`INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts,
  changed_at, due_at, lease, owner, settled_at)
VALUES ($1, $2, 1, $3, $4, $4, hub.hub_now(), 1, $5, $6, hub.hub_now(),
  hub.hub_now() + nullif($7, '')::interval, CASE WHEN $8 THEN gen_random_uuid() END, CASE WHEN $8 THEN gen_random_uuid() END,
  CASE WHEN $9 THEN hub.hub_now() END)`,
		transmission, id, caseID, position, r.state, r.attempts, r.due, r.lease, r.settled)
	if r.attempts > 0 && !r.lease {
		run(`INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease)
VALUES ($1, $2, hub.hub_now(), '1 second', $3, gen_random_uuid())`, transmission, r.attempts, r.state)
	}
}

// everything is what of the rows must not change, as text, in the order of their ids.
func everything(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
SELECT concat_ws('|', d.id, d.message_id, d.case_id, d.sequence, d.position, d.nation_epoch, d.state, d.attempts, d.due_at, d.lease, d.owner,
  d.settled_at, k.receipt_id, k.registration_id, k.content_mac, k.commitment, e.event_id, e.subject_id, e.body, m.sealed, c.events,
  (SELECT count(*) FROM hub.attempt a WHERE a.delivery_id = d.id),
  (SELECT count(*) FROM hub.journal_entry j WHERE j.message_id = d.message_id))
FROM hub.delivery d
JOIN hub.event e ON e.id = d.message_id
JOIN hub.event_key k ON k.receipt_id = e.id AND k.event_id = e.event_id
JOIN hub.message m ON m.id = e.id
JOIN hub.case_file c ON c.id = d.case_id
ORDER BY d.id`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each version since the first that ran, with work in flight in every state, is brought to this
// binary's: each row is there as it was, exactly those deliveries are claimed that should be, as
// what they should be, and the rest once its turn comes, each once.
func TestUpgradeKeepsWorkInFlight(t *testing.T) {
	t.Parallel()
	newest, err := postgres.NewestVersion()
	if err != nil {
		t.Fatal(err)
	}
	for version := int64(firstVersion); version <= newest; version++ {
		t.Run(fmt.Sprintf("from %d", version), func(t *testing.T) {
			t.Parallel()
			dsns, cfg := emptyDatabase(t)
			if err := postgres.MigrateTo(t.Context(), cfg, version); err != nil {
				t.Fatal(err)
			}
			conn := connect(t, dsns.Superuser)
			if _, err := conn.Exec(t.Context(), "INSERT INTO hub.ente (environment, code, zone, region) VALUES (1, 'ENTE-1', 'ZONA-1', '17')"); err != nil {
				t.Fatal(err)
			}
			rows := oldRows()
			events := make([]uuid.UUID, len(rows))
			var caseID uuid.UUID
			position := 1
			for i := range rows {
				events[i] = uuid.New()
				if position++; !rows[i].behind {
					caseID, position = uuid.New(), 1
				}
				fillOld(t, conn, version, &rows[i], events[i], caseID, position)
			}
			before := everything(t, conn)
			if err := postgres.Migrate(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, everything(t, conn)); diff != "" || len(before) != len(rows) {
				t.Fatalf("%d rows of %d: %s", len(before), len(rows), diff)
			}
			checkUpgraded(t, dsns, rows, events)
		})
	}
}

// checkUpgraded claims, settles and repeats what an older hub left.
func checkUpgraded(t *testing.T, dsns postgres.DSNs, rows []oldRow, events []uuid.UUID) {
	t.Helper()
	store := openWith(t, postgres.Config{DSN: dsns.App})
	if err := store.CheckVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, r := range rows {
		if r.becomes != waits {
			want[r.name] = r.becomes
		}
	}
	var again []postgres.Claimed
	for round := claim(t, store, 100); len(round) > 0; round = claim(t, store, 100) {
		for _, c := range round {
			name := string(c.Body)
			if _, twice := got[name]; twice {
				t.Errorf("%s was claimed twice", name)
			}
			got[name] = claimedSure
			if c.Uncertain {
				got[name] = claimedAsk
			}
		}
		again = append(again, round...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	for _, c := range again {
		settle(t, store, c, hub.Delivered)
	}
	later := claim(t, store, 100)
	names := make([]string, 0, len(later))
	for _, c := range later {
		names = append(names, string(c.Body))
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"pending behind pending", "pending behind sending"}, names); diff != "" {
		t.Error(diff)
	}
	for i, event := range events {
		found, err := store.Lookup(t.Context(), postgres.Query{Key: postgres.Key{Environment: hub.Prod, Ente: 1, Event: event}})
		if err != nil || found.Key == nil {
			t.Errorf("the receipt of %q is not found: %v", rows[i].name, err)
		}
	}
}

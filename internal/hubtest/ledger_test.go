//go:build smoke

package hubtest_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// row is an accepted event as the database has it.
type row struct {
	Receipt, Registration, Event, Case, Transmission uuid.UUID
	Sequence, Position                               int
	State                                            string
}

// ledger is what became of the load: in PostgreSQL and at the simulator.
type ledger struct {
	t        *testing.T
	byEvent  map[uuid.UUID]row
	received []hubtest.Received
}

// readLedger waits until all is delivered and reads both sides. The database's clock moves on what
// a killed process had under lease and what waits for another attempt.
func readLedger(t *testing.T, h *hubtest.Hub) *ledger {
	t.Helper()
	db := h.Superuser()
	advanceClock(t, db, "hub_app", "1 day")
	hubtest.AwaitDelivered(t, db, 5*time.Minute)
	rows, err := db.Query(t.Context(), `
SELECT k.receipt_id, k.registration_id, k.event_id, e.case_id, d.id, e.sequence, e.position, d.state
FROM hub.event_key k
JOIN hub.event e ON e.id = k.receipt_id
JOIN hub.delivery d ON d.message_id = k.receipt_id`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{t: t, byEvent: make(map[uuid.UUID]row, len(all)), received: h.Received()}
	for _, r := range all {
		if _, twice := l.byEvent[r.Event]; twice {
			t.Errorf("event %s has several rows", r.Event)
		}
		l.byEvent[r.Event] = r
	}
	for what, query := range map[string]string{
		"event keys without event":      "SELECT count(*) FROM hub.event_key k WHERE NOT EXISTS (SELECT FROM hub.event e WHERE e.id = k.receipt_id)",
		"events without key":            "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM hub.event_key k WHERE k.receipt_id = e.id)",
		"events without sealed message": "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM hub.message m WHERE m.id = e.id)",
		"keys without journal entry":    "SELECT count(*) FROM hub.event_key k WHERE NOT EXISTS (SELECT FROM hub.journal_entry j WHERE j.id = k.registration_id)",
		"deliveries beyond events":      "SELECT count(*) - (SELECT count(*) FROM hub.event) FROM hub.delivery",
		"events of nobody in the vault": "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM vault.subject s WHERE s.id = e.subject_id)",
		"cases of two children":         "SELECT count(*) FROM (SELECT FROM hub.event GROUP BY case_id HAVING count(DISTINCT subject_id) > 1) x",
		"children with two subjects":    "SELECT count(DISTINCT subject_id) - count(DISTINCT case_id) FROM hub.event",
		"cases with gaps":               "SELECT count(*) FROM (SELECT FROM hub.event GROUP BY case_id HAVING max(position) <> count(*)) x",
	} {
		if n := hubtest.Number(t, db, query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	return l
}

// advanceClock moves the database's clock for one role, as only tests may: its connections are
// ended, and those that take their place begin with the setting.
func advanceClock(t *testing.T, db *pgx.Conn, role, by string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), "ALTER ROLE "+role+" SET hub.clock_offset = '"+by+"'"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role); err != nil {
		t.Fatal(err)
	}
}

// check finds every receipt exactly once in PostgreSQL and at the simulator, and nothing else.
func (l *ledger) check(all []sent) (lost, doubled int) {
	l.t.Helper()
	lines := map[string]int{}
	for _, r := range l.received {
		lines[r.ID]++
		if r.Esito != "ACCETTATO" {
			l.t.Errorf("transmission %s: %s", r.ID, r.Esito)
		}
	}
	known := 0
	for _, s := range all {
		found, ok := l.byEvent[s.event]
		if ok {
			known++
		}
		if s.receipt == nil {
			continue
		}
		switch {
		case !ok || lines[found.Transmission.String()] == 0:
			lost++
			l.t.Errorf("lost: event %s, receipt %s, in the database %v", s.event, s.receipt.IDRicevuta, ok)
		case lines[found.Transmission.String()] > 1:
			doubled++
			l.t.Errorf("doubled: event %s, transmission %s", s.event, found.Transmission)
		case found.Receipt.String() != s.receipt.IDRicevuta || found.Registration.String() != s.receipt.IDRegistrazione:
			doubled++
			l.t.Errorf("event %s was given receipt %s and is stored with %s", s.event, s.receipt.IDRicevuta, found.Receipt)
		}
	}
	if known != len(l.byEvent) || len(lines) != len(l.byEvent) {
		l.t.Errorf("%d events of the load are stored, %d in all, %d transmissions", known, len(l.byEvent), len(lines))
	}
	l.checkOrder()
	return lost, doubled
}

// checkOrder wants the events of a case at the simulator in the order of the case.
func (l *ledger) checkOrder() {
	l.t.Helper()
	byTransmission := make(map[string]row, len(l.byEvent))
	for _, r := range l.byEvent {
		byTransmission[r.Transmission.String()] = r
	}
	last := map[uuid.UUID]int{}
	for _, r := range l.received {
		found := byTransmission[r.ID]
		if found.Sequence != last[found.Case]+1 {
			l.t.Errorf("case %s: event %d arrived after %d", found.Case, found.Sequence, last[found.Case])
		}
		last[found.Case] = found.Sequence
	}
}

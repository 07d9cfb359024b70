//go:build smoke

package hubtest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// row is an accepted event as the database has it.
type row struct {
	Receipt, Registration, Event, Case, Subject uuid.UUID
	Sequence, Position                          int
	Commitment                                  []byte
}

// carried is a delivery as the database has it.
type carried struct {
	ID, Message uuid.UUID
	State       string
	NationEpoch int32
}

// tried is an attempt row.
type tried struct {
	Delivery uuid.UUID
	Number   int32
	State    string
}

// arrival is a line of the simulator's file.
type arrival struct {
	id    uuid.UUID
	esito string
	// key is the re-keyed IdEvento, by which the nation knows an event of a case.
	key string
}

// ledger is what became of the load, from four witnesses: the writers' own file, PostgreSQL, the
// journal and the simulator's file.
type ledger struct {
	t *testing.T
	// told is the writers' file.
	told       []witness
	rows       []row
	deliveries []carried
	attempts   []tried
	journal    []journal.Entry
	received   []arrival
	keys       *pseudonym.Keys
	// clear are files with what looks like a child's code.
	clear []string
	// defects are the counts of what no table may hold, by what it is.
	defects map[string]int64
	// byEvent finds a row.
	byEvent map[uuid.UUID]row
}

// receiptsFile is the writers' file of a hub.
func receiptsFile(h *hubtest.Hub) string { return filepath.Join(h.Var, "receipts.jsonl") }

// readLedger waits until all is delivered and reads every side. The database's clock moves on what
// a killed process had under lease and what waits for another attempt.
func readLedger(t *testing.T, h *hubtest.Hub) *ledger {
	t.Helper()
	db := h.Superuser()
	advanceClock(t, db, "hub_app", "1 day")
	hubtest.AwaitDelivered(t, db, drainPatience)
	holdRows(t, h)
	return lookAround(t, h, db)
}

// drainPatience is how long a backlog may take to drain, whatever else the machine does.
const drainPatience = 30 * time.Minute

// querier is a connection, or a transaction in which a test spoils something.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// lookAround reads every side as it is now.
func lookAround(t *testing.T, h *hubtest.Hub, db querier) *ledger {
	t.Helper()
	l := &ledger{t: t, told: readEvidence(t, receiptsFile(h)), byEvent: map[uuid.UUID]row{}}
	var err error
	if l.keys, err = pseudonym.LoadKeys(filepath.Join(h.Var, "keys"), hub.Prod); err != nil {
		t.Fatal(err)
	}
	l.received = arrivals(t, h.Run.SissReceivedFile)
	l.rows = all[row](t, db, `
SELECT k.receipt_id, k.registration_id, k.event_id, e.case_id, e.subject_id, e.sequence, e.position, k.commitment
FROM hub.event_key k JOIN hub.event e ON e.id = k.receipt_id`)
	for _, r := range l.rows {
		l.byEvent[r.Event] = r
	}
	l.deliveries = all[carried](t, db, "SELECT id, message_id, state, nation_epoch FROM hub.delivery")
	l.attempts = all[tried](t, db, "SELECT delivery_id, number, state FROM hub.attempt")
	l.readJournal(db)
	l.readTree(db)
	l.readDefects(db)
	l.readClear(h)
	return l
}

// all collects the rows of a query.
func all[T any](t *testing.T, db querier, query string) []T {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// readJournal parses every entry; one whose bytes are not an entry's, or whose row says another id
// than its bytes, is a defect.
func (l *ledger) readJournal(db querier) {
	l.t.Helper()
	rows, err := db.Query(l.t.Context(), "SELECT id, body FROM hub.journal_entry ORDER BY at, id")
	if err != nil {
		l.t.Fatal(err)
	}
	l.defects = map[string]int64{}
	var id uuid.UUID
	var body []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &body}, func() error {
		entry, err := journal.Parse(body)
		if err != nil || entry.ID != id {
			l.defects["journal entries that cannot be read"]++
			return nil //nolint:nilerr // counted
		}
		l.journal = append(l.journal, entry)
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
}

// readTree recomputes the journal's tree from the entries that have their leaves, at whatever moment this
// is: every prefix must verify.
func (l *ledger) readTree(db querier) {
	l.t.Helper()
	rows, err := db.Query(l.t.Context(), `
		SELECT h.size, h.root, l.leaf_index, l.participant_id, l.ente_id, l.seq, e.body
		FROM hub.journal_head h LEFT JOIN hub.journal_leaf l ON true
		LEFT JOIN hub.journal_entry e ON e.id = l.entry_id AND e.at = l.entry_at
		ORDER BY l.leaf_index`)
	if err != nil {
		l.t.Fatal(err)
	}
	var size int64
	var root []byte
	var index, seq *int64
	var participant, ente *int32
	var body []byte
	edge, last := &journal.Edge{}, map[journal.Pair]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&size, &root, &index, &participant, &ente, &seq, &body}, func() error {
		if index == nil {
			return nil
		}
		leaf := journal.Leaf{Entry: body, Pair: journal.Pair{Participant: *participant, Ente: *ente}, Seq: *seq}
		if last[leaf.Pair]++; *index != edge.Size() || leaf.Seq != last[leaf.Pair] {
			l.defects["leaves of the journal out of their sequence"]++
		}
		edge.Append([]tlog.Hash{leaf.Hash()})
		return nil
	}); err != nil {
		l.t.Fatal(err)
	}
	if got := edge.Root(); size != edge.Size() || !bytes.Equal(root, got[:]) {
		l.defects["tree of the journal that its entries do not give"]++
	}
}

// readDefects counts what no history may leave behind.
func (l *ledger) readDefects(db querier) {
	l.t.Helper()
	for what, query := range map[string]string{
		"event keys without event":       "SELECT count(*) FROM hub.event_key k WHERE NOT EXISTS (SELECT FROM hub.event e WHERE e.id = k.receipt_id)",
		"events without key":             "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM hub.event_key k WHERE k.receipt_id = e.id)",
		"events without sealed message":  "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM hub.message m WHERE m.id = e.id)",
		"events of nobody in the vault":  "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM vault.subject s WHERE s.id = e.subject_id)",
		"cases of two children":          "SELECT count(*) FROM (SELECT FROM hub.event GROUP BY case_id HAVING count(DISTINCT subject_id) > 1) x",
		"cases with gaps":                "SELECT count(*) FROM (SELECT FROM hub.event GROUP BY case_id HAVING max(position) <> count(*)) x",
		"cases that count wrong":         "SELECT count(*) FROM hub.case_file c WHERE c.events <> (SELECT count(*) FROM hub.event e WHERE e.case_id = c.id)",
		"settled deliveries under lease": "SELECT count(*) FROM hub.delivery WHERE lease IS NOT NULL AND settled_at IS NOT NULL",
	} {
		var n int64
		if err := db.QueryRow(l.t.Context(), query).Scan(&n); err != nil {
			l.t.Fatal(err)
		}
		l.defects[what] += n
	}
}

// childCode is the form of every code that hubtest.Child gives.
var childCode = regexp.MustCompile(`PV[A-Z]PR[A-Z]12C15D[0-9]{3}[A-Z]`)

// readClear looks for children's codes where none may be: in the logs and at the nation.
func (l *ledger) readClear(h *hubtest.Hub) {
	l.t.Helper()
	logs, err := filepath.Glob(filepath.Join(h.Var, "log", "*"))
	if err != nil || len(logs) < 2 {
		l.t.Fatalf("%d logs: %v", len(logs), err)
	}
	server, _ := filepath.Glob(filepath.Join(h.Var, "postgres", "*.log"))
	for _, path := range append(append(logs, server...), h.Run.SissReceivedFile) {
		file, err := os.Open(path)
		if err != nil {
			l.t.Fatal(err)
		}
		if childCode.MatchReader(bufio.NewReader(file)) {
			l.clear = append(l.clear, path)
		}
		_ = file.Close()
	}
}

// rekeyed finds the stand-in of an event's id in what the nation got.
var rekeyed = regexp.MustCompile(`<IdEvento>([^<]*)</IdEvento>`)

// arrivals reads the simulator's file line by line: it may be larger than one wants in memory.
func arrivals(t *testing.T, path string) []arrival {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	var got []arrival
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line hubtest.Received
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // a torn last line was never answered
		}
		a := arrival{esito: line.Esito}
		if a.id, err = uuid.Parse(line.ID); err != nil {
			t.Fatal(err)
		}
		if found := rekeyed.FindStringSubmatch(line.Event); found != nil {
			a.key = found[1]
		}
		got = append(got, a)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return got
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

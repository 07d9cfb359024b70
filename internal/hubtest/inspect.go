package hubtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// Superuser connects to the hub's database as its superuser, who sees every schema. The
// connection is closed when the test ends.
func (h *Hub) Superuser() *pgx.Conn {
	h.tb.Helper()
	conn, err := pgx.Connect(h.tb.Context(), h.Run.DatabaseURL)
	if err != nil {
		h.tb.Fatalf("connect as superuser: %v", err)
	}
	h.tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(h.tb.Context())) })
	return conn
}

// Number runs a query that gives one number.
func Number(tb testing.TB, db *pgx.Conn, query string, args ...any) int64 {
	tb.Helper()
	var n int64
	if err := db.QueryRow(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return n
}

// Await looks until done says yes, and fails the test after the patience. It tells what it was
// waiting for.
func Await(tb testing.TB, patience time.Duration, what string, done func() bool) {
	tb.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !done() {
		select {
		case <-deadline.C:
			tb.Fatalf("waited in vain: %s", what)
		case <-ticker.C:
		}
	}
}

// AwaitDelivered waits until every delivery is settled for good, and fails if one is not
// delivered.
func AwaitDelivered(tb testing.TB, db *pgx.Conn, patience time.Duration) {
	tb.Helper()
	Await(tb, patience, "every delivery is settled", func() bool {
		return Number(tb, db, "SELECT count(*) FROM hub.delivery WHERE settled_at IS NULL") == 0
	})
	if n := Number(tb, db, "SELECT count(*) FROM hub.delivery WHERE state <> 'delivered'"); n != 0 {
		tb.Errorf("%d deliveries ended otherwise than delivered", n)
	}
}

// JournalEntries reads the whole journal, oldest first.
func JournalEntries(tb testing.TB, db *pgx.Conn) []journal.Entry {
	tb.Helper()
	rows, err := db.Query(tb.Context(), "SELECT body FROM hub.journal_entry ORDER BY at, id")
	if err != nil {
		tb.Fatal(err)
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		tb.Fatal(err)
	}
	entries := make([]journal.Entry, len(bodies))
	for i, body := range bodies {
		if entries[i], err = journal.Parse(body); err != nil {
			tb.Fatal(err)
		}
	}
	return entries
}

// MessageEntries reads the entries of the journal that follow from messages: acceptances, refusals and
// attempts. What the hub notes of itself comes when it will.
func MessageEntries(tb testing.TB, db *pgx.Conn) []journal.Entry {
	tb.Helper()
	return slices.DeleteFunc(JournalEntries(tb, db), func(e journal.Entry) bool { return e.Kind > journal.AttemptSettled })
}

// BreakAcceptance makes every accepting transaction fail where it writes the event, until mend.
func BreakAcceptance(tb testing.TB, db *pgx.Conn) (mend func()) {
	tb.Helper()
	execute := func(statement string) {
		tb.Helper()
		if _, err := db.Exec(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
	execute(`CREATE FUNCTION hub.break_acceptance() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'broken by a test'; END $$`)
	execute("CREATE TRIGGER break_acceptance BEFORE INSERT ON hub.event EXECUTE FUNCTION hub.break_acceptance()")
	return func() { execute("DROP FUNCTION hub.break_acceptance CASCADE") }
}

// Received is a line of the simulator's file.
type Received struct {
	ID    string `json:"id_trasmissione"`
	Esito string `json:"esito"`
	Event string `json:"evento_xml"`
}

// Received reads what the simulator took so far.
func (h *Hub) Received() []Received {
	h.tb.Helper()
	text, err := os.ReadFile(h.Run.SissReceivedFile)
	if err != nil {
		h.tb.Fatal(err)
	}
	var lines []Received
	for line := range bytes.Lines(text) {
		var r Received
		// The last line may be in the making.
		if json.Unmarshal(line, &r) == nil {
			lines = append(lines, r)
		}
	}
	return lines
}

// MisbehaveSiss tells the simulator how to answer from now on; the zero value is a good endpoint.
func (h *Hub) MisbehaveSiss(f siss.Faults) {
	h.tb.Helper()
	orders, err := json.Marshal(f)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.control(http.MethodPost, h.Run.SissControlURL, orders)
}

// LieAtSiss makes the simulator tell otherwise than what it received.
func (h *Hub) LieAtSiss(l siss.Lies) {
	h.tb.Helper()
	orders, err := json.Marshal(l)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.control(http.MethodPost, strings.TrimSuffix(h.Run.SissControlURL, "/control")+"/lies", orders)
}

// SissCounters are what the simulator was asked and answered, and its scripted faults.
func (h *Hub) SissCounters() map[string]int64 {
	h.tb.Helper()
	text := h.control(http.MethodGet, strings.TrimSuffix(h.Run.SissControlURL, "/control")+"/stats", nil)
	var counters map[string]int64
	if err := json.Unmarshal(text, &counters); err != nil {
		h.tb.Fatal(err)
	}
	return counters
}

// Metrics is what the hub's admin listener shows.
func (h *Hub) Metrics() []byte {
	h.tb.Helper()
	return h.control(http.MethodGet, h.Run.AdminURL+"/metrics", nil)
}

// control talks to a listener beside the door and must get 200.
func (h *Hub) control(method, url string, body []byte) []byte {
	h.tb.Helper()
	r, err := http.NewRequestWithContext(h.tb.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		h.tb.Fatal(err)
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		h.tb.Fatalf("%s %s: %d %v %s", method, url, response.StatusCode, err, text)
	}
	return text
}

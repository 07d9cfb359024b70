//go:build smoke

package hubtest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// seed is a defect put where a defective hub would leave it, and what the checker must call it.
type seed struct {
	name string
	// sql spoils the database inside a transaction that is rolled back; it gets the receipt of an event.
	sql string
	// received and told spoil copies of the simulator's file and the writers'.
	received, told func(lines []string) []string
	want           []string
}

func seeds() []seed {
	last := func(lines []string) string { return lines[len(lines)-1] }
	return []seed{
		{name: "nothing"},
		{name: "a removed delivery", sql: "DELETE FROM hub.delivery WHERE message_id = $1", want: []string{findLost, findStrange}},
		{name: "a lost receipt", sql: "WITH k AS (DELETE FROM hub.event_key WHERE receipt_id = $1) DELETE FROM hub.event WHERE id = $1", want: []string{findLost}},
		{name: "a receipt that another took the place of", sql: "UPDATE hub.event_key SET registration_id = gen_random_uuid() WHERE receipt_id = $1", want: []string{findDoubled}},
		{name: "a missing entry of an acceptance", sql: "DELETE FROM hub.journal_entry WHERE message_id = $1 AND kind = 1", want: []string{findUnjournalled}},
		{name: "a missing entry of an attempt", sql: "DELETE FROM hub.journal_entry WHERE message_id = $1 AND kind = 3", want: []string{findUnjournalled}},
		{name: "an entry too many", sql: `
INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
SELECT id, at + interval '1 second', kind, message_id, body FROM hub.journal_entry WHERE message_id = $1 AND kind = 1`, want: []string{findDoubled}},
		{name: "another place in a sequence of leaves", sql: "UPDATE hub.journal_leaf SET seq = seq + 1000000 WHERE $1::uuid IS NOT NULL AND leaf_index = 3", want: []string{findBroken}},
		{name: "a leaf's entry changed", sql: "UPDATE hub.journal_entry SET body = set_byte(body, 30, 255 - get_byte(body, 30)) WHERE message_id = $1 AND kind = 1", want: []string{findBroken}},
		{name: "another root", sql: "UPDATE hub.journal_head SET root = sha256('x') WHERE $1::uuid IS NOT NULL", want: []string{findBroken}},
		{name: "a missing attempt", sql: "DELETE FROM hub.attempt a USING hub.delivery d WHERE d.id = a.delivery_id AND d.message_id = $1", want: []string{findState, findUnjournalled}},
		{name: "a second delivery", sql: `
INSERT INTO hub.delivery (id, message_id, environment, case_id, sequence, position, received_at, nation_epoch, state, attempts, changed_at, settled_at)
SELECT gen_random_uuid(), message_id, environment, case_id, sequence, position, received_at, nation_epoch, 'delivered', 1, changed_at, settled_at
FROM hub.delivery WHERE message_id = $1`, want: []string{findDoubled}},
		{name: "a delivery given up", sql: "UPDATE hub.delivery SET state = 'dead' WHERE message_id = $1", want: []string{findState}},
		{name: "an unreadable entry", sql: "UPDATE hub.journal_entry SET body = body || '\\x00' WHERE message_id = $1 AND kind = 1", want: []string{findBroken, findUnjournalled}},
		{name: "another content than was proven", sql: "UPDATE hub.event_key SET commitment = sha256('') WHERE receipt_id = $1", want: []string{findBroken}},
		{name: "a transmission taken twice", received: func(lines []string) []string { return append(lines, last(lines)) }, want: []string{findDoubled}},
		{name: "an event taken under two transmission ids", received: func(lines []string) []string {
			_, rest, _ := strings.Cut(last(lines), `","ricevuto_at"`)
			return append(lines, `{"id_trasmissione":"`+uuid.NewString()+`","ricevuto_at"`+rest)
		}, want: []string{findDoubled, findStrange}},
		{name: "a transmission that never arrived", received: func(lines []string) []string { return lines[:len(lines)-1] }, want: []string{findLost}},
		{name: "two events of a case in the wrong order", received: func(lines []string) []string {
			slices.Reverse(lines)
			return lines
		}, want: []string{findDisordered}},
		{name: "an identity at the nation", received: func(lines []string) []string {
			return append(lines[:len(lines)-1], strings.Replace(last(lines), "</IdEvento>", "</IdEvento><!--"+hubtest.Child(7).Code()+"-->", 1))
		}, want: []string{findClear}},
		{name: "an event that nobody sent", told: func(lines []string) []string {
			event := lines[0][:len(`{"event":"`)+36]
			return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, event) })
		}, want: []string{findStrange}},
		{name: "a second receipt", told: func(lines []string) []string {
			_, rest, _ := strings.Cut(last(lines), `"registration"`)
			event, _, _ := strings.Cut(last(lines), `"receipt"`)
			return append(lines, event+`"receipt":"`+uuid.NewString()+`","registration"`+rest)
		}, want: []string{findDoubled}},
		{name: "a receipt for what is not there", told: func(lines []string) []string {
			_, rest, _ := strings.Cut(last(lines), `","receipt"`)
			return append(lines, `{"event":"`+uuid.NewString()+`","receipt"`+rest)
		}, want: []string{findLost}},
	}
}

// TestSmokeCheckerCatches puts each defect that the campaigns look for into a hub's traces, and wants
// the checker to call it by its name: a checker that was never seen to fail proves nothing.
func TestSmokeCheckerCatches(t *testing.T) { //nolint:tparallel // its subtests spoil the same files
	t.Parallel()
	h := hubtest.Start(t)
	l := startLoad(t, h, true, 0)
	l.awaitAnswers(200)
	sentEvents := l.stop()
	readLedger(t, h).check(sentEvents)
	// The last line of the simulator is of an event that has a predecessor in its case.
	receipt := receiptOfTransmission(t, h.Superuser(), arrivals(t, h.Run.SissReceivedFile))
	for _, s := range seeds() { //nolint:paralleltest // each spoils the same files
		t.Run(s.name, func(t *testing.T) {
			got := s.look(t, h, receipt)
			for _, kind := range s.want {
				if len(got[kind]) == 0 {
					t.Errorf("not called %q: %v", kind, got)
				}
			}
			if len(s.want) == 0 && len(got) > 0 {
				t.Errorf("an untouched hub has findings: %v", got)
			}
		})
	}
}

// receiptOfTransmission gives the receipt of what arrived last.
func receiptOfTransmission(t *testing.T, db *pgx.Conn, got []arrival) uuid.UUID {
	t.Helper()
	var receipt uuid.UUID
	if err := db.QueryRow(t.Context(), "SELECT message_id FROM hub.delivery WHERE id = $1", got[len(got)-1].id).Scan(&receipt); err != nil {
		t.Fatal(err)
	}
	return receipt
}

// look spoils one thing, lets the checker look, and undoes it.
func (s seed) look(t *testing.T, h *hubtest.Hub, receipt uuid.UUID) findings {
	t.Helper()
	defer spoil(t, h.Run.SissReceivedFile, s.received)()
	defer spoil(t, receiptsFile(h), s.told)()
	tx, err := h.Superuser().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Error(err)
		}
	}()
	if s.sql != "" {
		// Rows that no role may change are guarded by triggers.
		if _, err := tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica"); err != nil {
			t.Fatal(err)
		}
		if tag, err := tx.Exec(t.Context(), s.sql, receipt); err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("nothing was spoiled: %v", err)
		}
	}
	return lookAround(t, h, tx).compare(nil)
}

// spoil changes the lines of a file until mend.
func spoil(t *testing.T, path string, change func([]string) []string) (mend func()) {
	t.Helper()
	if change == nil {
		return func() {}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := change(strings.Split(string(bytes.TrimSpace(before)), "\n"))
	write([]byte(strings.Join(lines, "\n") + "\n"))
	return func() { write(before) }
}

// TestSmokeCheckerReadsAnotherTestsFolder lets the checker look at a hub with nothing but its folder, as
// after a crash of the test that ran it. SINBAHUB_TEST_FOLDER names the kept folder of a campaign, which
// is delivered to its end first, unless SINBAHUB_TEST_AS_IS says that it is to be looked at as it stands.
func TestSmokeCheckerReadsAnotherTestsFolder(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SINBAHUB_TEST_FOLDER")
	if dir == "" {
		first := hubtest.Start(t)
		l := startLoad(t, first, true, 0)
		l.awaitAnswers(50)
		l.stop()
		dir = first.Var
	}
	h := hubtest.Attach(t, dir)
	asIs := os.Getenv("SINBAHUB_TEST_AS_IS") != ""
	if asIs {
		h.Kill()
	} else {
		hubtest.AwaitDelivered(t, h.Superuser(), 3*drainPatience)
	}
	ledger := lookAround(t, h, h.Superuser())
	states := map[uuid.UUID]hub.DeliveryState{}
	if asIs {
		states = ledger.unfinished()
	}
	f := ledger.compare(states)
	f.report(t)
	told := map[uuid.UUID]bool{}
	for _, w := range ledger.told {
		if w.Receipt != uuid.Nil {
			told[w.Event] = true
		}
	}
	if len(told) == 0 {
		t.Error("the folder has no receipts")
	}
	tab := newTable("what a campaign left behind, looked at by itself")
	tab.row("receipts", "", "%d", len(told))
	tab.row("events stored, attempts, journal entries, lines at SISS", "", "%d, %d, %d, %d", len(ledger.rows), len(ledger.attempts), len(ledger.journal), len(ledger.received))
	tab.row("deliveries that had not ended", "", "%d", len(states))
	tab.findingsRows(f, len(told), 0)
	tab.print(t)
}

//go:build smoke

package hubtest_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// freezes is the short form; SINBAHUB_TEST_FREEZES changes it.
const freezes = 2

// TestSmokeFreezeOneOfTwo runs two instances over one database and stops one of them by SIGSTOP while
// it delivers, until the other has taken up everything it held; then it wakes and finds its leases
// gone. What it sends or settles then must do no harm.
func TestSmokeFreezeOneOfTwo(t *testing.T) {
	t.Parallel()
	wanted := scale(t, "FREEZES", freezes)
	h := hubtest.Start(t)
	h.Kill()
	names := []string{"left", "right"}
	db := h.Superuser()
	// Slow enough that some are always under way, and some of them are told to nobody.
	h.MisbehaveSiss(siss.Faults{SlowMS: 300, CutRatio: .05})
	var pair []frozen
	var loads []*load
	for n, name := range names {
		i := h.Serve(name, func(settings map[string]any) {
			hubtest.Settings(settings, "siss", map[string]any{"deadline": "2s", "lease": "8s"})
		})
		i.Start()
		i.AwaitReady()
		loads = append(loads, startWriters(t, h, writersOf{
			writers: 3, persistent: true, first: hubtest.Child(n * 3 * casesOfWriter), apart: casesOfWriter, doors: []string{i.SoapURL},
		}))
		f := frozen{Instance: i}
		f.owner = newOwner(t, db, pair)
		pair = append(pair, f)
	}
	began := time.Now()
	held := 0
	var takenUp []time.Duration
	spent := budget(t)
	for i := range wanted {
		if spent() {
			break
		}
		loads[0].awaitAnswers(5)
		loads[1].awaitAnswers(5)
		leases, took := pair[i%2].freeze(t, db)
		held += leases
		takenUp = append(takenUp, took)
		if t.Failed() {
			break
		}
	}
	all := append(loads[0].stop(), loads[1].stop()...)
	if t.Failed() {
		return
	}
	took := time.Since(began)
	h.MisbehaveSiss(siss.Faults{})
	f := readLedger(t, h).compare(nil)
	f.report(t)
	stale := 0
	for _, name := range names {
		stale += bytes.Count(logOf(t, h, name), []byte("no longer held under this lease"))
	}
	if stale == 0 {
		t.Error("no settlement came too late: the freezes missed what they are for")
	}
	tab := newTable("two instances over one PostgreSQL, one stopped by SIGSTOP beyond its lease under 6 writers")
	tab.row("freezes", "200", "%d in %v", len(takenUp), took.Round(time.Second))
	tab.row("deliveries the frozen one held, all taken up by the other", "", "%d", held)
	tab.row("settlements of a woken instance that its lost lease refused", "", "%d", stale)
	tab.row("receipts", "", "%s", told(all))
	tab.findingsRows(f, len(all), len(takenUp))
	tab.row("freeze to the last delivery taken up (lease 8 s)", "", "%s", quantiles(takenUp))
	tab.print(t)
}

// frozen is an instance and the name under which it holds deliveries.
type frozen struct {
	*hubtest.Instance

	owner uuid.UUID
}

// newOwner waits for a delivery that none of the known instances holds, and tells who does.
func newOwner(t *testing.T, db *pgx.Conn, known []frozen) (owner uuid.UUID) {
	t.Helper()
	owners := []uuid.UUID{} // not nil: nothing differs from all of NULL
	for _, f := range known {
		owners = append(owners, f.owner)
	}
	hubtest.Await(t, giveUp, "the instance delivers", func() bool {
		err := db.QueryRow(t.Context(), "SELECT owner FROM hub.delivery WHERE owner <> ALL ($1) LIMIT 1", owners).Scan(&owner)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		return err == nil
	})
	return owner
}

// freeze stops an instance that holds something, waits until it holds nothing any more, and wakes it.
func (f frozen) freeze(t *testing.T, db *pgx.Conn) (held int, took time.Duration) {
	t.Helper()
	var leases []uuid.UUID
	hubtest.Await(t, giveUp, "the instance holds a delivery", func() bool {
		// Only then: one that is stopped again and again gets nothing to hold.
		if len(f.leases(t, db)) == 0 {
			return false
		}
		f.Signal(syscall.SIGSTOP)
		if leases = f.leases(t, db); len(leases) == 0 {
			f.Signal(syscall.SIGCONT)
		}
		return len(leases) > 0
	})
	defer f.Signal(syscall.SIGCONT)
	began := time.Now()
	hubtest.Await(t, giveUp, "the other instance has taken up what the frozen one held", func() bool {
		return hubtest.Number(t, db, "SELECT count(*) FROM hub.delivery WHERE lease = ANY ($1)", leases) == 0
	})
	return len(leases), time.Since(began)
}

// leases are those it holds.
func (f frozen) leases(t *testing.T, db *pgx.Conn) []uuid.UUID {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT lease FROM hub.delivery WHERE owner = $1", f.owner)
	if err != nil {
		t.Fatal(err)
	}
	leases, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		t.Fatal(err)
	}
	return leases
}

// logOf reads an instance's log.
func logOf(t *testing.T, h *hubtest.Hub, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(h.Var, "log", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

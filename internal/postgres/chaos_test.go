package postgres_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/sinba"
)

// chaos is what the senders of the chaos test share.
type chaos struct {
	stores []*postgres.Store
	cases  []postgres.AcceptedCase

	mu sync.Mutex
	// acknowledged is the receipt told for each event, by whatever answer.
	acknowledged map[uuid.UUID]uuid.UUID
	known        []*postgres.Acceptance
	unknown      int
	receipts     int
	// shots asks for a backend to be ended; one every so many receipts, so that there is progress
	// between them however busy the machine is. (Counted by answers, the unknown ones of one ended
	// backend would order the next.)
	shots chan struct{}
}

// next is a new event of a hot case or, three times in ten, one that somebody else sends too.
func (c *chaos) next() *postgres.Acceptance {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) > 0 && rand.IntN(10) < 3 {
		return again(c.known[len(c.known)-1-rand.IntN(min(len(c.known), 8))])
	}
	a := acceptance(1)
	a.Case = c.cases[rand.IntN(len(c.cases))]
	a.Case.ID = uuid.New() // somebody else opened it meanwhile: the sender is told its id
	a.Type, a.Sequence = sinba.Segnalazione, int32(len(c.known))+1
	// A copy: the sender changes its own when the case has moved.
	kept := *a
	c.known = append(c.known, &kept)
	return a
}

// send does what the gateway does with one request, and writes down what the sender was told.
func (c *chaos) send(t *testing.T, store *postgres.Store) {
	t.Helper()
	a := c.next()
	for {
		result, err := store.Accept(t.Context(), a)
		if err == nil && result.Status == postgres.StatusCaseMoved {
			a.Case.ID, a.Case.New, a.Subject = result.Case.ID, false, result.Case.Subject
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.unknown++
			return
		}
		if c.receipts++; c.receipts%12 == 0 {
			select {
			case c.shots <- struct{}{}:
			default:
			}
		}
		if result.Status == postgres.StatusRefused {
			t.Errorf("refused: %v", result.Violations)
			return
		}
		receipt := a.ReceiptID
		if result.Status == postgres.StatusDuplicate {
			receipt = result.Key.Receipt.ID
		}
		if told, ok := c.acknowledged[a.Key.Event]; ok && told != receipt {
			t.Errorf("event %s was given two receipts", a.Key.Event)
		}
		c.acknowledged[a.Key.Event] = receipt
		return
	}
}

// Two processes, many senders, hot cases, the same ids at once, and every now and then a random
// backend dies in the middle of something: what was acknowledged is stored, once, under the
// receipt that was given, and all tables agree.
func TestAcceptUnderFireStoresWhatItAcknowledges(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	quiet := postgres.Config{DSN: db.App, Logger: zap.NewNop()}
	c := &chaos{
		stores:       []*postgres.Store{openWith(t, quiet), openWith(t, quiet)},
		acknowledged: map[uuid.UUID]uuid.UUID{}, shots: make(chan struct{}, 1),
	}
	for range 40 {
		opening := acceptance(1)
		accept(t, c.stores[0], opening)
		c.acknowledged[opening.Key.Event] = opening.ReceiptID
		c.cases = append(c.cases, opening.Case)
	}
	senders, each := 24, 60
	if testing.Short() {
		each = 20
	}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for range each {
				c.send(t, c.stores[i%2])
			}
		})
	}
	hits := make(chan int)
	admin := superuser(t, db)
	go func() { hits <- fire(t.Context(), admin, db.Name, c.shots) }()
	wg.Wait()
	close(c.shots)
	killed := <-hits
	checkChaos(t, c, superuser(t, db))
	t.Logf("%d acknowledged, %d unknown, %d backends ended", len(c.acknowledged), c.unknown, killed)
	if killed == 0 || len(c.acknowledged) < 10*senders {
		t.Errorf("%d backends ended and %d acknowledged, the test shows nothing", killed, len(c.acknowledged))
	}
}

// fire ends a random busy backend of the stores at every shot and says how many it hit.
func fire(ctx context.Context, admin *pgx.Conn, name string, shots <-chan struct{}) (killed int) {
	for range shots {
		tag, err := admin.Exec(ctx, `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = $1 AND usename = 'hub_app' AND state <> 'idle' ORDER BY random() LIMIT 1`, name)
		if err != nil {
			return killed
		}
		killed += int(tag.RowsAffected())
	}
	return killed
}

// checkChaos compares what was told with what is stored.
func checkChaos(t *testing.T, c *chaos, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT event_id, receipt_id FROM hub.event_key")
	if err != nil {
		t.Fatal(err)
	}
	stored := map[uuid.UUID]uuid.UUID{}
	var event, receipt uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&event, &receipt}, func() error {
		stored[event] = receipt
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for event, receipt := range c.acknowledged {
		if stored[event] != receipt {
			t.Errorf("event %s was acknowledged and is not stored so", event)
		}
	}
	// Some more may be stored than acknowledged, but only for answers that were unknown.
	if extra := len(stored) - len(c.acknowledged); extra > c.unknown {
		t.Errorf("%d stored that nobody was told of, %d answers were unknown", extra, c.unknown)
	}
	for _, table := range []string{"message", "event", "delivery", "journal_entry", "journal_queue"} {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM hub."+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != len(stored) {
			t.Errorf("%s has %d rows, event_key %d", table, n, len(stored))
		}
	}
	var wrong int
	err = conn.QueryRow(t.Context(), `
SELECT count(*) FROM hub.case_file c
WHERE (SELECT array_agg(e.position ORDER BY e.position) FROM hub.event e WHERE e.case_id = c.id)
  <> (SELECT array_agg(n) FROM generate_series(1, c.events) AS n)`).Scan(&wrong)
	if err != nil {
		t.Fatal(err)
	}
	if wrong > 0 {
		t.Errorf("%d cases do not number their events 1 to n", wrong)
	}
}

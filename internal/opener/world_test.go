package opener_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// reason is why the tests look.
const reason = "verifica di un reclamo"

// who asks, in the tests.
func who() opener.Who { return opener.Who{Actor: "m.rossi", Reason: reason} }

// world is a database with sealed things in it, and an opener beside it.
type world struct {
	tb       testing.TB
	super    *pgxpool.Pool
	keysDir  string
	socket   string
	dsn      string
	vault    *pseudonym.Vault
	keys     *pseudonym.Keys
	sealer   *pseudonym.Sealer
	client   *opener.Client
	logs     *observer.ObservedLogs
	stop     func()
	openedBy *opener.Opener
	clock    *clock
}

// clock is what the opener takes for the time.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// options change the opener of a world.
type options struct {
	uids  []int
	rate  int
	keys  string
	store func(opener.Store) opener.Store
	vault func(opener.Vault) opener.Vault
}

// newWorld fills nothing yet; the opener runs.
func newWorld(tb testing.TB, o options) *world {
	tb.Helper()
	db := hubtest.Database(tb)
	w := &world{tb: tb, dsn: db.Opener, keysDir: filepath.Join(tb.TempDir(), "keys"), clock: &clock{}}
	var err error
	if err = pseudonym.InitKeys(w.keysDir, hub.Prod, time.Now()); err == nil {
		w.keys, err = pseudonym.LoadKeys(w.keysDir, hub.Prod)
	}
	if err != nil {
		tb.Fatal(err)
	}
	w.super = pool(tb, db.Superuser)
	w.vault = pseudonym.NewVault(pool(tb, db.Vault), w.keys)
	background(tb, w.vault.Run)
	w.sealer = pseudonym.NewSealer(w.keys, w.vault.RecordEpoch, time.Now)
	w.run(o)
	return w
}

// run starts an opener, and ends it with the test at the latest.
func (w *world) run(o options) {
	w.tb.Helper()
	dir, err := os.MkdirTemp("", "opener-") // a short path, for a socket
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	w.socket = filepath.Join(dir, "s", "opener.sock")
	listener, err := opener.Listen(w.tb.Context(), w.socket, os.Getuid(), os.Getgid())
	if err != nil {
		w.tb.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	w.logs = logs
	if o.keys == "" {
		o.keys = filepath.Join(w.keysDir, "opener")
	}
	w.openedBy = newOpener(w.tb, w.dsn, o, w.clock.now, zap.New(core))
	w.client = opener.NewClient(w.socket)
	w.stop = background(w.tb, func(ctx context.Context) { serve(ctx, w.tb, w.openedBy, listener) })
}

func serve(ctx context.Context, tb testing.TB, o *opener.Opener, listener net.Listener) {
	tb.Helper()
	if err := o.Serve(ctx, listener); err != nil {
		tb.Errorf("serve: %v", err)
	}
}

// newOpener connects one as its role.
func newOpener(tb testing.TB, dsn string, o options, now func() time.Time, log *zap.Logger) *opener.Opener {
	tb.Helper()
	keys, err := pseudonym.LoadOpenerKeys(o.keys, hub.Prod)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := postgres.Open(tb.Context(), postgres.Config{DSN: dsn, Connections: 4})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(db.Close)
	var store opener.Store = db
	var vault opener.Vault = pseudonym.NewOpenerVault(pool(tb, dsn), hub.Prod)
	if o.store != nil {
		store = o.store(store)
	}
	if o.vault != nil {
		vault = o.vault(vault)
	}
	if o.uids == nil {
		o.uids = []int{os.Getuid()}
	}
	if o.rate == 0 {
		o.rate = 1000
	}
	return opener.New(opener.Config{Environment: hub.Prod, UIDs: o.uids, Rate: o.rate, CheckReason: checkReason}, opener.Parts{
		Keys: keys, Store: store, Vault: vault, Logger: log, Now: now,
	})
}

// checkReason stands in for the hub's own.
func checkReason(text string) error {
	if text == "" || len(text) > 500 {
		return opener.ErrReason
	}
	return nil
}

func pool(tb testing.TB, dsn string) *pgxpool.Pool {
	tb.Helper()
	p, err := pgxpool.New(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// background runs something until stop is called or the test ends.
func background(tb testing.TB, run func(context.Context)) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	stop = func() { cancel(); <-done }
	tb.Cleanup(stop)
	return stop
}

// exec changes the database as its superuser would.
func (w *world) exec(sql string, args ...any) {
	w.tb.Helper()
	if _, err := w.super.Exec(w.tb.Context(), sql, args...); err != nil {
		w.tb.Fatalf("%s: %v", sql, err)
	}
}

// child is a subject that the vault knows.
func (w *world) child() pseudonym.Subject {
	w.tb.Helper()
	identity := pseudonym.NewLocalIdentity("C01", hub.NewIdentifier(uuid.NewString()))
	s, err := w.vault.Reserve(w.tb.Context(), w.keys.LinkIndex(identity), pseudonym.NewSubject(), []byte("x"))
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

// erase destroys a child's secret.
func (w *world) erase(s pseudonym.Subject) {
	w.tb.Helper()
	w.exec("DELETE FROM vault.subject_link WHERE subject_id = $1", s.ID)
	w.exec("DELETE FROM vault.subject WHERE id = $1", s.ID)
}

// seal seals for a child.
func (w *world) seal(s pseudonym.Subject, kind pseudonym.Kind, id uuid.UUID, plain string) []byte {
	w.tb.Helper()
	sealed, err := w.sealer.Seal(w.tb.Context(), s, pseudonym.Label{Kind: kind, Message: id, Schema: "1.0"}, []byte(plain))
	if err != nil {
		w.tb.Fatal(err)
	}
	return sealed.Bytes
}

// message is an accepted one.
func (w *world) message(s pseudonym.Subject, plain string) uuid.UUID {
	w.tb.Helper()
	id := uuid.Must(uuid.NewV7())
	w.exec(`INSERT INTO hub.event (id, received_at, environment, participant_id, ente_id, event_id, case_id, subject_id, type, operation,
  sequence, position, schema_version, mapping_version, rules_version, region_epoch, body_format, body, facts)
VALUES ($1, now(), 1, 3, 7, $2, $3, $4, 'SEGNALAZIONE', 'I', 1, 1, '1.0', 1, 1, 1, 1, 'x', '\x010000000000000000')`,
		id, uuid.New(), uuid.New(), s.ID)
	w.exec(`INSERT INTO hub.message (id, received_at, environment, participant_id, ente_id, seal_epoch, digest, sealed)
SELECT id, received_at, environment, participant_id, ente_id, $2, sha256($3), $3 FROM hub.event WHERE id = $1`,
		id, uuid.New(), w.seal(s, pseudonym.SealedMessage, id, plain))
	return id
}

// delivery is one of a message, with an attempt for each text; an empty one kept nothing.
func (w *world) delivery(s pseudonym.Subject, message uuid.UUID, sent ...string) uuid.UUID {
	w.tb.Helper()
	id := uuid.New()
	w.exec(`INSERT INTO hub.delivery (id, received_at, message_id, changed_at, environment, settled_at, case_id, ready_at,
  sequence, position, nation_epoch, state, attempts)
SELECT $1, t, $2, t, 1, t, $3, t, 1, 1, 1, 'delivered', greatest(1, $4) FROM now() AS t`, id, message, uuid.New(), len(sent))
	for i, plain := range sent {
		var sealed []byte
		var epoch *uuid.UUID
		if plain != "" {
			sealed, epoch = w.seal(s, pseudonym.SealedOutbound, id, plain), new(uuid.New())
		}
		w.exec(`INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease, seal_epoch, sealed)
VALUES ($1, $2, now(), '1 second', 'delivered', gen_random_uuid(), $3, $4)`, id, i+1, epoch, sealed)
	}
	return id
}

// entries are the openings in the journal, in their order, each of them waiting for its leaf.
func (w *world) entries() []journal.Entry {
	w.tb.Helper()
	rows, err := w.super.Query(w.tb.Context(), `
SELECT j.body FROM hub.journal_entry j JOIN hub.journal_queue q ON q.entry_id = j.id AND q.entry_at = j.at
WHERE j.kind = 10 ORDER BY j.id`)
	if err != nil {
		w.tb.Fatal(err)
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		w.tb.Fatal(err)
	}
	all := make([]journal.Entry, len(bodies))
	for i, body := range bodies {
		if all[i], err = journal.Parse(body); err != nil {
			w.tb.Fatal(err)
		}
	}
	return all
}

// open asks for one id.
func (w *world) open(id uuid.UUID, attempt int32) (*opener.Answer, error) {
	w.tb.Helper()
	return w.client.Open(w.tb.Context(), opener.Question{Who: who(), ID: id, Attempt: attempt})
}

// begin begins a session over today.
func (w *world) begin() *opener.Session {
	w.tb.Helper()
	s, err := w.client.Begin(w.tb.Context(), opener.Scope{
		Who: who(), Purpose: opener.PurposeReplay, From: time.Now().Add(-24 * time.Hour), To: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

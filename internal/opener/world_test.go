package opener_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
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
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// reason is why the tests look.
const reason = "verifica di un reclamo"

// origin names the hub of the tests.
const origin = "sinbahub/PROD"

// world is a database with sealed things in it, and an opener beside it.
type world struct {
	tb       testing.TB
	super    *pgxpool.Pool
	keysDir  string
	socket   string
	dsn      string
	vaultDSN string
	vault    *pseudonym.Vault
	keys     *pseudonym.Keys
	sealer   *pseudonym.Sealer
	client   *opener.Client
	logs     *observer.ObservedLogs
	stop     func()
	openedBy *opener.Opener
	clock    *clock
	people   map[string]ed25519.PrivateKey
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
	// trusted is the opener's own list; nil for all who are registered.
	trusted func() ([]ticket.Person, error)
}

// newWorld fills nothing yet; the opener runs.
func newWorld(tb testing.TB, o options) *world {
	tb.Helper()
	db := hubtest.Database(tb)
	w := &world{tb: tb, dsn: db.Opener, vaultDSN: db.Vault, keysDir: filepath.Join(tb.TempDir(), "keys"), clock: &clock{}}
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
	w.people = map[string]ed25519.PrivateKey{}
	w.register("anna", ticket.Operator, ticket.Auditor)
	w.register("bruno", ticket.PrivacyOfficer)
	w.register("carla", ticket.Operator)
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
	if o.trusted == nil {
		o.trusted = w.listed
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
	codes, err := pseudonym.LoadCodeKeys(filepath.Dir(o.keys), hub.Prod)
	if err != nil {
		tb.Fatal(err)
	}
	return opener.New(opener.Config{Environment: hub.Prod, Hub: origin, UIDs: o.uids, Rate: o.rate, CheckReason: checkReason}, opener.Parts{
		Keys: keys, Codes: codes, Trusted: o.trusted, Store: store, Vault: vault, Logger: log, Now: now,
	})
}

// key is a person's, the same in every process of a test.
func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// register makes a person known to the database.
func (w *world) register(name string, roles ...ticket.Role) {
	w.tb.Helper()
	w.people[name] = key(name)
	w.exec("INSERT INTO hub.person (environment, name, roles, public_key, added_entry) VALUES (1, $1, $2, $3, $4)",
		name, roles, []byte(key(name).Public().(ed25519.PublicKey)), uuid.New())
}

// listed is a list that has everybody.
func (w *world) listed() ([]ticket.Person, error) {
	rows, err := w.super.Query(context.WithoutCancel(w.tb.Context()), "SELECT name, roles, public_key FROM hub.person")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ticket.Person, err error) {
		var public []byte
		err = row.Scan(&p.Name, &p.Roles, &public)
		p.Key = public
		return p, err
	})
}

// draft is a ticket that holds now.
func draft(p ticket.Purpose, s ticket.Scope) ticket.Signed {
	now := time.Now().UTC().Truncate(time.Second)
	return ticket.Signed{Ticket: ticket.Ticket{
		ID: uuid.New(), Hub: origin, Environment: hub.Prod, Purpose: p, Scope: s, Requester: "anna", Reason: reason,
		NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	}}
}

// sign is a ticket with the signatures of some people, anna's and bruno's if none is named.
func sign(tb testing.TB, t ticket.Signed, by ...string) string {
	tb.Helper()
	if len(by) == 0 {
		by = []string{"anna", "bruno"}
	}
	for _, name := range by {
		var err error
		if t, err = t.Sign(name, key(name)); err != nil {
			tb.Fatal(err)
		}
	}
	return string(t.Bytes())
}

// one is the scope of one id.
func one(id uuid.UUID) ticket.Scope { return ticket.Scope{Kind: ticket.OneMessage, ID: id} }

// today is the scope of a day around now.
func today() ticket.Scope {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return ticket.Scope{Kind: ticket.Entries, From: now.Add(-24 * time.Hour), To: now.Add(24 * time.Hour)}
}

// checkReason stands in for the hub's own.
func checkReason(text string) error {
	if text == "" || len(text) > 500 || text == forbidden {
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
func (w *world) entries() []journal.Entry { return w.entriesOf(journal.MessageOpened) }

// entriesOf are those of a kind.
func (w *world) entriesOf(kind journal.Kind) []journal.Entry {
	w.tb.Helper()
	rows, err := w.super.Query(w.tb.Context(), `
SELECT j.body FROM hub.journal_entry j JOIN hub.journal_queue q ON q.entry_id = j.id AND q.entry_at = j.at
WHERE j.kind = $1 ORDER BY j.id`, int16(kind))
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

// usedTicket is the digest of the ticket whose use an entry is of.
func (w *world) usedTicket(e journal.Entry) [sha256.Size]byte {
	w.tb.Helper()
	var file string
	if err := w.super.QueryRow(w.tb.Context(), "SELECT ticket FROM hub.ticket_use WHERE used_entry = $1", e.ID).Scan(&file); err != nil {
		w.tb.Fatal(err)
	}
	return sha256.Sum256([]byte(file))
}

// open asks for one id.
func (w *world) open(id uuid.UUID, attempt int32) (*opener.Answer, error) {
	w.tb.Helper()
	return w.client.Open(w.tb.Context(), opener.Question{Ticket: sign(w.tb, draft(ticket.Open, one(id))), ID: id, Attempt: attempt})
}

// begin begins a session over today.
func (w *world) begin() *opener.Session {
	w.tb.Helper()
	s, err := w.client.Begin(w.tb.Context(), sign(w.tb, draft(ticket.Replay, today())))
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
	"github.com/sinbahub/sinbahub/xsd"
)

// world is a hub after acceptance: a database of its own, keys, and the catalogue of events.
type world struct {
	db          hubtest.DB
	store       *postgres.Store
	keys        *pseudonym.Keys
	events      *sinba.Catalogue
	schema      *xmlschema.Schema
	template    string
	ente        hub.Ente
	participant int32
}

// common is what all worlds of this process share.
var common = sync.OnceValues(func() (world, error) {
	var w world
	text, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return w, err
	}
	if w.events, err = sinba.Load(text, sinba.DefaultReference()); err != nil {
		return w, err
	}
	if w.schema, err = xmlschema.Compile(xsd.SinbaEventi, map[string][]byte{xsd.SinbaEventi: text}); err != nil {
		return w, err
	}
	sample, err := os.ReadFile("../sinba/testdata/esempi/segnalazione.xml")
	if err != nil {
		return w, err
	}
	w.template = string(sample)
	dir, err := os.MkdirTemp("", "delivery-keys-")
	if err != nil {
		return w, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	keys := filepath.Join(dir, "keys")
	if err := pseudonym.InitKeys(keys, hub.Prod, time.Now()); err != nil {
		return w, err
	}
	w.keys, err = pseudonym.LoadKeys(keys, hub.Prod)
	return w, err
})

// newWorld makes a world with an empty database.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	w, err := common()
	if err != nil {
		tb.Fatal(err)
	}
	w.db = hubtest.Database(tb)
	w.store = openStore(tb, w.db)
	ente, err := w.store.UpsertEnte(tb.Context(), hub.Prod, hub.Ente{Code: "SDS-PI", Zone: "Z15", Region: "17"})
	if err != nil {
		tb.Fatal(err)
	}
	w.ente, w.participant = ente, 1
	return &w
}

// openStore connects to a test's database.
func openStore(tb testing.TB, db hubtest.DB) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), postgres.Config{DSN: db.App, Connections: 4})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			tb.Errorf("store: %v", err)
		}
		s.Close()
	})
	return s
}

// accepted is one event of a case, as the gateway leaves it.
type accepted struct {
	transmission uuid.UUID
	message      uuid.UUID
	sequence     int32
}

// child is a case with its subject.
type child struct {
	id, subject uuid.UUID
	index       [32]byte
	taken       int32
}

func newChild() *child {
	c := &child{id: uuid.New(), subject: uuid.New()}
	copy(c.index[:], c.id[:])
	return c
}

// accept stores the next event of a case. change may spoil the regional event.
func (w *world) accept(tb testing.TB, c *child, change func(string) string) accepted {
	tb.Helper()
	return w.acceptAs(tb, c, uuid.New(), change)
}

// acceptAs is accept under a transmission id of the test's own.
func (w *world) acceptAs(tb testing.TB, c *child, transmission uuid.UUID, change func(string) string) accepted {
	tb.Helper()
	c.taken++
	event := uuid.New()
	text := strings.NewReplacer(
		"f29d0da9-953f-48f1-a09f-76b5a170b338", event.String(),
		"<ProgressivoCartella>2<", fmt.Sprintf("<ProgressivoCartella>%d<", c.taken),
	).Replace(w.template)
	verdict, err := w.schema.Check([]byte(text), xmlschema.Bare)
	if err != nil || verdict.Status != xmlschema.Valid {
		tb.Fatalf("sample: %+v %v", verdict, err)
	}
	read, err := w.events.Read(verdict.Payload)
	if err != nil {
		tb.Fatal(err)
	}
	codes, err := w.keys.Codes(pseudonym.Region, w.keys.Epoch(pseudonym.Region), c.subject, c.id)
	if err != nil {
		tb.Fatal(err)
	}
	body := w.events.Regional(read, sinba.RegionalCodes{Pseudonym: codes.Pseudonym(), Rekey: codes.Rekey})
	if change != nil {
		body = []byte(change(string(body)))
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	a := accepted{transmission: transmission, message: uuid.Must(uuid.NewV7()), sequence: c.taken}
	kind := read.Type()
	if c.taken == 1 {
		kind = sinba.AperturaCartella // as the store sees it: a case must be opened
	}
	result, err := w.store.Accept(tb.Context(), &postgres.Acceptance{
		Key:         postgres.Key{Environment: hub.Prod, Ente: w.ente.ID, Event: event},
		Participant: w.participant, EnteCode: w.ente.Code, Region: w.ente.Region, ReceiptID: a.message, ReceivedAt: now, Subject: c.subject,
		Case: postgres.AcceptedCase{ID: c.id, Index: c.index, IndexEpoch: 1, SealedIDs: []byte("x"), FactsEpoch: 1, NationEpoch: 1, New: c.taken == 1},
		Type: kind, Operation: read.Operation(), Sequence: c.taken,
		SchemaVersion: sinba.SchemaVersion, MappingVersion: sinba.MappingVersion, RulesVersion: sinba.RulesVersion,
		RegionEpoch: w.keys.Epoch(pseudonym.Region), NationEpoch: w.keys.Epoch(pseudonym.Nation),
		Sealed: postgres.Sealed{Epoch: uuid.New(), Bytes: []byte("sealed")}, Body: body, TransmissionID: a.transmission,
		Entry: journal.Entry{ID: uuid.Must(uuid.NewV7()), At: now, Kind: journal.EventAccepted, Environment: hub.Prod, Message: a.message},
	})
	if err != nil || result.Status != postgres.StatusAccepted {
		tb.Fatalf("accept: %+v %v", result, err)
	}
	return a
}

// state is what a vendor would be told of an event.
func (w *world) state(t *testing.T, a accepted) postgres.EventState {
	t.Helper()
	s, err := w.store.State(t.Context(), postgres.StateQuery{Environment: hub.Prod, Enti: []int32{w.ente.ID}, Receipt: a.message})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attempt is the log event of one settled attempt.
type attempt struct {
	delivery, result, state string
	codes                   []string
}

// watch is a log core that tells of settled attempts and keeps every line.
type watch struct {
	zapcore.LevelEnabler

	attempts chan attempt
	mu       *sync.Mutex
	lines    *[]string
}

func newWatch() watch {
	return watch{zapcore.DebugLevel, make(chan attempt, 10_000), new(sync.Mutex), new([]string)}
}

func (w watch) With([]zapcore.Field) zapcore.Core { return w }

func (w watch) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, w)
}

func (w watch) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	w.mu.Lock()
	*w.lines = append(*w.lines, fmt.Sprint(e.Level, " ", e.Message, " ", m.Fields))
	w.mu.Unlock()
	if strings.HasPrefix(e.Message, "attempt settled") {
		a := attempt{m.Fields["delivery_id"].(string), m.Fields["result"].(string), m.Fields["state"].(string), nil}
		for _, code := range m.Fields["codes"].([]any) {
			a.codes = append(a.codes, code.(string))
		}
		w.attempts <- a
	}
	return nil
}

func (w watch) Sync() error { return nil }

// log gives every line so far.
func (w watch) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(*w.lines, "\n")
}

// carrier is a running dispatcher.
type carrier struct {
	*delivery.Dispatcher
	watch

	registry *prometheus.Registry
	stop     func()
}

// carry runs a dispatcher until the test ends or stop is called. Its retries come at once.
func (w *world) carry(tb testing.TB, url string, change func(*delivery.Config)) *carrier {
	tb.Helper()
	return w.carryWith(tb, url, pool(tb), time.Now, change)
}

// carryWith is carry with a pool and a clock of the test's own.
func (w *world) carryWith(
	tb testing.TB, url string, p *validator.Pool, now func() time.Time, change func(*delivery.Config),
) *carrier {
	tb.Helper()
	cfg := delivery.Config{
		Environment: hub.Prod, URL: url, Workers: 4, Gather: time.Millisecond, Poll: 5 * time.Millisecond,
		FirstRetry: time.Millisecond, MostRetry: 2 * time.Millisecond, Attempts: 1000, Failures: 1000,
	}
	if change != nil {
		change(&cfg)
	}
	k := &carrier{watch: newWatch(), registry: prometheus.NewRegistry()}
	var err error
	k.Dispatcher, err = delivery.New(cfg, delivery.Parts{
		Store: w.store, Keys: w.keys, Events: w.events, Validator: p, Logger: zap.New(k.watch),
		Registerer: k.registry, Now: now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	k.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(k.stop)
	return k
}

// until waits for the first settled attempt of a delivery that ends in one of the states.
func (k *carrier) until(t *testing.T, id uuid.UUID, states ...hub.DeliveryState) (seen []attempt) {
	t.Helper()
	patience := time.After(2 * time.Minute)
	for {
		select {
		case a := <-k.attempts:
			if a.delivery != id.String() {
				continue
			}
			seen = append(seen, a)
			for _, s := range states {
				if a.state == string(s) {
					return seen
				}
			}
		case <-patience:
			t.Fatalf("%s never reached %v; log:\n%s", id, states, k.log())
		}
	}
}

// final waits until so many deliveries are delivered, refused, dead or parked.
func (k *carrier) final(tb testing.TB, n int) (all []attempt) {
	tb.Helper()
	patience := time.After(5 * time.Minute)
	for ended := 0; ended < n; {
		select {
		case a := <-k.attempts:
			all = append(all, a)
			switch hub.DeliveryState(a.state) {
			case hub.Delivered, hub.Refused, hub.Dead, hub.Parked:
				ended++
			case hub.Pending, hub.Sending, hub.Retrying, hub.Uncertain:
			}
		case <-patience:
			tb.Fatalf("%d of %d ended; log:\n%s", ended, n, k.log())
		}
	}
	return all
}

// nation runs a SISS simulator until the test ends.
func nation(tb testing.TB, faults siss.Faults) (s *siss.Simulator, received string) {
	tb.Helper()
	received = filepath.Join(tb.TempDir(), "received.jsonl")
	s, err := siss.Open(tb.Context(), siss.Config{Received: received, Faults: faults, Now: time.Now, Logger: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("simulator: %v", err)
		}
	})
	return s, received
}

// claimAndForget claims the only due delivery under a lease that is over at once, as a process
// that died would have left it.
func (w *world) claimAndForget(t *testing.T) uuid.UUID {
	t.Helper()
	claimed, err := w.store.Claim(t.Context(), postgres.ClaimQuery{Environment: hub.Prod, Owner: uuid.New(), Limit: 10, Lease: 0})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d: %v", len(claimed), err)
	}
	return claimed[0].ID
}

// parts are enough to make a dispatcher that never runs.
func parts(t *testing.T) delivery.Parts {
	t.Helper()
	return delivery.Parts{Logger: zap.NewNop(), Now: time.Now, Validator: pool(t)}
}

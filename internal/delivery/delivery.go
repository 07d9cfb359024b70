// Package delivery carries accepted events to SISS until each is delivered, refused or in a
// person's hands.
//
// A delivery is claimed under a lease, or, while nothing else waits, begun under one by the
// transaction that accepts its event. The national event is made from the stored regional one
// (a pure function: every attempt sends the same bytes), checked against the national schema,
// and sent under the transmission id that was fixed when the event was accepted. Each answer
// is judged by a pure function, Classify. What may have arrived without a clear answer is
// uncertain: statoTrasmissione is asked before anything is sent again. An attempt ends in one
// transaction with its journal entry; a process that dies between the two leaves a lease that
// runs out, and the next owner asks first as well. So nothing is dropped and nothing counts
// twice.
//
// Several instances share one database: each delivery is held by one of them at a time, they tell each
// other of new work, and together they keep to the agreed rate. A circuit breaker leaves SISS alone
// when it is down or asks for it, and tries a few deliveries before all.
//
// Promises: never more than one event of a case under way, in order; nothing but what conforms
// to xsd/evento-nazionale-v1.xsd ever leaves; no content in logs, metrics or errors; deliveries
// are paced so that they do not starve the door.
//
// Contract: wsdl/SissRicezione.wsdl; SOAP 1.2 over HTTP (SOAP 1.2 Part 2, section 7).
package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// Config is what an operator decides about the national endpoint. Zero fields but URL and
// Environment get the default in brackets.
type Config struct {
	// Environment whose deliveries are carried: nothing of TEST reaches the PROD endpoint.
	Environment hub.Environment
	// URL of SissRicezione.
	URL string
	// CAFile has the certificates to trust for it, PEM [the system's].
	CAFile string
	// Workers is how many attempts run at once [64].
	Workers int
	// Rate is the agreed most calls per second that carry or ask about an event, of all instances on
	// one database together; 0 paces against the door only.
	Rate int
	// Together is how many events per second the machine can accept and deliver in sum; what
	// the door does not use of it goes to delivery, and never less than 1.1 times what the
	// door accepts [3,000].
	Together int
	// Batch is how many deliveries are claimed at once, at most [128].
	Batch int
	// Deadline bounds an attempt, asking and sending together [60 s].
	Deadline time.Duration
	// Lease is how long a claim holds [90 s]. It must be longer than Deadline: what was not
	// begun while Deadline still fits into the lease is given back.
	Lease time.Duration
	// Gather is the least time between two claims that found less than they asked for [50 ms].
	Gather time.Duration
	// Poll is how often to look for what nobody told of: retries that are due, leases that ran out
	// [1 s].
	Poll time.Duration
	// Patience is how long a stop waits for attempts in flight before it cuts them off, which
	// makes them uncertain [10 s].
	Patience time.Duration
	// Attempts is the budget of one delivery; spent, it is dead [60].
	Attempts int
	// FirstRetry and MostRetry bound the waiting before another attempt, which doubles each
	// time and is then drawn evenly from zero to that [1 s, 15 min].
	FirstRetry, MostRetry time.Duration
	// Failures in a row after which the circuit opens: only echo is sent until it answers, and then a
	// few deliveries before all the others [16].
	Failures int
}

// Parts are what delivery works with. Logger, Store, Keys, Events, Validator and Now are
// required; the store's batches must be served (Store.Run) until Run has returned.
type Parts struct {
	Store     *postgres.Store
	Keys      *pseudonym.Keys
	Events    *sinba.Catalogue
	Validator *validator.Pool
	Logger    *zap.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Now is the clock of attempts, journal entries and pacing. Leases and retries run by the
	// database's.
	Now func() time.Time
	// Keep seals the national event of a delivery, so that what was sent can be shown;
	// nil keeps nothing.
	Keep func(ctx context.Context, c *postgres.Claimed, national []byte) (postgres.Sealed, error)
	// MaySend tells whether SISS may get an event with a subject's code of an epoch: not before it was told
	// which earlier code that continues. nil: always.
	MaySend func(ctx context.Context, subject uuid.UUID, epoch int32) (bool, error)
	// Version is the hub's, for the journal.
	Version string
}

// Dispatcher carries deliveries. Make it with New, then Run it once.
type Dispatcher struct {
	cfg     Config
	store   *postgres.Store
	maker   maker
	client  *client
	pool    *validator.Pool
	log     *zap.Logger
	metrics *metrics
	now     func() time.Time
	owner   uuid.UUID
	keep    func(ctx context.Context, c *postgres.Claimed, national []byte) (postgres.Sealed, error)
	// mayGo is Parts.MaySend.
	mayGo   func(ctx context.Context, subject uuid.UUID, epoch int32) (bool, error)
	version string

	pace    *pace
	rate    atomic.Int64 // agreed per second, 0 for none
	slots   *slots
	circuit *circuit
	wake    chan struct{} // something may be due
	news    chan struct{} // other instances should hear of it
	queue   chan held     // claimed, waits for a worker
	direct  *direct       // accepted under a lease, waits for a worker
	ends    chan ended    // attempted, waits for its settlement
}

var (
	errURL   = errors.New("address of SISS must be http or https with a host")
	errLease = errors.New("lease must be longer than the deadline of an attempt")
	errCA    = errors.New("CA file holds no certificate")
)

// New checks the configuration and reads the CA file. Nothing is sent before Run.
func New(cfg Config, parts Parts) (*Dispatcher, error) {
	cfg = cfg.withDefaults()
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errURL
	}
	if cfg.Lease <= cfg.Deadline {
		return nil, errLease
	}
	transport, err := newTransport(cfg.CAFile, cfg.Workers)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(parts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	d := &Dispatcher{
		cfg: cfg, store: parts.Store, pool: parts.Validator, now: parts.Now, metrics: m, owner: uuid.New(),
		keep: parts.Keep, version: parts.Version, mayGo: parts.MaySend,
		log:    parts.Logger.Named("delivery"),
		maker:  maker{events: parts.Events, keys: parts.Keys},
		client: &client{url: cfg.URL, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, validator: parts.Validator},
		pace:   newPace(float64(cfg.Rate), float64(cfg.Together), float64(cfg.Batch), parts.Now()),
		wake:   make(chan struct{}, 1),
		news:   make(chan struct{}, 1),
		queue:  make(chan held, cfg.Batch),
		direct: newDirect(cfg.Batch),
		ends:   make(chan ended, cfg.Batch),
	}
	d.rate.Store(int64(cfg.Rate))
	d.slots = &slots{store: parts.Store, environment: cfg.Environment, rate: d.agreed, now: parts.Now}
	d.circuit = newCircuit(cfg.Failures, rest, func(state circuitState) {
		m.circuitIs(state)
		d.look()
	})
	return d, nil
}

func (c Config) withDefaults() Config {
	set(&c.Workers, 64)
	set(&c.Together, 3000)
	set(&c.Batch, 128)
	set(&c.Deadline, time.Minute)
	set(&c.Lease, 90*time.Second)
	set(&c.Gather, 50*time.Millisecond)
	set(&c.Poll, time.Second)
	set(&c.Patience, 10*time.Second)
	set(&c.Attempts, 60)
	set(&c.FirstRetry, time.Second)
	set(&c.MostRetry, 15*time.Minute)
	set(&c.Failures, 16)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Wake tells that one event was accepted: call it once for each, it never blocks. It wakes the
// claiming and lets the pace follow the door.
func (d *Dispatcher) Wake() {
	d.pace.accepted()
	d.look()
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// look makes the claiming look again.
func (d *Dispatcher) look() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run carries deliveries until ctx ends; then it claims nothing new, gives back what it had not
// begun, lets attempts in flight end and settles them. It returns nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	// Attempts outlive ctx by Patience, settlements by as long as the store needs.
	flying, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var workers, settlers, watch sync.WaitGroup
	for range d.cfg.Workers {
		workers.Go(func() { d.work(ctx, flying) })
	}
	for range d.cfg.Batch {
		settlers.Go(func() { d.settleAll(context.WithoutCancel(ctx)) })
	}
	watch.Go(func() { d.watchBacklog(ctx) })
	watch.Go(func() { d.tellAll(ctx) })
	watch.Go(func() { d.hearAll(ctx) })
	d.claimAll(ctx)
	close(d.queue)
	patience := time.AfterFunc(d.cfg.Patience, cut)
	defer patience.Stop()
	d.direct.close()
	workers.Wait()
	close(d.ends)
	settlers.Wait()
	watch.Wait()
	d.client.http.CloseIdleConnections()
	return nil
}

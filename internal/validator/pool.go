package validator

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// A worker sees every message, so what takes it over must not see many.
const (
	maxServed = 1000
	maxAge    = time.Minute
)

// How long to wait before the next start after one that failed: it doubles up to the longest.
const (
	firstPause = 10 * time.Millisecond
	longPause  = time.Second
)

// defaultDeadline is the design's: libxml2 takes milliseconds for the largest honest message.
const defaultDeadline = 2 * time.Second

// Pool is a set of jailed workers. All methods are safe for concurrent use.
type Pool struct {
	cfg      Config
	log      *zap.Logger
	names    map[Schema]xmlschema.Names
	preamble []byte

	maxServed int
	maxAge    time.Duration

	// usual has the documents that every message is like, large those above LargeDocument.
	usual, large *queue
	starts       chan startRequest
	// ways are those to start a worker in, the best first.
	ways []syscall.SysProcAttr

	started  atomic.Bool
	alive    atomic.Int32
	restarts *prometheus.CounterVec
	parts    *prometheus.GaugeVec
	// missing are the parts that the last worker's jail lacked, as logged.
	missing atomic.Pointer[string]

	closing sync.Once
	closed  chan struct{}
	slots   sync.WaitGroup
	starter sync.WaitGroup
	endOf   chan struct{} // ends the starter
}

// New checks the configuration and reads the names of the schemas. It starts nothing.
func New(cfg Config) (*Pool, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Deadline <= 0 {
		cfg.Deadline = defaultDeadline
	}
	if cfg.Executable == "" {
		cfg.Executable = "/proc/self/exe" // also when the file was replaced meanwhile
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	p := &Pool{
		cfg: cfg, log: cfg.Logger,
		names:     map[Schema]xmlschema.Names{},
		maxServed: maxServed, maxAge: maxAge,
		usual: newQueue(), large: newQueue(),
		starts: make(chan startRequest),
		ways:   waysToStart(os.Getuid(), os.Getgid()),
		closed: make(chan struct{}),
		endOf:  make(chan struct{}),
	}
	if len(cfg.Schemas) == 0 {
		return nil, errConfig
	}
	for s, files := range cfg.Schemas {
		if err := p.addSchema(s, files); err != nil {
			return nil, err
		}
	}
	p.preamble = preamble(cfg.Schemas)
	return p, p.register(cfg.Registerer)
}

func (p *Pool) addSchema(s Schema, files SchemaFiles) error {
	if s == 0 || s > maxSchema {
		return errConfig
	}
	for name := range files.Files {
		if name == "" || len(name) > 255 {
			return errConfig
		}
	}
	names, err := xmlschema.ReadNames(files.Main, files.Files)
	if err != nil {
		return err
	}
	if files.Namespace != "" && names.Namespace != files.Namespace {
		return errNamespace
	}
	if names.Lot = files.Lot; !names.LotKnown() {
		return errConfig
	}
	p.names[s] = names
	return nil
}

// register makes the metrics. Every reason is there from the start, with zero.
func (p *Pool) register(r prometheus.Registerer) error {
	p.restarts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hub_validator_restarts_total",
		Help: "Workers that were replaced, by reason.",
	}, []string{"reason"})
	for _, why := range []reason{crashed, overdue, misspoke, worn} {
		p.restarts.WithLabelValues(string(why))
	}
	p.parts = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "hub_validator_jail_parts",
		Help: "1 for each part of the jail that the newest worker was seen to have, 0 for one the system refused.",
	}, []string{"part"})
	for _, part := range Parts() {
		p.parts.WithLabelValues(string(part))
	}
	if r == nil {
		return nil
	}
	workers := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hub_validator_workers",
		Help: "Jailed workers that are ready to validate.",
	}, func() float64 { return float64(p.alive.Load()) })
	for _, c := range []prometheus.Collector{workers, p.parts, p.restarts} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the workers and waits until each has compiled its schemas. If one cannot be
// started the pool is closed; the error is a *JailError if it was for want of a part of its
// jail. It may be called once.
func (p *Pool) Start(ctx context.Context) error {
	if p.started.Swap(true) || p.isClosed() {
		return errClosed
	}
	p.starter.Go(func() { p.runStarter(p.endOf) })
	first := make(chan spawned, p.cfg.Workers+1)
	for i := range p.cfg.Workers + 1 {
		l := lane{p.usual, 0, p.cfg.Deadline}
		if i == 0 {
			l = lane{p.large, largeNiceness, largePatience * p.cfg.Deadline}
		}
		p.slots.Go(func() {
			c, err := p.spawn()
			if err == nil {
				c.giveWay(l.nice)
			}
			first <- spawned{c, err}
			if err == nil {
				p.runSlot(c, l)
			}
		})
	}
	for range p.cfg.Workers + 1 {
		select {
		case s := <-first:
			if s.err != nil {
				_ = p.Close()
				return s.err
			}
		case <-ctx.Done():
			_ = p.Close()
			return ctx.Err()
		}
	}
	return nil
}

// Close lets the workers answer what they have, ends them, and waits until they are gone.
// Validate fails from its beginning on.
func (p *Pool) Close() error {
	p.closing.Do(func() {
		close(p.closed)
		p.slots.Wait()
		close(p.endOf)
		p.starter.Wait()
	})
	return nil
}

// Alive gives nil if a worker is ready.
func (p *Pool) Alive() error {
	switch {
	case !p.started.Load():
		return errNotStarted
	case p.isClosed():
		return errClosed
	case p.alive.Load() == 0:
		return errNoWorker
	}
	return nil
}

func (p *Pool) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

// lane is what a slot takes its documents from, how much its workers give way to others, and how
// long they may take for a document.
//
// Large documents have a lane of their own: one of 2 MB takes as long as three hundred messages,
// and a sender who keeps fifty of them under way would keep all others waiting for seconds. There
// is one worker for them, which gives way to the others and therefore may take longer: who waits
// for a processor has done nothing wrong.
type lane struct {
	queue    *queue
	nice     int
	deadline time.Duration
}

// runSlot keeps one worker running until the pool is closed: when it ends or wears out the
// next takes over, with the documents it left unanswered.
func (p *Pool) runSlot(c *child, l lane) {
	var left []*call
	for c != nil {
		p.alive.Add(1)
		t := newTurn(p, c, l)
		left = t.run(left)
		p.alive.Add(-1)
		p.note(t.session, len(left))
		c = t.successor
		if c == nil {
			c = p.respawn(len(left) > 0)
		}
		if c != nil {
			c.giveWay(l.nice)
		}
	}
	for _, lost := range left {
		lost.answer <- outcome{err: hub.NewError(hub.Unavailable, hub.CodeStopping, errClosed)}
	}
}

// note counts and logs the end of a worker.
func (p *Pool) note(s *session, unanswered int) {
	if s.why == "" {
		return
	}
	p.restarts.WithLabelValues(string(s.why)).Inc()
	if s.why != worn {
		p.log.Warn("validator worker ended", zap.String("reason", string(s.why)), zap.String("status", s.child.status),
			zap.Int("served", s.sent), zap.Int("unanswered", unanswered))
	}
}

// respawn starts a worker, again and again until one starts. It gives nil when the pool is
// closed, unless documents still need an answer and the system lets one start at once.
func (p *Pool) respawn(needed bool) *child {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		if p.isClosed() && !needed {
			return nil
		}
		c, err := p.spawn()
		if err == nil {
			return c
		}
		p.log.Error("start validator worker", zap.Error(err))
		select {
		case <-p.closed:
			return nil
		case <-time.After(pause):
		}
	}
}

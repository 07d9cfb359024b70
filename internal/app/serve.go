// Package app builds the hub's processes from the packages, starts and stops them: serve, the
// verbs of the operators, and the demo. Nothing else may know all the parts.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/pkg/sched"
)

// ServeOptions are what the command line adds to the configuration.
type ServeOptions struct {
	Version string
	// AddressesFile is written once both listeners answer.
	AddressesFile string
	// Log takes the JSON lines.
	Log io.Writer
	// Reload reads the configuration again as it was read for the start; nil: it never changes.
	Reload func() (config.Config, error)
}

// Addresses is where a running serve listens.
type Addresses struct {
	Soap  string `json:"soap"`
	Admin string `json:"admin"`
}

// server is one running serve: its parts, and the stack of what must be undone.
type server struct {
	cfg      config.Config
	opts     ServeOptions
	log      *zap.Logger
	level    zap.AtomicLevel
	registry *prometheus.Registry

	stores    stores
	guard     *postgres.Guard
	full      postgres.Fullness
	vaultPool *pgxpool.Pool
	keys      *pseudonym.Keys
	sealer    *pseudonym.Sealer
	pool      *validator.Pool
	members   *authn.Registry
	gateway   *gateway.Gateway
	delivery  *delivery.Dispatcher
	dated     *dated
	others    *others
	notary    *notary
	// events reads stored events, whatever lists are in force.
	events *sinba.Catalogue
	// reconciler is there where delivery is.
	reconciler *delivery.Reconciler
	// keyring keeps the keys up to date; teller tells SISS of codes that changed, where delivery is.
	keyring *keyring
	teller  *delivery.Teller

	// told is the digest of the severities that the log tells of.
	told    *[32]byte
	watch   *watch
	reloads *reloads
	// inForce is the configuration as the last reload left it.
	inForce atomic.Pointer[config.Config]
	// leaving says that the order to stop has come.
	leaving atomic.Bool

	soap, admin net.Listener
	undo        []func()
	// hangups asks for a reload.
	hangups chan os.Signal
}

// Serve runs the gateway and the delivery until ctx ends or a part fails. It then accepts
// nothing new, finishes the exchanges and attempts in flight (at most limits.drain), and stops.
func Serve(ctx context.Context, cfg config.Config, opts ServeOptions) error {
	s := &server{cfg: cfg, opts: opts, registry: prometheus.NewRegistry()}
	s.log, s.level = newLogger(cfg.Log.Level, opts.Log, opts.Version)
	s.reloads = newReloads(s.registry)
	s.inForce.Store(&cfg)
	// From the first moment, so that a reload asked for too early ends nothing.
	s.hangups = make(chan os.Signal, 1)
	signal.Notify(s.hangups, syscall.SIGHUP)
	defer signal.Stop(s.hangups)
	tuneMemory()
	// Before the first child: the jail's workers take turns as this process does.
	if err := sched.Batch(os.Getpid(), sched.Slice); err != nil {
		s.log.Warn("the usual scheduling policy stays", zap.Error(err))
	}
	// A core file would hold keys and messages.
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		s.log.Warn("core files could not be switched off", zap.Error(err))
	}
	if err := s.build(ctx); err != nil {
		s.log.Error("start refused", zap.Error(err))
		s.close()
		return err
	}
	err := (&bounded{run: s.run, drain: func() time.Duration { return s.config().Limits.Drain }, close: s.close, log: s.log}).wait(ctx)
	s.log.Info("stopped")
	return err
}

// tuneMemory lets the heap grow further between collections than Go would by itself: live data
// is a few megabytes, so that the default collects many times a second. The environment's GOGC
// and GOMEMLIMIT win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(170 << 20)
	}
}

// onClose remembers what to undo, last first.
func (s *server) onClose(undo func()) { s.undo = append(s.undo, undo) }

func (s *server) close() {
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
}

// build makes every part and checks what must hold before the first request.
func (s *server) build(ctx context.Context) error {
	s.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(s.opts.Version),
	)
	if s.cfg.Embedded() {
		// The embedded server's user must pass; what is secret below is for its owner only.
		if err := os.MkdirAll(s.cfg.Var, 0o755); err != nil { //nolint:gosec // see above
			return fmt.Errorf("var folder: %w", err)
		}
	}
	// Rules that must not be softened refuse the start before anything runs.
	if _, err := newSeverities(s.cfg); err != nil {
		return err
	}
	var err error
	// First the jail: a hub that must have it and has not touches neither keys nor rows.
	if s.pool, err = newPool(s.cfg, s.log, s.registry); err != nil {
		return err
	}
	if err := s.pool.Start(ctx); err != nil {
		return fmt.Errorf("start validator: %w", err)
	}
	s.onClose(func() { _ = s.pool.Close() })
	if s.keys, err = loadKeys(s.cfg); err != nil {
		return err
	}
	if err := s.openStores(ctx); err != nil {
		return err
	}
	if err := s.buildNotary(ctx); err != nil {
		return err
	}
	s.others = newOthers(s.registry)
	s.sealer = pseudonym.NewSealer(s.keys, s.stores.vault.RecordEpoch, time.Now)
	s.plantRoad()
	if err := s.buildDelivery(); err != nil {
		return err
	}
	if err := s.buildGateway(ctx); err != nil {
		return err
	}
	return s.listen(ctx)
}

// buildGateway makes the door from the registry as it is now.
func (s *server) buildGateway(ctx context.Context) error {
	catalogue, err := contract.New()
	if err != nil {
		return fmt.Errorf("load contract: %w", err)
	}
	roll, err := s.stores.store.LoadRegistry(ctx, s.cfg.Env())
	if err != nil {
		return fmt.Errorf("load registry: %w", err)
	}
	if s.dated, err = newDated(s.cfg.Reference.Dir, s.log, s.registry); err != nil {
		return err
	}
	reference, err := newReference(s.cfg, s.dated.set, roll)
	if err != nil {
		return fmt.Errorf("load catalogue of events: %w", err)
	}
	s.events = reference.Events
	s.tellSeverities(reference.Severities, roll)
	if !s.cfg.BasicAuth {
		s.log.Warn("no credential profile is enabled: every request will be refused")
	}
	s.members = authn.NewRegistry(credentials(s.cfg, roll))
	s.gateway = gateway.New(gateway.Config{
		Environment: s.cfg.Env(), PublicURL: s.cfg.PublicURL, Version: s.opts.Version,
		Door: s.doorLimits(), Limits: gatewayLimits(s.cfg),
	}, reference, gateway.Parts{
		Contract: catalogue, Validator: s.pool, Registry: s.members, Keys: s.keys,
		Vault: s.stores.vault, Sealer: s.sealer, Store: s.stores.store, Joinable: s.joinable,
		Logger: s.log, Registerer: s.registry, Now: time.Now,
		Accepted: s.wake, JournalKeys: s.notary.key.Published,
		Checkpoint: func() journal.Checkpoint { return *s.notary.published.Load() },
	})
	// A hub that starts in a maintenance takes nothing before it knows of it.
	s.watch = s.newWatch()
	if err := s.watch.look(ctx); err != nil {
		return fmt.Errorf("look at the door: %w", err)
	}
	return nil
}

// config is the configuration in force.
func (s *server) config() config.Config { return *s.inForce.Load() }

// listen opens both listeners, so that a taken port refuses the start.
func (s *server) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if s.soap, err = lc.Listen(ctx, "tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.onClose(func() { _ = s.soap.Close() })
	if s.admin, err = lc.Listen(ctx, "tcp", s.cfg.AdminListen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.onClose(func() { _ = s.admin.Close() })
	return nil
}

// run serves until ctx ends or a part fails, and then tells stopping. The parts that others need outlive them: what looks after
// accepted events works for as long as the door takes new ones, and the stores until all others ended.
func (s *server) run(ctx context.Context, stopping context.CancelCauseFunc) error {
	storesCtx, stopStores := context.WithCancel(context.WithoutCancel(ctx))
	storesGroup := s.runStores(storesCtx)
	storesGroup.Go(func() error {
		s.gateway.Watch(storesCtx)
		return nil
	})
	defer func() {
		s.gateway.JournalStrangers(storesCtx)
		finishing, cancel := context.WithTimeout(storesCtx, s.config().Limits.Drain/20)
		s.gateway.Finish(finishing)
		cancel()
		s.notary.close(storesCtx)
		stopStores()
		_ = storesGroup.Wait()
	}()

	// Before the first event that is judged under it.
	s.began(ctx)
	group, ctx := errgroup.WithContext(ctx)
	taking, refuse := context.WithCancel(context.WithoutCancel(ctx))
	defer refuse()
	door := s.gateway.Server()
	s.plantDoor(door)
	admin := s.adminServer()
	group.Go(func() error { return serveUntilShutdown(door, s.gateway.Guard(s.soap)) })
	group.Go(func() error { return serveUntilShutdown(admin, s.admin) })
	group.Go(func() error { return s.deliver(taking) })
	group.Go(func() error { return s.reconcile(ctx) })
	group.Go(func() error { return s.keyring.run(taking) })
	group.Go(func() error { return s.tellCodes(ctx) })
	group.Go(func() error {
		s.watch.run(taking)
		return nil
	})
	group.Go(func() error { return s.housekeep(ctx) })
	group.Go(func() error { return s.lookAcross(ctx) })
	group.Go(func() error { return s.retain(ctx) })
	group.Go(func() error { return s.keepCluster(taking) })
	group.Go(func() error { return s.notary.run(taking) })
	group.Go(func() error {
		s.notary.patrol.run(taking)
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stopping(context.Cause(ctx))
		return s.drain(ctx, refuse, door, admin)
	})
	if err := s.announce(); err != nil {
		return err
	}
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// announce tells where it listens, in the log and in the file asked for.
func (s *server) announce() error {
	addresses := Addresses{Soap: "http://" + s.soap.Addr().String(), Admin: "http://" + s.admin.Addr().String()}
	s.log.Info("serving", zap.String("soap_url", addresses.Soap+contract.Path), zap.String("admin_url", addresses.Admin),
		zap.String("environment", s.cfg.Env().String()), zap.Bool("delivering", s.delivery != nil))
	if s.opts.AddressesFile == "" {
		return nil
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return writeOwnerFile(s.opts.AddressesFile, append(text, '\n'))
}

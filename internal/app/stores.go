package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/sinbahub/sinbahub/internal/authn"
	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/xsd"
)

// partitionsAhead is how many months of partitions are kept ready.
const partitionsAhead = 3

// stores are the two databases as their roles see them, and the embedded cluster if there is one.
type stores struct {
	store   *postgres.Store
	vault   *pseudonym.Vault
	cluster *postgres.Cluster
}

// migrations are the sets that run beside the hub's own.
func migrations() []postgres.MigrationSet {
	return []postgres.MigrationSet{{Name: "vault", FS: pseudonym.Migrations, Table: "vault.goose_version"}}
}

// clusterAttempts is how often startCluster looks for a server that answers.
const clusterAttempts = 5

// startCluster starts, or attaches to, the embedded cluster of a var folder and migrates it. For serve
// and for who prepares it only: others that attach must not change what a running serve stands on.
func startCluster(ctx context.Context, varDir string, log *zap.Logger) (*postgres.Cluster, error) {
	for attempt := 1; ; attempt++ {
		cluster, err := postgres.StartCluster(ctx, clusterConfig(varDir, log))
		if err != nil {
			return nil, fmt.Errorf("start embedded database: %w", err)
		}
		if err = cluster.Migrate(ctx, migrations()...); err == nil {
			return cluster, nil
		}
		// A server found running may have been about to end: then it is gone now, and started anew.
		if !cluster.Attached() || !errors.Is(err, postgres.ErrConnection) || attempt == clusterAttempts || ctx.Err() != nil {
			return nil, fmt.Errorf("migrate embedded database: %w", err)
		}
		pause(ctx, time.Second)
	}
}

func clusterConfig(varDir string, log *zap.Logger) postgres.ClusterConfig {
	return postgres.ClusterConfig{Dir: filepath.Join(varDir, "postgres"), Logger: log}
}

// keepCluster starts the embedded server again whenever it ends, until ctx ends.
func (s *server) keepCluster(ctx context.Context) error {
	if s.stores.cluster != nil {
		s.stores.cluster.Keep(ctx, clusterConfig(s.cfg.Var, s.log))
	}
	return nil
}

// openStores connects both roles and checks the server and its version.
func (s *server) openStores(ctx context.Context) error {
	appURL, vaultURL := s.cfg.Database.URL.Reveal(), s.cfg.Database.VaultURL.Reveal()
	if s.cfg.Embedded() {
		cluster, err := startCluster(ctx, s.cfg.Var, s.log)
		if err != nil {
			return err
		}
		s.stores.cluster = cluster
		appURL, vaultURL = cluster.AppDSN(), cluster.VaultDSN()
		s.onClose(func() {
			if cluster.Attached() {
				return // another process started it and stops it
			}
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			_ = cluster.Stop(stopping)
		})
	}
	if err := s.openGuard(); err != nil {
		return err
	}
	var err error
	if s.stores.store, err = postgres.Open(ctx, postgres.Config{
		DSN: appURL, Connections: int32(min(s.cfg.Database.MaxConns, 1000)), Logger: s.log, Registerer: s.registry, //nolint:gosec // bounded
		Guard: s.guard, Fullness: &s.full,
	}); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	s.onClose(s.stores.store.Close)
	if err := errors.Join(s.stores.store.CheckServer(ctx), s.stores.store.CheckVersion(ctx)); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if err := s.stores.store.EnsurePartitions(ctx, partitionsAhead); err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	if err := s.stores.store.CheckKeys(ctx, s.cfg.Env(), s.keys.Fingerprints()); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	s.keyring = newKeyring(s.cfg, s.keys, s.stores.store, s.log)
	if err := s.keyring.look(ctx); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	return s.openVault(ctx, vaultURL)
}

// openVault connects as the vault's own role.
func (s *server) openVault(ctx context.Context, url string) error {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return errors.New("database.vault_url is no PostgreSQL URL")
	}
	cfg.MaxConns = int32(min(s.cfg.Database.MaxConns, 1000)) //nolint:gosec // bounded
	s.guard.Protect(cfg, false)
	s.full.Watch(cfg.ConnConfig)
	pool, lanes, err := postgres.Divide(ctx, cfg, s.guard, 2)
	if err != nil {
		return errors.New("connect vault")
	}
	s.vaultPool = pool
	for _, opened := range append(lanes, pool) {
		s.onClose(opened.Close)
	}
	if err := postgres.CheckServer(ctx, s.vaultPool); err != nil {
		return fmt.Errorf("check vault: %w", err)
	}
	for _, set := range migrations() {
		if err := postgres.CheckVersion(ctx, s.vaultPool, set); err != nil {
			return fmt.Errorf("check vault: %w", err)
		}
	}
	s.stores.vault = pseudonym.NewVault(s.vaultPool, s.keys)
	s.stores.vault.UseLanes(pseudonym.Lanes{Reserve: lanes[0], Subjects: lanes[1]})
	return nil
}

// runStores serves the batches of both stores until ctx ends.
func (s *server) runStores(ctx context.Context) *errgroup.Group {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.stores.store.Run(ctx) })
	group.Go(func() error {
		s.stores.vault.Run(ctx)
		return nil
	})
	group.Go(func() error {
		s.sealer.Run(ctx)
		return nil
	})
	return group
}

// housekeep does what is due from time to time: the registry and the reference data every ten
// seconds and, with the configuration, on SIGHUP, the sweep of pending subjects, of those that have no
// case any more and erasures that were begun every minute,
// partitions every hour.
func (s *server) housekeep(ctx context.Context) error {
	open := newTransactions(s.stores.store, s.registry)
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for n := 1; ; n++ {
		open.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-s.hangups:
			s.reconfigure(ctx)
			s.reload(ctx)
			n--
			continue
		case <-ticker.C:
		}
		s.reload(ctx)
		s.payJournal(ctx)
		if n%6 == 0 {
			s.gateway.JournalStrangers(ctx)
			s.releaseLeft(ctx)
			s.sweep(ctx)
			s.settleErasures(ctx)
		}
		if n%360 == 0 {
			if err := s.stores.store.EnsurePartitions(ctx, partitionsAhead); err != nil {
				s.log.Error("partitions not made", zap.Error(err))
			}
		}
	}
}

// refresh puts the registry and the reference data as they are now in force.
func (s *server) refresh(ctx context.Context) error {
	roll, err := s.stores.store.LoadRegistry(ctx, s.cfg.Env())
	if err != nil {
		return err
	}
	s.dated.follow()
	cfg := s.config()
	reference, err := newReference(cfg, s.dated.set, roll)
	if err != nil {
		return err
	}
	s.members.Replace(credentials(cfg, roll))
	s.gateway.Refer(reference)
	s.tellSeverities(reference.Severities, roll)
	return nil
}

// sweep deletes subjects that were reserved for events which never came.
func (s *server) sweep(ctx context.Context) {
	deleted, err := s.stores.vault.Sweep(ctx, s.stores.store.EventsOf)
	if err != nil {
		s.log.Warn("sweep of pending subjects did not finish", zap.Error(err))
		return
	}
	if deleted > 0 {
		s.log.Info("pending subjects swept", zap.Int("subjects", deleted))
	}
}

// credentials are the registry's in authn's words: none where the configuration does not allow
// HTTP Basic, which is the only profile so far.
func credentials(cfg config.Config, roll *postgres.Registry) []authn.Credential {
	if !cfg.BasicAuth {
		return nil
	}
	list := make([]authn.Credential, 0, len(roll.Credentials))
	for _, c := range roll.Credentials {
		list = append(list, authn.Credential{User: c.User, PasswordSHA256: c.PasswordSHA256, Participant: c.Participant})
	}
	return list
}

// newReference builds the catalogue of events over the dated lists and the registry's closed ones.
func newReference(cfg config.Config, data *codelist.Set, roll *postgres.Registry) (gateway.Reference, error) {
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return gateway.Reference{}, err
	}
	lists := registryLists(roll)
	lists.Use(data)
	events, err := sinba.Load(schema, lists)
	if err != nil {
		return gateway.Reference{}, err
	}
	severities, err := newSeverities(cfg)
	if err != nil {
		return gateway.Reference{}, err
	}
	return gateway.Reference{
		Events: events, Severities: severities,
		Certified: certifiedBy(roll),
	}, nil
}

// registryLists are the closed lists that the registry holds.
func registryLists(roll *postgres.Registry) (lists sinba.Reference) {
	for _, e := range roll.Enti {
		lists.Enti = append(lists.Enti, e.Code)
		lists.Zones = append(lists.Zones, e.Zone)
	}
	for _, p := range roll.Products {
		lists.Vendors = append(lists.Vendors, p.Vendor)
		lists.Products = append(lists.Products, p.Name)
		// An empty version is certified whatever the message says, but is no version to keep.
		if p.Version != "" {
			lists.ProductVersions = append(lists.ProductVersions, p.Version)
		}
		if p.Certificate != "" {
			lists.Certificates = append(lists.Certificates, p.Certificate)
		}
	}
	return lists
}

// certifiedBy tells whether a participant may name a product.
func certifiedBy(roll *postgres.Registry) func(participant int32, vendor, name string) bool {
	type product struct {
		participant  int32
		vendor, name string
	}
	certified := map[product]bool{}
	for participant, named := range roll.Named {
		for _, p := range named {
			certified[product{participant, p.Vendor, p.Name}] = true
		}
	}
	return func(participant int32, vendor, name string) bool {
		return certified[product{participant, vendor, name}]
	}
}

// loadKeys reads the keysets, making them first where nothing is configured and none exist.
func loadKeys(cfg config.Config) (*pseudonym.Keys, error) {
	if _, err := os.Stat(cfg.Keys.Dir); errors.Is(err, fs.ErrNotExist) && cfg.Embedded() {
		if err := InitKeys(cfg); err != nil {
			return nil, err
		}
	}
	keys, err := pseudonym.LoadKeys(cfg.Keys.Dir, cfg.Env())
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return keys, nil
}

// InitKeys makes the keysets of the configured environment; it never overwrites.
func InitKeys(cfg config.Config) error {
	if err := pseudonym.InitKeys(cfg.Keys.Dir, cfg.Env(), time.Now()); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	return nil
}

// newPool makes the validator with both contracts.
func newPool(cfg config.Config, log *zap.Logger, registerer prometheus.Registerer) (*validator.Pool, error) {
	return newPoolWith(cfg, log, registerer, nil)
}

// newPoolWith is newPool with further schemas.
func newPoolWith(cfg config.Config, log *zap.Logger, registerer prometheus.Registerer, further map[validator.Schema]validator.SchemaFiles) (*validator.Pool, error) {
	schemas := map[validator.Schema]validator.SchemaFiles{
		validator.SinbaEventi:   {Main: xsd.SinbaEventi, Namespace: sinba.NamespaceEvent, Lot: validator.EventLot()},
		validator.SissRicezione: {Main: xsd.SissRicezione, Namespace: sinba.NamespaceNational},
		delivery.SchemaFault:    {Main: xsd.SoapFault},
	}
	for which, names := range map[validator.Schema][]string{
		validator.SinbaEventi:   {xsd.SinbaEventi},
		validator.SissRicezione: {xsd.SissRicezione, xsd.EventoNazionale},
		delivery.SchemaFault:    {xsd.SoapFault, xsd.SissRicezione, xsd.EventoNazionale},
	} {
		files := schemas[which]
		files.Files = map[string][]byte{}
		for _, name := range names {
			text, err := xsd.FS.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read schema: %w", err)
			}
			files.Files[name] = text
		}
		schemas[which] = files
	}
	maps.Copy(schemas, further)
	pool, err := validator.New(validator.Config{
		Workers: cfg.Jail.Workers, Deadline: cfg.Jail.Deadline, RequireJail: cfg.Jail.Mode == config.JailRequire,
		Schemas: schemas, Logger: log, Registerer: registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("build validator: %w", err)
	}
	return pool, nil
}

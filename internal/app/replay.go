package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/sinbahub/sinbahub/internal/codelist"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/replay"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/xsd"
)

// replayConnections is how many connections a replay has to the store, and one to the vault: all are
// open before it may open no more.
const replayConnections = 2

// ReplayParts opens what a replay works with, all connections included, but for the opener. The workers
// know another schema of events besides, if there is one. What it returns last closes it all again.
func ReplayParts(ctx context.Context, cfg config.Config, schema []byte) (_ *replay.Parts, _ func(), err error) {
	var undo []func()
	closeAll := func() {
		for _, do := range slices.Backward(undo) {
			do()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	keys, err := loadKeys(cfg)
	if err != nil {
		return nil, nil, err
	}
	parts := &replay.Parts{Environment: cfg.Env(), Keys: keys, Now: time.Now}
	url, vaultURL := cfg.Database.URL.Reveal(), cfg.Database.VaultURL.Reveal()
	if cfg.Embedded() {
		cluster, err := startCluster(ctx, cfg.Var, zap.NewNop())
		if err != nil {
			return nil, nil, err
		}
		url, vaultURL = cluster.AppDSN(), cluster.VaultDSN()
		if !cluster.Attached() {
			undo = append(undo, func() { _ = cluster.Stop(context.WithoutCancel(ctx)) })
		}
	}
	if parts.Store, err = postgres.Open(ctx, postgres.Config{DSN: url, Connections: replayConnections, Lasting: true}); err != nil {
		return nil, nil, fmt.Errorf("open store: %w", err)
	}
	undo = append(undo, parts.Store.Close)
	pool, err := openReplayVault(ctx, vaultURL)
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, pool.Close)
	parts.Vault = pseudonym.NewVault(pool, keys)
	if err := errors.Join(parts.Store.CheckVersion(ctx), parts.Store.CheckKeys(ctx, cfg.Env(), keys.Fingerprints()), useEpochs(ctx, keys, parts.Store, cfg.Env()), parts.Store.EnsurePartitions(ctx, partitionsAhead), parts.Store.Warm(ctx)); err != nil {
		return nil, nil, fmt.Errorf("check database: %w", err)
	}
	undo = append(undo, runReplayStores(ctx, parts))
	if err := replayVersions(ctx, cfg, parts); err != nil {
		return nil, nil, err
	}
	if parts.Validator, err = newReplayPool(cfg, schema); err != nil {
		return nil, nil, err
	}
	if err := parts.Validator.Start(ctx); err != nil {
		return nil, nil, fmt.Errorf("start validator: %w", err)
	}
	undo = append(undo, func() { _ = parts.Validator.Close() })
	return parts, closeAll, nil
}

// openReplayVault connects as the vault's role, once and for as long as the process.
func openReplayVault(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database.vault_url is no PostgreSQL URL")
	}
	const always = 100 * 365 * 24 * time.Hour
	cfg.MaxConns, cfg.MaxConnLifetime, cfg.MaxConnIdleTime = 1, always, always
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, errors.New("connect vault")
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, errors.New("reach vault")
	}
	return pool, nil
}

// runReplayStores serves the batches until the function it gives is called.
func runReplayStores(ctx context.Context, parts *replay.Parts) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return parts.Store.Run(ctx) })
	group.Go(func() error {
		parts.Vault.Run(ctx)
		return nil
	})
	return func() {
		cancel()
		_ = group.Wait()
	}
}

// replayVersions adds the versions that this binary and its configuration have: the contract's schemas,
// the lists inside the binary and those of reference.dir, the rules as configured, the registry.
func replayVersions(ctx context.Context, cfg config.Config, parts *replay.Parts) error {
	roll, err := parts.Store.LoadRegistry(ctx, cfg.Env())
	if err != nil {
		return fmt.Errorf("load registry: %w", err)
	}
	schema, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	registry := registryLists(roll)
	files, err := readReference(cfg.Reference.Dir)
	if err != nil {
		return fmt.Errorf("reference.dir: %w", err)
	}
	parts.References = map[string]sinba.Reference{}
	for _, f := range []codelist.Files{codelist.Builtin(), files} {
		if err := addReference(parts, registry, f); err != nil {
			return fmt.Errorf("reference.dir: %w", err)
		}
	}
	events, err := sinba.Load(schema, registry)
	if err != nil {
		return fmt.Errorf("load catalogue of events: %w", err)
	}
	parts.Schemas = map[string]replay.Schema{contract.SchemaVersion: {Number: validator.SinbaEventi, Events: events}}
	severities, err := newSeverities(cfg)
	if err != nil {
		return err
	}
	parts.Severities = map[[32]byte]*sinba.Severities{severities.Digest(): severities}
	parts.Certified = certifiedBy(roll)
	parts.Participants, parts.Enti = map[int32]string{}, map[int32]hub.Ente{}
	for _, c := range roll.Credentials {
		parts.Participants[c.Participant.ID] = c.Participant.Name
	}
	for _, e := range roll.Enti {
		parts.Enti[e.ID] = e
	}
	return nil
}

// addReference makes lists known under their version.
func addReference(parts *replay.Parts, registry sinba.Reference, files codelist.Files) error {
	set, err := codelist.Parse(files)
	if err != nil {
		return err
	}
	lists := registry
	lists.Use(set)
	parts.References[set.Version()] = lists
	return nil
}

// newReplayPool makes the workers, with another schema of events besides if there is one.
func newReplayPool(cfg config.Config, schema []byte) (*validator.Pool, error) {
	if schema == nil {
		return newPool(cfg, zap.NewNop(), nil)
	}
	const name = "candidate.xsd"
	return newPoolWith(cfg, zap.NewNop(), nil, map[validator.Schema]validator.SchemaFiles{candidateSchema: {
		Main: name, Files: map[string][]byte{name: schema}, Namespace: sinba.NamespaceEvent, Lot: validator.EventLot(),
	}})
}

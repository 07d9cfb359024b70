package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

const (
	// openerAccount is whom an opener becomes that was started as root.
	openerAccount = "sinbahub-opener"
	// openerNumber is the same where there is no such account: no other program of ours has this number,
	// and the validator's workers least of all.
	openerNumber = 65533
	// openerConns bounds each of its pools.
	openerConns = 4
	// longestSocket is the longest path that a socket can have everywhere.
	longestSocket = 100
)

// The faults of the opener's commands.
var (
	errOpenerUser    = errors.New("opener.user is no account of this machine and no number, or it is root")
	errOpenerCluster = errors.New("the embedded database is not running: start serve or the demo first")
)

// Opener runs the opener until ctx ends.
func Opener(ctx context.Context, cfg config.Config, version string, out io.Writer) error {
	if err := opener.Harden(); err != nil {
		return fmt.Errorf("close the process: %w", err)
	}
	log, _ := newLogger(cfg.Log.Level, out, version)
	log = log.Named("opener")
	err := runOpener(ctx, cfg, log)
	if err != nil {
		log.Error("opener ended", zap.Error(err))
		return err
	}
	log.Info("stopped")
	return nil
}

// runOpener takes what needs the user it was started by (keys, passwords, the socket's name), becomes its
// own user, and only then speaks with anybody.
func runOpener(ctx context.Context, cfg config.Config, log *zap.Logger) error {
	starter := os.Getuid()
	uid, gid, err := openerUser(cfg.Opener.User)
	if err != nil {
		return err
	}
	keys, codes, err := loadOpenerKeys(ctx, cfg, uid, gid)
	if err != nil {
		return fmt.Errorf("load the opener's keys: %w", err)
	}
	trust, err := opener.OpenTrust(openerPeople(cfg), starter, uid)
	if err != nil {
		return fmt.Errorf("read %s: %w", openerPeople(cfg), err)
	}
	defer func() { _ = trust.Close() }()
	storeURL, vaultURL, err := openerURLs(ctx, cfg, gid)
	if err != nil {
		return err
	}
	socket, err := OpenerSocket(cfg)
	if err != nil {
		return err
	}
	listener, err := opener.Listen(ctx, socket, uid, gid)
	if err != nil {
		return fmt.Errorf("listen on the opener's socket: %w", err)
	}
	defer func() { _ = listener.Close() }()
	guard, err := openerGuard(cfg, log)
	if err != nil {
		return err
	}
	if starter == 0 {
		if err := opener.Become(uid, gid); err != nil {
			return fmt.Errorf("become the opener's user: %w", err)
		}
	}
	store, vault, closeStores, err := openerStores(ctx, cfg, storeURL, vaultURL, guard, log)
	if err != nil {
		return err
	}
	defer closeStores()
	may := opener.Config{
		Environment: cfg.Env(), Hub: cfg.JournalOrigin(), UIDs: cfg.Opener.UIDs, GIDs: cfg.Opener.GIDs, Rate: cfg.Opener.Rate, CheckReason: CheckReason,
	}
	if len(may.UIDs)+len(may.GIDs) == 0 {
		may.UIDs = []int{starter}
	}
	log.Info("opener listening", zap.String("socket", socket), zap.Int("uid", os.Getuid()), zap.Ints("uids", may.UIDs), zap.Ints("gids", may.GIDs))
	return opener.New(may, opener.Parts{
		Keys: keys, Codes: codes, Trusted: trust.People, Store: store, Vault: vault, Logger: log, Now: time.Now,
	}).Serve(ctx, listener)
}

// openerKeys is the folder of the private halves.
func openerKeys(cfg config.Config) string {
	if cfg.Opener.Keys != "" {
		return cfg.Opener.Keys
	}
	return filepath.Join(cfg.Keys.Dir, "opener")
}

// OpenerSocket is where the opener of a configuration listens.
func OpenerSocket(cfg config.Config) (string, error) {
	if cfg.Opener.Socket != "" {
		return cfg.Opener.Socket, nil
	}
	path, err := filepath.Abs(filepath.Join(cfg.Var, "opener", "opener.sock"))
	if err != nil {
		return "", fmt.Errorf("find the opener's socket: %w", err)
	}
	if len(path) > longestSocket {
		sum := sha256.Sum256([]byte(path))
		path = filepath.Join("/tmp", "sinbahub-opener-"+hex.EncodeToString(sum[:4]), "opener.sock")
	}
	return path, nil
}

// openerUser is whom the process shall run as: itself, unless it is root.
func openerUser(named string) (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return os.Getuid(), os.Getgid(), nil
	}
	number := func(text string) int {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return 0
		}
		return int(n)
	}
	name := named
	if name == "" {
		name = openerAccount
	}
	account, err := user.Lookup(name)
	switch {
	case err == nil:
		uid, gid = number(account.Uid), number(account.Gid)
	case named == "":
		uid, gid = openerNumber, openerNumber
	default:
		uid, gid = number(named), number(named)
	}
	if uid == 0 || gid == 0 {
		return 0, 0, errOpenerUser
	}
	return uid, gid, nil
}

// openerURLs are where its role finds the hub's tables and the vault.
func openerURLs(ctx context.Context, cfg config.Config, gid int) (store, vault string, err error) {
	store, vault = cfg.Opener.DatabaseURL.Reveal(), cfg.Opener.VaultURL.Reveal()
	if store == "" {
		if !cfg.Embedded() {
			return "", "", errors.New("opener.database_url is missing: the opener has a role of its own")
		}
		cluster, err := postgres.StartCluster(ctx, clusterConfig(cfg.Var, zap.NewNop()))
		if err != nil {
			return "", "", fmt.Errorf("find the embedded database: %w", err)
		}
		if !cluster.Attached() {
			return "", "", errors.Join(errOpenerCluster, cluster.Stop(context.WithoutCancel(ctx)))
		}
		if err := cluster.LetIn(gid); err != nil {
			return "", "", err
		}
		store = cluster.OpenerDSN()
	}
	if vault == "" {
		vault = store
	}
	return store, vault, nil
}

// openerGuard is what serve knows of the database, where a serve ran on this machine: who looked must not
// be written into a database that lacks what was acknowledged, and goes with it. An opener that was started
// as another user than serve's may not read it.
func openerGuard(cfg config.Config, log *zap.Logger) (*postgres.Guard, error) {
	if !positionKept(cfg) {
		return nil, nil //nolint:nilnil // nothing is known, which is no error
	}
	guard, err := postgres.ReadGuard(positionDir(cfg), log)
	if errors.Is(err, fs.ErrPermission) {
		log.Warn("the last known position is serve's only: the database is not held against it")
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, fmt.Errorf("open last known position: %w", err)
	}
	return guard, nil
}

// openerStores connects to both and refuses what serve would refuse.
func openerStores(ctx context.Context, cfg config.Config, storeURL, vaultURL string, guard *postgres.Guard, log *zap.Logger) (
	*postgres.Store, *pseudonym.OpenerVault, func(), error,
) {
	store, err := postgres.Open(ctx, postgres.Config{DSN: storeURL, Connections: openerConns, Logger: log, Guard: guard})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open store: %w", err)
	}
	pool, err := openerVaultPool(ctx, vaultURL, guard)
	if err == nil {
		err = errors.Join(store.CheckServer(ctx), store.CheckVersion(ctx), postgres.CheckServer(ctx, pool))
		for _, set := range migrations() {
			err = errors.Join(err, postgres.CheckVersion(ctx, pool, set))
		}
		if err == nil {
			return store, pseudonym.NewOpenerVault(pool, cfg.Env()), func() { pool.Close(); store.Close() }, nil
		}
		pool.Close()
	}
	store.Close()
	return nil, nil, nil, fmt.Errorf("check database: %w", err)
}

func openerVaultPool(ctx context.Context, url string, guard *postgres.Guard) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("opener.vault_url is no PostgreSQL URL")
	}
	cfg.MaxConns = openerConns
	if guard != nil {
		guard.Protect(cfg, false)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, errors.New("connect vault")
	}
	return pool, nil
}

package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
)

//go:embed migrations/*.sql
var migrations embed.FS

// MigrationSet is the schema of one owner: its files are run in the order of their numbers by a
// role of its own, NAME_owner, which cannot log in and owns the schema NAME.
type MigrationSet struct {
	// Name is the schema, as in "vault".
	Name string
	// FS holds the goose SQL files (NNNNN_name.sql) in a folder "migrations" or at its root.
	FS fs.FS
	// Table remembers the version; empty means "version.NAME".
	Table string
}

// Migrations is the hub's own set, the schema hub.
func Migrations() MigrationSet { return MigrationSet{Name: "hub", FS: migrations} }

// files gives the folder that holds the SQL files.
func (m MigrationSet) files() (fs.FS, error) {
	if _, err := fs.Stat(m.FS, "migrations"); err != nil {
		return m.FS, nil //nolint:nilerr // no such folder: the files are at the root
	}
	sub, err := fs.Sub(m.FS, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations of %s: %w", m.Name, err)
	}
	return sub, nil
}

// table is where the version of the set is remembered.
func (m MigrationSet) table() string {
	if m.Table != "" {
		return m.Table
	}
	return "version." + m.Name
}

// newest is the highest version among the set's files.
func (m MigrationSet) newest() (int64, error) {
	files, err := m.files()
	if err != nil {
		return 0, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations of %s: %w", m.Name, err)
	}
	var newest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("number migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// MigrateConfig says what to bring where.
type MigrateConfig struct {
	// DSN connects to the database to migrate, as a superuser or, where one ran RolesSQL, as RoleMigrate.
	DSN string
	// AppPassword and VaultPassword are given to the login roles; only a superuser can.
	AppPassword   string
	VaultPassword string
	// OpenerPassword is the opener's; empty leaves its role as it is.
	OpenerPassword string
	// Sets run after the hub's own.
	Sets []MigrationSet
	// Logger takes what is done; nil for none.
	Logger *zap.Logger

	// upTo stops the hub's own set at a version; 0 is the newest. Only tests make old databases.
	upTo int64
}

// migrationLock is the key of the advisory lock that lets one process at a time migrate a
// database: "sinba" in ASCII.
const migrationLock = 0x73696e6261

// Migrate makes the roles, schemas and partitions and runs what is missing of the hub's own
// migrations and of the given sets. One process at a time does it; running it again changes
// nothing but the passwords.
func Migrate(ctx context.Context, cfg MigrateConfig) error {
	log := orNop(cfg.Logger).Named("migrate")
	conn, err := connect(ctx, cfg.DSN)
	if err != nil {
		return err
	}
	defer closeQuietly(ctx, conn)
	sets := append([]MigrationSet{Migrations()}, cfg.Sets...)
	// The lock goes with the session, also when this process is killed.
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("lock the database for migration: %w", masked(err))
	}
	if err := prepareAs(ctx, conn, cfg, sets); err != nil {
		return err
	}
	for i, set := range sets {
		upTo := int64(math.MaxInt64)
		if i == 0 && cfg.upTo > 0 {
			upTo = cfg.upTo
		}
		if err := migrateSet(ctx, cfg.DSN, set, upTo, log); err != nil {
			return err
		}
	}
	if _, err := conn.Exec(ctx, "SELECT hub.ensure_partitions(2)"); err != nil {
		return fmt.Errorf("make partitions: %w", masked(err))
	}
	return nil
}

// prepareAs makes roles and schemas as a superuser; anybody else must find them there.
func prepareAs(ctx context.Context, conn *pgx.Conn, cfg MigrateConfig, sets []MigrationSet) error {
	var super bool
	if err := conn.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super); err != nil {
		return fmt.Errorf("look for the roles: %w", masked(err))
	}
	if !super {
		return prepared(ctx, conn, sets)
	}
	if cfg.AppPassword == "" || cfg.VaultPassword == "" {
		return errors.New("migrate: the login roles need passwords")
	}
	return prepare(ctx, conn, cfg, sets)
}

// migrateSet runs one set as its owner, up to a version.
func migrateSet(ctx context.Context, dsn string, set MigrationSet, upTo int64, log *zap.Logger) error {
	started := time.Now()
	files, err := set.files()
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return errBadDSN
	}
	// Everything a set makes belongs to its owner, who is neither the app nor a superuser.
	config.RuntimeParams["role"] = set.Name + "_owner"
	config.RuntimeParams["search_path"] = set.Name + ", hub"
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(set.table()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", set.Name, err)
	}
	results, err := provider.UpTo(ctx, upTo)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", set.Name, masked(err))
	}
	if len(results) > 0 {
		log.Info("schema migrated", zap.String("schema", set.Name),
			zap.Int("migrations", len(results)), zap.Duration("took", time.Since(started)))
	}
	return nil
}

// errBadDSN replaces pgx's error, which may quote a password.
var errBadDSN = errors.New("database address cannot be read")

// connect opens one connection.
func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errBadDSN
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", masked(err))
	}
	return conn, nil
}

// closeQuietly ends a connection whose work is done, also when the caller's context has ended.
func closeQuietly(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

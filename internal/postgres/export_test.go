package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// MigrateTo stops the hub's own migrations at a version, to make a database as an older binary had
// it.
func MigrateTo(ctx context.Context, cfg MigrateConfig, version int64) error {
	cfg.upTo = version
	return Migrate(ctx, cfg)
}

// NewestVersion is the version this binary needs.
func NewestVersion() (int64, error) { return Migrations().newest() }

// SessionBounds are the settings by which a session of the store's ends by itself.
func SessionBounds(ctx context.Context, dsn string) (map[string]string, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	setSession(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(ctx, conn)
	bounds := map[string]string{}
	for _, name := range []string{"idle_in_transaction_session_timeout", "statement_timeout"} {
		var setting string
		if err := conn.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = $1", name).Scan(&setting); err != nil {
			return nil, err
		}
		bounds[name] = setting
	}
	return bounds, nil
}

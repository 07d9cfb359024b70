package pseudonym_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimDir) != "" {
		victim()
		return
	}
	os.Exit(m.Run())
}

// database is one test's own.
type database struct {
	hubtest.DB
	super *pgxpool.Pool
}

func newDatabase(tb testing.TB) *database {
	tb.Helper()
	d := &database{DB: hubtest.Database(tb)}
	d.super = open(tb, d.Superuser, "")
	return d
}

// open connects a pool whose sessions have a clock that is ahead by offset.
func open(tb testing.TB, dsn, offset string) *pgxpool.Pool {
	tb.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	cfg.ConnConfig.RuntimeParams["hub.clock_offset"] = offset
	pool, err := pgxpool.NewWithConfig(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// vault makes a running vault over the database.
func (d *database) vault(tb testing.TB, keys *pseudonym.Keys) *pseudonym.Vault {
	tb.Helper()
	return d.vaultAhead(tb, keys, "")
}

// vaultAhead is one whose clock is ahead.
func (d *database) vaultAhead(tb testing.TB, keys *pseudonym.Keys, offset string) *pseudonym.Vault {
	tb.Helper()
	v := pseudonym.NewVault(open(tb, d.Vault, offset), keys)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	tb.Cleanup(func() { cancel(); <-done })
	return v
}

// count counts rows as the superuser.
func (d *database) count(tb testing.TB, sql string, args ...any) int {
	tb.Helper()
	var n int
	if err := d.super.QueryRow(tb.Context(), sql, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

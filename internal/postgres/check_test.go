package postgres_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

func TestCheckServerTakesTheHubsOwnCluster(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	if err := store.CheckServer(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCheckServerRefuses(t *testing.T) {
	t.Parallel()
	for setting, value := range map[string]string{
		"synchronous_commit":                "off",
		"log_statement":                     "mod",
		"log_parameter_max_length":          "-1",
		"log_parameter_max_length_on_error": "10",
		"log_error_verbosity":               "default",
		"hub.clock_offset":                  "1 hour",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			_, err := superuser(t, db).Exec(t.Context(), "ALTER DATABASE "+db.Name+" SET "+setting+" = '"+value+"'")
			if err != nil {
				t.Fatal(err)
			}
			wantRefused(t, open(t, db), setting)
		})
	}
	t.Run("superuser", func(t *testing.T) {
		t.Parallel()
		db := hubtest.Database(t)
		wantRefused(t, openWith(t, postgres.Config{DSN: db.Superuser}), "superuser")
	})
}

func wantRefused(t *testing.T, store *postgres.Store, word string) {
	t.Helper()
	err := store.CheckServer(t.Context())
	if err == nil || !strings.Contains(err.Error(), word) || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("got %v, want one finding about %s", err, word)
	}
}

func TestCheckVersionRefusesAnotherVersion(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	if err := store.CheckVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	vault := connect(t, db.Vault)
	if err := postgres.CheckVersion(t.Context(), vault, hubtest.Vault()); err != nil {
		t.Fatal(err)
	}
	admin := superuser(t, db)
	for _, change := range []string{
		"INSERT INTO version.hub (version_id, is_applied) VALUES (99999, true)",
		"DELETE FROM version.hub WHERE version_id > 1",
	} {
		if _, err := admin.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if err := store.CheckVersion(t.Context()); err == nil {
			t.Errorf("took a database after: %s", change)
		}
	}
}

func TestMigrateTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	admin := superuser(t, db)
	before := catalogue(t, admin)
	if len(before) < 50 {
		t.Fatalf("catalogue has %d lines only", len(before))
	}
	err := postgres.Migrate(t.Context(), postgres.MigrateConfig{
		DSN: db.Superuser, AppPassword: password(t, db.App), VaultPassword: password(t, db.Vault),
		Sets: []postgres.MigrationSet{hubtest.Vault()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, catalogue(t, admin)); diff != "" {
		t.Error(diff)
	}
	// The roles' passwords still open the door.
	connect(t, db.App)
	connect(t, db.Vault)
}

func password(tb testing.TB, dsn string) string {
	tb.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	word, _ := address.User.Password()
	return word
}

// catalogue describes every table, column, function, constraint, index and grant of ours.
func catalogue(tb testing.TB, conn *pgx.Conn) []string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `
SELECT line FROM (
  SELECT concat_ws(' ', 'table', c.oid::regclass, c.relkind, c.relacl, pg_get_userbyid(c.relowner), c.reloptions) AS line
  FROM pg_class c WHERE c.relnamespace IN ('hub'::regnamespace, 'vault'::regnamespace, 'version'::regnamespace)
  UNION ALL
  SELECT concat_ws(' ', 'column', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attnotnull, a.attstorage)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace IN ('hub'::regnamespace, 'vault'::regnamespace) AND a.attnum > 0
  UNION ALL
  SELECT concat_ws(' ', 'constraint', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
  WHERE k.connamespace IN ('hub'::regnamespace, 'vault'::regnamespace)
  UNION ALL
  SELECT concat_ws(' ', 'function', f.oid::regprocedure, f.proacl, f.prosrc) FROM pg_proc f
  WHERE f.pronamespace IN ('hub'::regnamespace, 'vault'::regnamespace)
  UNION ALL
  SELECT concat_ws(' ', 'applied', 'hub', version_id, tstamp) FROM version.hub
  UNION ALL
  SELECT concat_ws(' ', 'applied', 'vault', version_id, tstamp) FROM vault.goose_version
) AS lines ORDER BY line`)
	if err != nil {
		tb.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	return lines
}

// The app cannot make tables, but it can have the months ahead made; time is the database's.
func TestEnsurePartitionsKeepsMonthsAhead(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	advance(t, db, "5 months")
	store := open(t, db)
	future := acceptance(1)
	future.ReceivedAt = future.ReceivedAt.AddDate(0, 5, 0)
	future.Entry.At = future.ReceivedAt
	_, err := store.Accept(t.Context(), future)
	if err == nil {
		t.Fatal("accepted into a month without a partition")
	}
	for range 2 {
		if err := store.EnsurePartitions(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, store, future)
	if err := store.EnsurePartitions(t.Context(), 25); err == nil {
		t.Error("made partitions for years")
	}
	// The sealed bytes must not be compressed again in any of them.
	var compressed int
	err = superuser(t, db).QueryRow(t.Context(), `
SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relname LIKE 'message_2%' AND c.relkind = 'r' AND a.attname = 'sealed' AND a.attstorage <> 'e'`).Scan(&compressed)
	if err != nil {
		t.Fatal(err)
	}
	if compressed != 0 {
		t.Errorf("%d partitions compress sealed bytes", compressed)
	}
}

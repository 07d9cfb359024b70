package postgres_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// The file for DBAs is what the code would run; with SINBAHUB_TEST_UPDATE it is written anew.
func TestRolesFileIsWhatMigrateDoes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(hubtest.Root(), "deploy", "postgres", "roles.sql")
	text := postgres.RolesSQL(hubtest.Vault())
	if os.Getenv("SINBAHUB_TEST_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), text); diff != "" {
		t.Errorf("deploy/postgres/roles.sql (-is +should be):\n%s", diff)
	}
}

// On a server of its own a DBA runs the file, and the hub migrates without a superuser; roles, rights,
// owners and policies are then those that a superuser's Migrate makes.
func TestMigrateWithoutSuperuserAfterRolesFile(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sinbahub-roles-") //nolint:usetesting // its user is not ours
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cluster, err := postgres.StartCluster(t.Context(), postgres.ClusterConfig{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		if err := cluster.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	super := connect(t, withDatabase(t, cluster.SuperuserDSN(), "postgres"))
	exec := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	exec(super, "CREATE DATABASE theirs")
	theirs := connect(t, withDatabase(t, cluster.SuperuserDSN(), "theirs"))
	cfg := postgres.MigrateConfig{Sets: []postgres.MigrationSet{hubtest.Vault()}}
	exec(super, "CREATE ROLE hub_migrate LOGIN PASSWORD 'invented'")
	address, err := url.Parse(withDatabase(t, cluster.SuperuserDSN(), "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("hub_migrate", "invented")
	cfg.DSN = address.String()
	if err := postgres.Migrate(t.Context(), cfg); err == nil {
		t.Error("migrated before anybody made the roles")
	}
	for range 2 { // an upgrade runs it again
		exec(theirs, postgres.RolesSQL(hubtest.Vault()))
		if err := postgres.Migrate(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(rights(t, superuser(t, hubtest.Database(t))), rights(t, theirs)); diff != "" {
		t.Errorf("rights (-superuser's +the file's):\n%s", diff)
	}
}

// withDatabase is an address with another database.
func withDatabase(t *testing.T, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// rights are all that a database's catalogue says of who may do what.
func rights(t *testing.T, super *pgx.Conn) []string {
	t.Helper()
	rows, err := super.Query(t.Context(), `
WITH acls (line) AS (
  SELECT format('schema %s %s %s', nspname, nspowner::regrole, nspacl) FROM pg_namespace WHERE nspname IN ('hub', 'vault', 'version', 'public')
  UNION ALL
  SELECT format('%s %s %s %s %s', c.relkind, c.oid::regclass, c.relowner::regrole, c.relacl, c.relrowsecurity)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('hub', 'vault', 'version') AND c.relkind IN ('r', 'p', 'S', 'v')
  UNION ALL
  SELECT format('column %s.%s %s', a.attrelid::regclass, a.attname, a.attacl) FROM pg_attribute a WHERE a.attacl IS NOT NULL AND a.attrelid > 16383
  UNION ALL
  SELECT format('function %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.proacl, p.prosecdef)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('hub', 'vault', 'version')
  UNION ALL
  SELECT format('policy %s %s %s %s', p.polrelid::regclass, p.polname, p.polroles::regrole[], p.polcmd) FROM pg_policy p
  UNION ALL
  SELECT format('role %s %s %s %s %s %s', rolname, rolsuper, rolinherit, rolcanlogin, rolbypassrls, rolconfig) FROM pg_roles
  WHERE rolname IN ('hub_app', 'hub_vault', 'hub_opener', 'hub_reader', 'hub_owner', 'vault_owner')
  UNION ALL
  SELECT format('member %s %s', roleid::regrole, member::regrole) FROM pg_auth_members
  WHERE roleid > 16383 AND member <> coalesce(to_regrole('hub_migrate'), 0)
)
SELECT line FROM acls ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(lines) < 100 {
		t.Fatalf("%d lines: %v", len(lines), err)
	}
	return lines
}

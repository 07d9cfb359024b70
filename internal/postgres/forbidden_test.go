package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// allowedFile says what each role may do with each table and function; everything else is tried, and must
// be refused. With SINBAHUB_TEST_UPDATE it is written anew, to be read before it is committed.
var allowedFile = filepath.Join("testdata", "privileges.txt")

// table is a table, view or sequence of the hub's, of any schema; partitions go by their parents.
type table struct {
	Name    string
	Kind    string
	Columns []string
}

const tablesSQL = `
SELECT n.nspname || '.' || c.relname, c.relkind::text,
  array(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('hub', 'vault', 'version', 'public') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
ORDER BY 1`

// statement is one try: what it is called in the file, and its text.
type statement struct{ right, sql string }

// tries are the statements that are tried on a table.
func tries(t table) []statement {
	if t.Kind == "S" {
		return []statement{{"USAGE", "SELECT nextval('" + t.Name + "')"}, {"UPDATE", "SELECT setval('" + t.Name + "', 1)"}, {"SELECT", "SELECT last_value FROM " + t.Name}}
	}
	all := []statement{
		{"DELETE", "DELETE FROM " + t.Name + " WHERE false"},
		{"TRUNCATE", "TRUNCATE " + t.Name},
		{"COPY", "COPY " + t.Name + " TO STDOUT"},
		{"COPY FILE", "COPY " + t.Name + " TO '/tmp/hub-forbidden'"},
		{"COPY PROGRAM", "COPY " + t.Name + " FROM PROGRAM 'true'"},
		{"ALTER", "ALTER TABLE " + t.Name + " ADD COLUMN forbidden integer"},
		{"OWNER", "ALTER TABLE " + t.Name + " OWNER TO CURRENT_USER"},
		{"NO SECURITY", "ALTER TABLE " + t.Name + " DISABLE ROW LEVEL SECURITY"},
		{"DROP", "DROP TABLE " + t.Name},
		{"INDEX", "CREATE INDEX ON " + t.Name + " ((1))"},
		{"TRIGGER", "CREATE TRIGGER forbidden BEFORE INSERT ON " + t.Name + " EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"},
		{"POLICY", "CREATE POLICY forbidden ON " + t.Name + " USING (true)"},
		{"RULE", "CREATE RULE forbidden AS ON INSERT TO " + t.Name + " DO NOTHING"},
		{"LOCK", "LOCK TABLE " + t.Name + " IN ACCESS EXCLUSIVE MODE"},
		{"COMMENT", "COMMENT ON TABLE " + t.Name + " IS 'x'"},
		{"MAINTAIN", "CLUSTER " + t.Name},
	}
	if t.Kind == "v" || t.Kind == "m" {
		all = slices.DeleteFunc(all, func(s statement) bool {
			return slices.Contains([]string{"TRUNCATE", "DROP", "INDEX", "TRIGGER", "POLICY", "RULE", "MAINTAIN", "ALTER", "NO SECURITY", "COPY", "COPY FILE", "COPY PROGRAM", "INSERT", "DELETE", "LOCK", "COMMENT"}, s.right)
		})
	}
	for _, c := range t.Columns {
		all = append(all, statement{"SELECT " + c, "SELECT " + c + " FROM " + t.Name + " LIMIT 0"})
		if t.Kind != "v" && t.Kind != "m" {
			all = append(all, statement{"INSERT " + c, "INSERT INTO " + t.Name + " (" + c + ") VALUES (DEFAULT)"},
				statement{"UPDATE " + c, "UPDATE " + t.Name + " SET " + c + " = DEFAULT WHERE false"})
		}
	}
	return all
}

// shortened says * for all columns of a table, and names those of a right that has only some.
func shortened(t table, rights []string) []string {
	var all []string
	for _, right := range []string{"SELECT", "INSERT", "UPDATE"} {
		var columns []string
		for _, r := range rights {
			if c, ok := strings.CutPrefix(r, right+" "); ok {
				columns = append(columns, c)
			}
		}
		switch {
		case len(columns) == 0:
		case len(columns) == len(t.Columns):
			all = append(all, right+" *")
		default:
			all = append(all, right+" ("+strings.Join(columns, ", ")+")")
		}
	}
	return append(all, slices.DeleteFunc(slices.Clone(rights), func(r string) bool {
		what, column, of := strings.Cut(r, " ")
		return of && slices.Contains([]string{"SELECT", "INSERT", "UPDATE"}, what) && slices.Contains(t.Columns, column)
	})...)
}

// neverAllowed are statements that no role of the hub's may ever run.
func neverAllowed() []string {
	all := []string{
		"CREATE TABLE hub.x (a int)", "CREATE TABLE vault.x (a int)", "CREATE TABLE public.x (a int)", "CREATE TEMPORARY TABLE x (a int)", "CREATE SCHEMA x",
		"CREATE ROLE x", "CREATE DATABASE x", "CREATE EXTENSION dblink", "CREATE EXTENSION postgres_fdw", "CREATE FUNCTION hub.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"DROP SCHEMA hub CASCADE", "DROP SCHEMA vault CASCADE", "ALTER SYSTEM SET fsync = off", "SET log_statement = 'all'",
		"SET session_replication_role = replica", "SET log_parameter_max_length = -1", "SELECT pg_read_file('/etc/passwd')", "SELECT pg_read_binary_file('/etc/passwd')",
		"SELECT pg_ls_dir('/')", "SELECT pg_stat_file('/etc/passwd')", "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/hub-forbidden')",
		"SELECT pg_reload_conf()", "SELECT pg_rotate_logfile()", "SELECT pg_switch_wal()", "SELECT pg_create_restore_point('x')",
		"SELECT * FROM pg_authid", "SELECT * FROM pg_shadow", "SELECT * FROM pg_hba_file_rules", "SELECT * FROM pg_file_settings", "SELECT stavalues1 FROM pg_statistic",
		"COPY (SELECT 1) TO PROGRAM 'cat'", "COPY (SELECT 1) TO '/tmp/hub-forbidden'", "SELECT pg_create_physical_replication_slot('x')",
		"SELECT pg_create_logical_replication_slot('x', 'test_decoding')", "CREATE PUBLICATION x FOR ALL TABLES", "SET SESSION AUTHORIZATION postgres",
		"ALTER DATABASE postgres SET search_path = x", "SET ROLE hub_owner", "SET ROLE vault_owner", "SET ROLE pg_read_all_data", "SET ROLE pg_write_server_files",
		"SET ROLE pg_execute_server_program", "GRANT hub_owner TO CURRENT_USER", "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION x()",
		"CREATE TABLESPACE x LOCATION '/tmp'", "CREATE CAST (text AS bytea) WITHOUT FUNCTION",
	}
	for _, role := range roles() {
		all = append(all, "SET SESSION AUTHORIZATION "+role, "ALTER ROLE "+role+" SUPERUSER", "ALTER ROLE "+role+" BYPASSRLS", "DROP ROLE "+role)
	}
	return all
}

func roles() []string {
	return []string{postgres.RoleApp, postgres.RoleVault, postgres.RoleOpener, postgres.RoleReader}
}

// TestEveryForbiddenStatementIsRefused tries, as each role, every kind of statement on every table there is
// and every function, and wants exactly those to be let through that the file allows. A new table or
// function is tried by itself, and what it grants must be written into the file.
func TestEveryForbiddenStatementIsRefused(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	accept(t, open(t, db), acceptance(1))
	super := superuser(t, db)
	tables := everyTable(t, super)
	functions := everyFunction(t, super)
	var allowed []string
	tried := 0
	for _, role := range roles() {
		dsn := map[string]string{postgres.RoleVault: db.Vault, postgres.RoleOpener: db.Opener}[role]
		if dsn == "" {
			dsn = db.App
		}
		conn := connect(t, dsn)
		if role == postgres.RoleReader {
			if _, err := conn.Exec(t.Context(), "SET ROLE hub_reader"); err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range roles() {
			if other != role && (role != postgres.RoleApp || other != postgres.RoleReader) && role != postgres.RoleReader && !refused(t, conn, "SET ROLE "+other) {
				t.Errorf("%s may take the role %s", role, other)
			}
		}
		for _, sql := range neverAllowed() {
			// Whoever may be hub_app may set its own session back to it.
			if sql == "SET SESSION AUTHORIZATION "+role || role == postgres.RoleReader && sql == "SET SESSION AUTHORIZATION hub_app" {
				continue
			}
			tried++
			if !refused(t, conn, sql) {
				t.Errorf("%s: %s", role, sql)
			}
		}
		for _, table := range tables {
			var rights []string
			for _, s := range tries(table) {
				tried++
				if !refused(t, conn, s.sql) {
					rights = append(rights, s.right)
				}
			}
			if len(rights) > 0 {
				allowed = append(allowed, fmt.Sprintf("%s %s: %s", role, table.Name, strings.Join(shortened(table, rights), "; ")))
			}
		}
		for name, call := range functions {
			tried++
			if !refused(t, conn, call) {
				allowed = append(allowed, fmt.Sprintf("%s %s", role, name))
			}
		}
	}
	t.Logf("%d statements tried as %d roles on %d tables and %d functions", tried, len(roles()), len(tables), len(functions))
	slices.Sort(allowed)
	got := strings.Join(allowed, "\n") + "\n"
	if os.Getenv("SINBAHUB_TEST_UPDATE") != "" {
		if err := os.WriteFile(allowedFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(allowedFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("allowed (-want +got):\n%s", diff)
	}
}

// refused runs a statement in a transaction that it takes back, and tells whether the privilege lacked. Any
// other fault means that the right was there, or that it is no matter of rights.
func refused(t *testing.T, conn *pgx.Conn, sql string) bool {
	t.Helper()
	begin := "SAVEPOINT forbidden"
	if conn.PgConn().TxStatus() == 'I' {
		begin = "BEGIN; SET LOCAL lock_timeout = '2s'; SAVEPOINT forbidden"
	}
	if _, err := conn.Exec(t.Context(), begin, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if _, rollback := conn.Exec(t.Context(), "ROLLBACK TO SAVEPOINT forbidden; RELEASE forbidden", pgx.QueryExecModeSimpleProtocol); rollback != nil {
		t.Fatal(sql, rollback)
	}
	fault, ok := errors.AsType[*pgconn.PgError](err)
	if ok && fault.Code == "25001" { // not inside a transaction
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
		fault, ok = errors.AsType[*pgconn.PgError](err)
	}
	return ok && fault.Code == "42501"
}

func everyTable(t *testing.T, super *pgx.Conn) []table {
	t.Helper()
	rows, err := super.Query(t.Context(), tablesSQL)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil || len(tables) < 30 {
		t.Fatalf("%d tables: %v", len(tables), err)
	}
	// Partitions come and go with the months: one of each parent stands for all.
	seen := map[string]bool{}
	return slices.DeleteFunc(tables, func(t table) bool {
		parent := strings.TrimRight(t.Name, "0123456789_")
		if parent == t.Name {
			return false
		}
		defer func() { seen[parent] = true }()
		return seen[parent]
	})
}

// everyFunction gives calls of the hub's functions, with nothing but NULL.
func everyFunction(t *testing.T, super *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := super.Query(t.Context(), `
SELECT n.nspname || '.' || p.proname, 'SELECT ' || n.nspname || '.' || p.proname || '(' || coalesce((
    SELECT string_agg('NULL::' || format_type(a, NULL), ', ' ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (a, i)), '') || ')'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('hub', 'vault', 'version', 'public') AND p.prorettype <> 'trigger'::regtype ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]string{}
	var name, call string
	if _, err := pgx.ForEachRow(rows, []any{&name, &call}, func() error {
		calls[name] = call
		return nil
	}); err != nil || len(calls) < 5 {
		t.Fatalf("%d functions: %v", len(calls), err)
	}
	return calls
}

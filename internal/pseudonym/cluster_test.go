package pseudonym_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// cluster is one PostgreSQL server for all tests of the package, started by the first that
// needs it; each test gets a clone of a migrated database.
type cluster struct {
	dir     string
	ctl     func(args ...string) error
	clones  int
	started sync.Once
	err     error
	mu      sync.Mutex
}

var server cluster

func TestMain(m *testing.M) {
	if os.Getenv("PSEUDONYM_VICTIM") != "" {
		victim()
		return
	}
	code := m.Run()
	server.stop()
	os.Exit(code)
}

func (c *cluster) start() error {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return exec.ErrNotFound
	}
	bin := bins[len(bins)-1]
	dir, err := os.MkdirTemp("", "vault")
	if err != nil {
		return err
	}
	c.dir = dir
	attr := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if err := initdb.Run(); err != nil {
		return err
	}
	c.ctl = func(args ...string) error {
		cmd := exec.Command(filepath.Join(bin, "pg_ctl"), append([]string{"-D", dir + "/data", "-l", dir + "/log", "-w"}, args...)...)
		cmd.SysProcAttr, cmd.Dir = attr, dir
		return cmd.Run()
	}
	if err := c.ctl("start", "-o", "-k "+dir+" -h '' -c max_connections=300"); err != nil {
		return err
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, c.dsn("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{
		`CREATE ROLE hub_app LOGIN`, `CREATE ROLE hub_vault LOGIN`, `CREATE ROLE vault_owner`,
		`CREATE DATABASE template_vault`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return c.migrate(ctx)
}

// migrate runs the up part of every migration as the owner, as the hub's migrate verb does.
func (c *cluster) migrate(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.dsn("postgres", "template_vault"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	script := []string{
		`CREATE SCHEMA vault AUTHORIZATION vault_owner`,
		`CREATE SCHEMA hub`, `CREATE TABLE hub.event (id uuid)`, `GRANT USAGE ON SCHEMA hub TO hub_app, hub_vault`,
		`GRANT SELECT ON hub.event TO hub_app`,
		`SET ROLE vault_owner`,
	}
	names, _ := fs.Glob(pseudonym.Migrations, "migrations/*.sql")
	for _, name := range names {
		text, err := fs.ReadFile(pseudonym.Migrations, name)
		if err != nil {
			return err
		}
		script = append(script, string(text))
	}
	for _, sql := range script {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) dsn(role, db string, settings ...string) string {
	return strings.Join(append([]string{"host=" + c.dir, "user=" + role, "dbname=" + db}, settings...), " ")
}

func (c *cluster) stop() {
	if c.ctl != nil {
		_ = c.ctl("stop", "-m", "immediate")
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// database is one test's own.
type database struct {
	name  string
	super *pgxpool.Pool
}

// newDatabase clones the migrated template.
func newDatabase(t testing.TB) *database {
	t.Helper()
	server.started.Do(func() { server.err = server.start() })
	if server.err != nil {
		t.Fatalf("no PostgreSQL: %v", server.err)
	}
	server.mu.Lock()
	server.clones++
	d := &database{name: "vault_" + strconv.Itoa(server.clones)}
	conn, err := pgx.Connect(t.Context(), server.dsn("postgres", "postgres"))
	if err == nil {
		_, err = conn.Exec(t.Context(), "CREATE DATABASE "+d.name+" TEMPLATE template_vault")
		_ = conn.Close(t.Context())
	}
	server.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	d.super = d.pool(t, "postgres")
	return d
}

// pool logs in as a role; settings are name=value.
func (d *database) pool(t testing.TB, role string, settings ...string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), server.dsn(role, d.name, settings...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// vault makes a running vault over the database.
func (d *database) vault(t testing.TB, keys *pseudonym.Keys, settings ...string) *pseudonym.Vault {
	t.Helper()
	v := pseudonym.NewVault(d.pool(t, "hub_vault", settings...), keys)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return v
}

// count counts rows as the superuser.
func (d *database) count(t testing.TB, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := d.super.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

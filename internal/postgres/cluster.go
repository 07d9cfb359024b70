package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/pkg/sched"
)

// Database is the name of the hub's database in the embedded cluster.
const Database = "sinbahub"

// superuser is the bootstrap role of the embedded cluster; only migration and tests use it.
const superuser = "postgres"

// ClusterConfig says where the embedded cluster lives.
type ClusterConfig struct {
	// Dir is the folder of the cluster, as in var/postgres; it is made if missing. Passwords and
	// the server's log are kept there, the data too if the server's user can reach it.
	Dir string
	// Bin is the folder of PostgreSQL's binaries; empty finds the newest installed.
	Bin string
	// WALSegmentMB is the size of the log's files of a new cluster; 0 for the server's own 16.
	WALSegmentMB int
	// Settings override those of the hub, name to value.
	Settings map[string]string
	// Logger takes what happens; nil for none.
	Logger *zap.Logger
}

// Cluster is a running embedded PostgreSQL of our own: on a Unix socket only, durable, with
// passwords even there. The server is no child in need of care: it outlives a killed hub, and the
// next StartCluster of the folder attaches to it.
type Cluster struct {
	place     place
	passwords passwords
	// pid of the server; Keep changes it.
	pid      atomic.Int64
	attached bool
	log      *zap.Logger
}

// StartCluster starts the cluster of a folder, making it first if needed, or attaches to the one
// that is running there already. It returns when the server accepts connections.
func StartCluster(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	log := orNop(cfg.Logger).Named("cluster")
	unlock, err := lockFolder(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	where, err := findPlace(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	words, err := loadPasswords(where.dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{place: where, passwords: words, log: log}
	if pid := runningPID(where.data); pid != 0 {
		c.pid.Store(int64(pid))
		c.attached = true
		c.takeTurns()
		if c.place.sockets = runningSockets(where.data); c.place.sockets == "" {
			return nil, errors.New("running database server has no socket folder")
		}
	}
	if err := c.bringUp(ctx, cfg); err != nil {
		return nil, err
	}
	if err := c.createDatabase(ctx, Database); err != nil {
		return nil, err
	}
	log.Info("database cluster ready", zap.Int("pid", c.PID()), zap.Bool("attached", c.attached),
		zap.String("data", c.place.data), zap.String("sockets", c.place.sockets))
	return c, nil
}

// errEnded says that the server's process ended before it was ready.
var errEnded = errors.New("database server ended at once: its log in the cluster's folder says why")

// bringUp starts the server if it does not run and waits until it is ready. A server whose
// predecessor was killed ends at once while that one's last sessions still hold its memory, so
// this is tried for a while. A session that waits for a lock of one that was killed never ends by
// itself: it is ended, as PostgreSQL's own documents ask for.
func (c *Cluster) bringUp(ctx context.Context, cfg ClusterConfig) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		if !c.attached {
			if err := c.start(ctx, cfg); err != nil {
				return err
			}
		}
		err := c.waitReady(ctx)
		if !errors.Is(err, errEnded) || time.Now().After(deadline) {
			return err
		}
		c.attached = false
		if ended := endOrphans(c.place.data); ended > 0 {
			c.log.Warn("sessions of a killed database server ended", zap.Int("sessions", ended))
		}
		if err := pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

// start makes the cluster if there is none and launches the server as a session of its own, so
// that neither a Ctrl-C nor the end of this process reaches it.
func (c *Cluster) start(ctx context.Context, cfg ClusterConfig) error {
	if err := c.place.makeSockets(); err != nil {
		return err
	}
	if err := c.initialise(ctx, cfg.WALSegmentMB); err != nil {
		return err
	}
	if err := c.writeSettings(cfg.Settings); err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(c.place.dir, "postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = out.Close() }()
	// Not CommandContext: the server must outlive the context of the start.
	server := exec.Command(filepath.Join(c.place.bin, "postgres"), "-D", c.place.data) //nolint:gosec,noctx // as configured; see above
	server.Dir = c.place.data
	server.Env = serverEnvironment()
	server.Stdout, server.Stderr = out, out
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.place.owner.credential()}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start the database server: %w", err)
	}
	c.pid.Store(int64(server.Process.Pid))
	c.takeTurns()
	// Reap it whenever it ends; nobody waits for this.
	go func() { _ = server.Wait() }()
	return nil
}

// takeTurns makes the sessions that the server starts from now on take turns as serve does, whoever started it.
func (c *Cluster) takeTurns() {
	if err := sched.Batch(c.PID(), sched.Slice); err != nil {
		c.log.Warn("the database server keeps its scheduling policy", zap.Error(err))
	}
}

// initialise runs initdb into a folder beside the final one and renames it, so that a start that
// was killed half-way leaves no half cluster.
func (c *Cluster) initialise(ctx context.Context, walSegmentMB int) error {
	if _, err := os.Stat(filepath.Join(c.place.data, "PG_VERSION")); err == nil {
		return nil
	}
	c.log.Info("making a database cluster", zap.String("data", c.place.data))
	fresh := c.place.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove an unfinished cluster: %w", err)
	}
	if err := c.place.makeOwned(fresh); err != nil {
		return err
	}
	// initdb reads the superuser's password as its own user, from inside the folder's neighbour.
	words := c.place.data + ".password"
	if err := c.place.writeOwned(words, c.passwords.superuser+"\n"); err != nil {
		return err
	}
	defer func() { _ = os.Remove(words) }()
	initdb := exec.CommandContext(ctx, //nolint:gosec // as configured
		filepath.Join(c.place.bin, "initdb"),
		"--pgdata="+fresh, "--data-checksums", "--auth=scram-sha-256", "--username="+superuser,
		"--pwfile="+words, "--encoding=UTF8", "--locale=C.UTF-8", "--wal-segsize="+strconv.Itoa(cmp.Or(walSegmentMB, 16)))
	initdb.Dir = filepath.Dir(c.place.data)
	initdb.Env = serverEnvironment()
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.place.owner.credential()}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("make a database cluster: %w: %s", err, lastLine(out))
	}
	if err := os.Rename(fresh, c.place.data); err != nil {
		return fmt.Errorf("put the new cluster in place: %w", err)
	}
	return syncFolder(filepath.Dir(c.place.data))
}

// serverEnvironment is all the server sees of ours.
func serverEnvironment() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
}

// waitReady connects until the server answers, its process ends, or a minute is over: a server
// that was killed replays its log first.
func (c *Cluster) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.dsn(superuser, c.passwords.superuser, "postgres"))
		if err == nil {
			closeQuietly(ctx, conn)
			return nil
		}
		if server := masked(err); !starting(server) {
			return fmt.Errorf("connect to the new server: %w", server)
		}
		if !alive(c.PID()) {
			return errEnded
		}
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the database server: %w", err)
		}
	}
}

// starting tells whether an error may pass by waiting: no socket yet, or 57P03 (starting up).
func starting(err error) bool {
	server, ok := errors.AsType[*ServerError](err)
	return !ok || server.State == "57P03"
}

// pause waits on the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// createDatabase makes a database that does not exist yet.
func (c *Cluster) createDatabase(ctx context.Context, name string) error {
	conn, err := connect(ctx, c.dsn(superuser, c.passwords.superuser, "postgres"))
	if err != nil {
		return err
	}
	defer closeQuietly(ctx, conn)
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for database %s: %w", name, masked(err))
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", name, masked(err))
	}
	return nil
}

// Stop shuts the server down (fast: sessions are ended, nothing committed is lost) and waits
// until it is gone.
func (c *Cluster) Stop(ctx context.Context) error {
	if runningPID(c.place.data) != c.PID() {
		return nil
	}
	if err := syscall.Kill(c.PID(), syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the database server: %w", err)
	}
	for alive(c.PID()) {
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the database server to end: %w", err)
		}
	}
	// Empty once the server has taken its socket away; another server's stays.
	if c.place.sockets != "" {
		_ = os.Remove(c.place.sockets)
	}
	c.log.Info("database cluster stopped", zap.Int("pid", c.PID()))
	return nil
}

// PID is the server's process.
func (c *Cluster) PID() int { return int(c.pid.Load()) }

// Attached says that the server was running already.
func (c *Cluster) Attached() bool { return c.attached }

// DataDir is where the data is, for DiskHeadroom.
func (c *Cluster) DataDir() string { return c.place.data }

// SuperuserDSN connects to the hub's database as the superuser: for migration and tests only.
func (c *Cluster) SuperuserDSN() string { return c.DatabaseDSNs(Database).Superuser }

// AppDSN connects to the hub's database as RoleApp.
func (c *Cluster) AppDSN() string { return c.DatabaseDSNs(Database).App }

// VaultDSN connects to the hub's database as RoleVault.
func (c *Cluster) VaultDSN() string { return c.DatabaseDSNs(Database).Vault }

// OpenerDSN connects to the hub's database as RoleOpener.
func (c *Cluster) OpenerDSN() string { return c.DatabaseDSNs(Database).Opener }

// DSNs are the addresses of one database, one for each role. They hold passwords.
type DSNs struct {
	Superuser string
	App       string
	Vault     string
	Opener    string
}

// DatabaseDSNs gives the addresses of a database of the cluster.
func (c *Cluster) DatabaseDSNs(database string) DSNs {
	return DSNs{
		Superuser: c.dsn(superuser, c.passwords.superuser, database),
		App:       c.dsn(RoleApp, c.passwords.app, database),
		Vault:     c.dsn(RoleVault, c.passwords.vault, database),
		Opener:    c.dsn(RoleOpener, c.passwords.opener, database),
	}
}

// dsn is a libpq URL; every part is of a plain alphabet but the socket folder.
func (c *Cluster) dsn(role, password, database string) string {
	host := strings.ReplaceAll(c.place.sockets, "/", "%2F")
	return "postgres://" + role + ":" + password + "@/" + database + "?host=" + host +
		"&port=" + strconv.Itoa(socketPort)
}

// Migrate brings the cluster's database to this binary's version, with the cluster's passwords.
func (c *Cluster) Migrate(ctx context.Context, sets ...MigrationSet) error {
	return c.MigrateDatabase(ctx, Database, sets...)
}

// MigrateDatabase does the same for another database of the cluster, making it if needed.
func (c *Cluster) MigrateDatabase(ctx context.Context, database string, sets ...MigrationSet) error {
	if err := c.createDatabase(ctx, database); err != nil {
		return err
	}
	return Migrate(ctx, MigrateConfig{
		DSN:         c.DatabaseDSNs(database).Superuser,
		AppPassword: c.passwords.app, VaultPassword: c.passwords.vault, OpenerPassword: c.passwords.opener,
		Sets: sets, Logger: c.log,
	})
}

// lastLine is the end of a tool's output, for an error.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

package hubtest

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// Server is one PostgreSQL of a pair.
type Server struct {
	*postgres.Cluster

	tb       testing.TB
	dir      string
	settings map[string]string
}

// Pair is a primary and its standby by streaming replication on this machine, the primary waiting
// for the standby at each COMMIT (synchronous_commit = remote_apply).
type Pair struct {
	Primary, Standby *Server

	tb testing.TB
	// folders made so far, so that each server has one of its own.
	folders int
	dir     string
}

// NewPair starts a pair with the hub's schema. It is stopped and removed with the test.
func NewPair(tb testing.TB) *Pair {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sinbahub-pair-") //nolint:usetesting // the server's user must be able to enter
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // what is secret in it is 0600
		tb.Fatal(err)
	}
	p := &Pair{tb: tb, dir: dir}
	tb.Cleanup(func() {
		for _, s := range []*Server{p.Primary, p.Standby} {
			if s != nil {
				s.Kill()
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	p.Primary = p.serverAt(p.nextFolder(), nil)
	p.Primary.Start()
	if err := p.Primary.Migrate(tb.Context(), Vault()); err != nil {
		tb.Fatal(err)
	}
	p.AddStandby()
	return p
}

// PairFrom makes a pair of a running cluster, whose folder stays its owner's.
func PairFrom(tb testing.TB, dir string) *Pair {
	tb.Helper()
	p := &Pair{tb: tb, dir: dir}
	tb.Cleanup(func() {
		for _, s := range []*Server{p.Primary, p.Standby} {
			if s != nil {
				s.Kill()
			}
		}
	})
	p.Primary = p.serverAt(filepath.Join(dir, "postgres"), nil)
	p.Primary.Start()
	p.AddStandby()
	return p
}

func (p *Pair) nextFolder() string {
	p.folders++
	return filepath.Join(p.dir, "server-"+strconv.Itoa(p.folders))
}

func (p *Pair) serverAt(dir string, settings map[string]string) *Server {
	all := map[string]string{"shared_buffers": "64MB", "max_wal_size": "512MB"}
	maps.Copy(all, settings)
	return &Server{tb: p.tb, dir: dir, settings: all}
}

// AddStandby copies the primary into a new folder, starts the copy as its standby and makes the
// primary wait for it.
func (p *Pair) AddStandby() {
	p.tb.Helper()
	folder := p.nextFolder()
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // what is secret in it is 0600
		p.tb.Fatal(err)
	}
	p.addStandbyIn(folder)
}

// Rebuild makes a server that is gone the standby, from a copy of the primary, at its old address.
func (p *Pair) Rebuild(old *Server) {
	p.tb.Helper()
	if err := os.RemoveAll(old.DataDir()); err != nil {
		p.tb.Fatal(err)
	}
	p.addStandbyIn(old.dir)
}

func (p *Pair) addStandbyIn(folder string) {
	p.tb.Helper()
	for _, role := range []string{"superuser", "app", "vault"} {
		word, err := os.ReadFile(filepath.Join(p.Primary.dir, role+".password")) //nolint:gosec // folders of ours
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, role+".password"), word, 0o600) //nolint:gosec // as above
		}
		if err != nil {
			p.tb.Fatal(err)
		}
	}
	super, err := pgx.ParseConfig(p.Primary.SuperuserDSN())
	if err != nil {
		p.tb.Fatal(err)
	}
	data := filepath.Join(folder, "data")
	p.Primary.makeLike(data)
	p.Primary.run("pg_basebackup", []string{"PGPASSWORD=" + super.Password},
		"--host="+super.Host, "--port=5432", "--username="+super.User, "--pgdata="+data,
		"--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	p.Standby = p.serverAt(folder, map[string]string{
		"primary_conninfo": "host=" + super.Host + " port=5432 user=" + super.User + " password=" + super.Password +
			" application_name=standby",
	})
	p.Standby.Start()
	p.Primary.Set("synchronous_commit", "remote_apply")
	p.Primary.Set("synchronous_standby_names", "*")
	p.AwaitStandby()
}

// AwaitStandby returns when the primary counts on its standby.
func (p *Pair) AwaitStandby() {
	p.tb.Helper()
	conn := p.Primary.Connect()
	defer func() { _ = conn.Close(context.WithoutCancel(p.tb.Context())) }()
	Await(p.tb, time.Minute, "the standby is synchronous", func() bool {
		return Number(p.tb, conn, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'") > 0
	})
}

// Promote makes the standby the primary, alone: it waits for nobody until AddStandby. What was the
// primary is returned as it is.
func (p *Pair) Promote() (old *Server) {
	p.tb.Helper()
	p.Standby.Set("synchronous_standby_names", "")
	conn := p.Standby.Connect()
	defer func() { _ = conn.Close(context.WithoutCancel(p.tb.Context())) }()
	var promoted bool
	if err := conn.QueryRow(p.tb.Context(), "SELECT pg_promote(true, 60)").Scan(&promoted); err != nil || !promoted {
		p.tb.Fatalf("promote the standby: %v %v", promoted, err)
	}
	old, p.Primary, p.Standby = p.Primary, p.Standby, nil
	return old
}

// DSNs lead to whichever of the servers takes writes.
func (p *Pair) DSNs() postgres.DSNs {
	p.tb.Helper()
	one, other := p.Primary.DatabaseDSNs(postgres.Database), p.Standby.DatabaseDSNs(postgres.Database)
	return postgres.DSNs{App: Either(one.App, other.App), Vault: Either(one.Vault, other.Vault), Superuser: Either(one.Superuser, other.Superuser)}
}

// Either is the address of two servers of which the one that takes writes is meant.
func Either(one, other string) string {
	_, second, _ := strings.Cut(other, "?host=")
	return strings.TrimSuffix(one, "&port=5432") + "," + strings.TrimSuffix(second, "&port=5432") +
		"&port=5432,5432&target_session_attrs=read-write"
}

// Start starts the server or attaches to it.
func (s *Server) Start() {
	s.tb.Helper()
	cluster, err := postgres.StartCluster(s.tb.Context(), postgres.ClusterConfig{Dir: s.dir, Settings: s.settings})
	if err != nil {
		s.tb.Fatalf("start a server of the pair: %v", err)
	}
	s.Cluster = cluster
}

// Kill ends the server and all its processes as a power cut would.
func (s *Server) Kill() {
	s.tb.Helper()
	if s.Cluster == nil {
		return
	}
	killTree(s.tb, s.PID())
	Await(s.tb, time.Minute, "the server is gone", func() bool { return len(children(s.PID())) == 0 && !processRuns(s.PID()) })
}

// Freeze stops the server and all its processes for a while, as a machine that hangs.
func (s *Server) Freeze() { s.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(which syscall.Signal) {
	s.tb.Helper()
	for _, pid := range append([]int{s.PID()}, children(s.PID())...) {
		if err := syscall.Kill(pid, which); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.tb.Fatalf("%v to the server: %v", which, err)
		}
	}
}

// Set changes a setting of the running server, also of a standby.
func (s *Server) Set(name, value string) {
	s.tb.Helper()
	conn := s.Connect()
	defer func() { _ = conn.Close(context.WithoutCancel(s.tb.Context())) }()
	for _, statement := range []string{"ALTER SYSTEM SET " + name + " = '" + value + "'", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(s.tb.Context(), statement); err != nil {
			s.tb.Fatalf("set %s: %v", name, err)
		}
	}
	fresh := s.Connect()
	defer func() { _ = fresh.Close(context.WithoutCancel(s.tb.Context())) }()
	Await(s.tb, time.Minute, "the setting is in force", func() bool {
		var now string
		err := fresh.QueryRow(s.tb.Context(), "SELECT current_setting($1)", name).Scan(&now)
		return err == nil && now == value
	})
}

// Connect opens a connection of the superuser.
func (s *Server) Connect() *pgx.Conn {
	s.tb.Helper()
	conn, err := pgx.Connect(s.tb.Context(), s.SuperuserDSN())
	if err != nil {
		s.tb.Fatalf("connect to a server of the pair: %v", err)
	}
	return conn
}

// owner is the user whose files the server's are.
func (s *Server) owner() *syscall.Stat_t {
	s.tb.Helper()
	info, err := os.Stat(s.DataDir())
	if err != nil {
		s.tb.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		s.tb.Fatal("no owner of the data")
	}
	return stat
}

// makeLike makes a folder for the server's user.
func (s *Server) makeLike(dir string) {
	s.tb.Helper()
	owner := s.owner()
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, int(owner.Uid), int(owner.Gid))); err != nil {
		s.tb.Fatal(err)
	}
}

// run runs one of PostgreSQL's tools as the server's user.
func (s *Server) run(tool string, environ []string, args ...string) {
	s.tb.Helper()
	bin, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(s.PID()), "exe"))
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd := exec.CommandContext(s.tb.Context(), filepath.Join(filepath.Dir(bin), tool), args...) //nolint:gosec // a tool of the server's
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}, environ...)
	if owner := s.owner(); os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		s.tb.Fatalf("%s: %v\n%s", tool, err, out)
	}
}

package postgres_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// folder is a new one that a server's user can pass through, unlike t.TempDir for root.
func folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "cluster") //nolint:usetesting // must be passable for the server's user
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "postgres")
}

// start starts or attaches, and stops the cluster with the test.
func start(tb testing.TB, cfg postgres.ClusterConfig) *postgres.Cluster {
	tb.Helper()
	if cfg.Settings == nil {
		cfg.Settings = map[string]string{"shared_buffers": "16MB"}
	}
	cluster, err := postgres.StartCluster(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := cluster.Stop(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
		_ = os.RemoveAll(socketsOf(tb, cluster))
	})
	return cluster
}

func socketsOf(tb testing.TB, cluster *postgres.Cluster) string {
	tb.Helper()
	config, err := pgx.ParseConfig(cluster.SuperuserDSN())
	if err != nil {
		tb.Fatal(err)
	}
	return config.Host
}

func TestClusterStartsMigratesAndKeepsItsDataOverRestarts(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t)}
	cluster := start(t, cfg)
	if cluster.Attached() {
		t.Error("a new cluster was attached to")
	}
	if err := cluster.Migrate(t.Context(), hubtest.Vault()); err != nil {
		t.Fatal(err)
	}
	db := hubtest.DB{DSNs: cluster.DatabaseDSNs(postgres.Database), Name: postgres.Database}
	a := acceptance(1)
	accept(t, open(t, db), a)
	wantDenied(t, db, "CREATE TEMPORARY TABLE x (a int)")

	// Another hub on the folder attaches.
	second := start(t, cfg)
	if !second.Attached() || second.PID() != cluster.PID() {
		t.Fatalf("second start: attached %v, pid %d, first %d", second.Attached(), second.PID(), cluster.PID())
	}

	// A stop and a crash of the server leave what was committed.
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	third := start(t, cfg)
	if third.Attached() || third.PID() == cluster.PID() {
		t.Fatal("attached to a server that was stopped")
	}
	if err := syscall.Kill(third.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	fourth := start(t, cfg)
	if fourth.PID() == third.PID() {
		t.Fatal("attached to a server that was killed")
	}
	if err := fourth.Migrate(t.Context(), hubtest.Vault()); err != nil {
		t.Fatal(err)
	}
	found, err := open(t, db).Lookup(t.Context(), postgres.Query{Key: a.Key})
	if err != nil || found.Key == nil {
		t.Fatalf("after a restart and a crash: %+v, %v", found, err)
	}
}

func wantDenied(tb testing.TB, db hubtest.DB, statement string) {
	tb.Helper()
	if _, err := connect(tb, db.App).Exec(tb.Context(), statement); err == nil {
		tb.Errorf("allowed: %s", statement)
	}
}

func TestClusterStartsOnceForManyStarters(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t), Settings: map[string]string{"shared_buffers": "16MB"}}
	pids := make([]int, 4)
	var wg sync.WaitGroup
	for i := range pids {
		wg.Go(func() {
			cluster, err := postgres.StartCluster(t.Context(), cfg)
			if err != nil {
				t.Errorf("starter %d: %v", i, err)
				return
			}
			pids[i] = cluster.PID()
		})
	}
	wg.Wait()
	start(t, cfg)
	for _, pid := range pids {
		if pid != pids[0] {
			t.Errorf("started as %v", pids)
		}
	}
}

// Whoever can read the folder's files could be the superuser, and whoever can enter the socket's
// folder could try.
func TestClusterKeepsOthersOut(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t)}
	cluster := start(t, cfg)
	want := map[string]fs.FileMode{
		filepath.Join(cfg.Dir, "superuser.password"): 0o600,
		filepath.Join(cfg.Dir, "app.password"):       0o600,
		filepath.Join(cfg.Dir, "vault.password"):     0o600,
		filepath.Join(cfg.Dir, "postgres.log"):       0o600,
		cluster.DataDir():                            0o700,
		socketsOf(t, cluster):                        0o700,
	}
	for name, mode := range want {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
	// No trust anywhere: a wrong password opens nothing, even for root on the socket.
	config, err := pgx.ParseConfig(cluster.SuperuserDSN())
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		_ = conn.Close(t.Context())
		t.Error("connected with a wrong password")
	}
	leftover, err := filepath.Glob(cluster.DataDir() + ".*")
	if err != nil || len(leftover) > 0 {
		t.Errorf("left %v, %v", leftover, err)
	}
}

func TestClusterRefusesASocketFolderOfSomebodyElse(t *testing.T) {
	t.Parallel()
	cfg := postgres.ClusterConfig{Dir: folder(t)}
	cluster := start(t, cfg)
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	sockets := socketsOf(t, cluster)
	if err := os.Mkdir(sockets, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(sockets) })
	if _, err := postgres.StartCluster(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("used it: %v", err)
	}
}

// CheckServer sees the settings that no session can change.
func TestCheckServerRefusesAServerThatForgets(t *testing.T) {
	t.Parallel()
	cluster := start(t, postgres.ClusterConfig{Dir: folder(t), Settings: map[string]string{
		"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB",
	}})
	if err := cluster.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := open(t, hubtest.DB{DSNs: cluster.DatabaseDSNs(postgres.Database)}).CheckServer(t.Context())
	if err == nil || !strings.Contains(err.Error(), "fsync") || !strings.Contains(err.Error(), "full_page_writes") {
		t.Errorf("got %v", err)
	}
}

// A folder that the server's user cannot enter (every mktemp -d, for root) has its data elsewhere,
// and what a deleted folder left there is not taken over by a new one of the same name.
func TestClusterOfAnUnreachableFolderHasItsDataElsewhere(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root runs the server as another user")
	}
	parent, err := os.MkdirTemp("", "unreachable") //nolint:usetesting // mode 0700 is the point
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	cfg := postgres.ClusterConfig{Dir: filepath.Join(parent, "postgres")}
	first := start(t, cfg)
	base := filepath.Dir(first.DataDir())
	t.Cleanup(func() {
		all, _ := filepath.Glob(base + "*")
		for _, dir := range all {
			_ = os.RemoveAll(dir)
		}
	})
	if !strings.HasPrefix(first.DataDir(), "/var/lib/sinbahub/") {
		t.Fatalf("data is in %s", first.DataDir())
	}
	if again := start(t, cfg); !again.Attached() || again.PID() != first.PID() {
		t.Error("a second start did not attach")
	}
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	fresh := start(t, cfg)
	if fresh.PID() == first.PID() {
		t.Error("took over the server of a deleted folder")
	}
	if aside, _ := filepath.Glob(base + ".orphan-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

// helperDir names the folder for TestClusterHelper in a process of another user.
const helperDir = "SINBAHUB_CLUSTER_HELPER"

// TestClusterHelper is the other process of TestClusterRunsAsAnOrdinaryUser.
func TestClusterHelper(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(helperDir)
	if dir == "" {
		t.Skip("not called by the test that needs it")
	}
	cluster := start(t, postgres.ClusterConfig{Dir: filepath.Join(dir, "postgres")})
	if err := cluster.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	accept(t, open(t, hubtest.DB{DSNs: cluster.DatabaseDSNs(postgres.Database)}), acceptance(1))
}

func TestClusterRunsAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("every other test shows it then")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "ordinary") //nolint:usetesting // must be passable for another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// The folder of the test's own binary is closed to others.
	program := filepath.Join(dir, "program")
	copyFile(t, "/proc/self/exe", program)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	helper := exec.CommandContext(ctx, program, "-test.run=^TestClusterHelper$", "-test.v")
	helper.Dir = dir
	helper.Env = []string{helperDir + "=" + dir, "TMPDIR=" + dir, "HOME=" + dir}
	helper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := helper.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestClusterHelper") {
		t.Errorf("%v\n%s", err, out)
	}
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	source, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		tb.Fatal(err)
	}
	if err := target.Close(); err != nil {
		tb.Fatal(err)
	}
}

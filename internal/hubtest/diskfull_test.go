//go:build smoke

package hubtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// diskSize is the database's whole disk.
const diskSize = 256 << 20

// count is how often a campaign does its thing: the variable's number, else the short form's.
func count(t *testing.T, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q", variable, text)
	}
	return n
}

// disk is a small file system of its own, in a file.
type disk struct {
	t    *testing.T
	path string
}

// mountDisk mounts one, or says why this machine has none.
func mountDisk(t *testing.T) (d disk, why string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sinbahub-disk-") //nolint:usetesting // the server's user must be able to enter
	if err != nil {
		t.Fatal(err)
	}
	d = disk{t: t, path: filepath.Join(dir, "mount")}
	image := filepath.Join(dir, "image")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(d.path, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, d.path},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			return d, strings.Join(args, " ") + ": " + string(out) + err.Error()
		}
	}
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "umount", d.path).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return d, ""
}

// fill takes all the room that is left, and what is freed meanwhile.
func (d disk) fill() {
	d.t.Helper()
	file, err := os.OpenFile(filepath.Join(d.path, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for size := 1 << 20; size >= 1<<10; size /= 4 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

// free gives the room back.
func (d disk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.path, "ballast")); err != nil {
		d.t.Fatal(err)
	}
}

// TestSmokeDiskFull fills the database's disk under load and frees it again, as often as DISKFULL
// says. The hub is never started again; the server may end and is started by whoever keeps it.
func TestSmokeDiskFull(t *testing.T) {
	t.Parallel()
	d, why := mountDisk(t)
	if why != "" {
		t.Skipf("SKIPPED, nothing was tested: this machine does not mount a file system in a file (%s)", why)
	}
	cfg := postgres.ClusterConfig{Dir: d.path, WALSegmentMB: 1, Settings: map[string]string{
		"shared_buffers": "32MB", "max_wal_size": "32MB", "min_wal_size": "2MB",
	}}
	var cluster *postgres.Cluster
	h := hubtest.StartPrepared(t, hubtest.Binaries(t), func(varDir string) {
		var err error
		if cluster, err = postgres.StartCluster(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(d.path, filepath.Join(varDir, "postgres")); err != nil {
			t.Fatal(err)
		}
		// The door would close long before this small disk is full, which is not what is tried here.
	}, "SINBAHUB_ADMISSION_DISK=0")
	keep(t, cluster, cfg)
	t.Cleanup(func() { tellLog(t, d.path) })
	serve := h.Run.Pids.Serve
	var all []sent
	var backs, noticed []time.Duration
	cycles := count(t, "SINBAHUB_TEST_DISKFULL", 1)
	servers := map[int]bool{cluster.PID(): true}
	for i := range cycles {
		// Children of its own each time, between those of the writers before.
		l := startLoad(t, h, true, hubtest.Child(50*i))
		l.awaitAnswers(20)
		filled := time.Now()
		d.fill()
		p := probe{h: h, first: hubtest.Child(probeChildren + 100*i)}
		p.awaitRefused(t, d.fill)
		noticed = append(noticed, time.Since(filled))
		checkNotReady(t, h)
		d.free()
		freed := time.Now()
		l.awaitAnswers(1)
		backs = append(backs, time.Since(freed))
		l.awaitAnswers(20)
		awaitReady(t, h)
		all = append(append(all, l.stop()...), p.finish(t)...)
		servers[cluster.PID()] = true
		if t.Failed() {
			return
		}
	}
	if h.Run.Pids.Serve != serve || !h.Alive() {
		t.Error("serve did not outlive the full disk")
	}
	h.Run.DatabaseURL = cluster.SuperuserDSN()
	lost, doubled := readLedger(t, h).check(all)
	t.Logf("disk full and free %d times, %s, lost %d, doubled %d; server crashed %d times, was started anew %d times; full to refusal: %s; free to first receipt: %s",
		cycles, told(all), lost, doubled, crashes(t, d.path), len(servers)-1, quantiles(noticed), quantiles(backs))
}

// keep starts the server again whenever it ends, as its service manager does, until the test ends.
func keep(t *testing.T, cluster *postgres.Cluster, cfg postgres.ClusterConfig) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		cluster.Keep(ctx, cfg)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// readiness asks once and tells how long the answer took.
func readiness(t *testing.T, h *hubtest.Hub) (status int, text string, took time.Duration) {
	t.Helper()
	began := time.Now()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.Run.AdminURL+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error(), time.Since(began)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body), time.Since(began)
}

func checkNotReady(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	hubtest.Await(t, time.Minute, "the hub says that it is not ready", func() bool {
		status, text, took := readiness(t, h)
		// Two seconds of its own, and what a busy machine adds.
		if took > 10*time.Second {
			t.Errorf("readiness took %v", took)
		}
		return status == http.StatusServiceUnavailable && strings.Contains(text, "database: not ready")
	})
}

func awaitReady(t *testing.T, h *hubtest.Hub) {
	t.Helper()
	hubtest.Await(t, time.Minute, "the hub is ready", func() bool {
		status, _, _ := readiness(t, h)
		return status == http.StatusOK
	})
}

// crashes counts how often the server began to recover.
func crashes(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "automatic recovery in progress")
}

// tellLog shows the end of the server's log, which has no values, if the test failed: it goes with
// the disk.
func tellLog(t *testing.T, dir string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Log(err)
	}
	lines := strings.Split(string(text), "\n")
	t.Log(strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

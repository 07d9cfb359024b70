package hubtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
)

// Hub is a whole hub as an operator runs it: plain binaries, an embedded database, the SISS
// simulator and the demo's participants, in a folder of its own.
type Hub struct {
	// Run is var/run.json as of the last Up.
	Run app.RunFile
	// Var is the folder.
	Var string

	binary string
	tb     testing.TB
	// operator is the file of anna's key, once there are People.
	operator string
}

// Root is the project's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Binaries builds sinbahub, siss-sim and sinbaverify once for all tests of a process and gives their folder.
// SINBAHUB_TEST_BIN names a folder of binaries built before.
func Binaries(tb testing.TB) string {
	tb.Helper()
	dir, err := build()
	if err != nil {
		tb.Fatalf("build binaries: %v", err)
	}
	return dir
}

// LeakyBinaries is Binaries with the tag leak, which lets a request make the hub panic or leak.
func LeakyBinaries(tb testing.TB) string {
	tb.Helper()
	others := Binaries(tb)
	dir, err := buildLeaky()
	if err != nil {
		tb.Fatalf("build leaky binaries: %v", err)
	}
	// What else it starts or is looked at with has nothing to leak.
	for _, name := range []string{"siss-sim", "sinbaverify"} {
		if err := os.Symlink(filepath.Join(others, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			tb.Fatal(err)
		}
	}
	return dir
}

//nolint:gochecknoglobals // one build a test process
var (
	build = sync.OnceValues(func() (string, error) {
		if dir := os.Getenv("SINBAHUB_TEST_BIN"); dir != "" {
			return dir, nil
		}
		return buildInto("bin", "./cmd/sinbahub", "./cmd/siss-sim", "./cmd/sinbaverify")
	})
	buildLeaky = sync.OnceValues(func() (string, error) { return buildInto("leaky", "-tags", "leak", "./cmd/sinbahub") })
)

// buildInto builds what is named into a folder of that kind, and gives it.
func buildInto(kind string, args ...string) (string, error) {
	// Two checkouts on one machine must not test each other's binaries.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("sinbahub-test-%s-%08x", kind, crc32.ChecksumIEEE([]byte(Root()))))
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // binaries are for everybody
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a name of ours
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // nothing was written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append([]string{"build", "-mod=readonly", "-o", dir + "/"}, args...)...) //nolint:gosec,noctx // a folder of ours; for all tests of the process
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return dir, nil
}

// Start starts a hub and stops it when the test ends. Environment variables (KEY=value) change
// its configuration.
func Start(tb testing.TB, environ ...string) *Hub {
	tb.Helper()
	return StartFrom(tb, Binaries(tb), environ...)
}

// StartFrom is Start with the binaries of a folder, which another commit may have built.
func StartFrom(tb testing.TB, binaries string, environ ...string) *Hub {
	tb.Helper()
	return StartPrepared(tb, binaries, func(string) {}, environ...)
}

// StartPrepared is StartFrom in a folder in which something was done before.
func StartPrepared(tb testing.TB, binaries string, prepare func(varDir string), environ ...string) *Hub {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sinbahub-hub-") //nolint:usetesting // kept if the test fails
	if err != nil {
		tb.Fatal(err)
	}
	// The database's user must be able to enter, else its data would be elsewhere and stay behind.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // what is secret in it is 0600
		tb.Fatal(err)
	}
	h := &Hub{Var: dir, binary: filepath.Join(binaries, "sinbahub"), tb: tb}
	tb.Cleanup(func() {
		if out, err := h.command("down"); err != nil {
			tb.Errorf("stop hub: %v\n%s", err, out)
		}
		if tb.Failed() {
			tb.Logf("its folder is kept: %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	prepare(dir)
	h.Up(environ...)
	return h
}

// Attach gives the hub of a folder that a test kept, running; its folder stays. A checker looks at it
// without the test that made it.
func Attach(tb testing.TB, dir string) *Hub {
	tb.Helper()
	h := &Hub{Var: dir, binary: filepath.Join(Binaries(tb), "sinbahub"), tb: tb}
	tb.Cleanup(func() {
		if out, err := h.command("down"); err != nil {
			tb.Errorf("stop hub: %v\n%s", err, out)
		}
	})
	h.Up()
	return h
}

// Up starts what does not run.
func (h *Hub) Up(environ ...string) {
	h.tb.Helper()
	if out, err := h.command("up", environ...); err != nil {
		h.tb.Fatalf("start hub: %v\n%s", err, out)
	}
	run, ok, err := app.ReadRunFile(h.Var)
	if err != nil || !ok {
		h.tb.Fatalf("run file: %v %v", ok, err)
	}
	h.Run = run
}

// command runs a verb of the demo in the project's folder.
func (h *Hub) command(verb string, environ ...string) (string, error) {
	// It must also run when the test has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.tb.Context()), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.binary, "demo", verb) //nolint:gosec // our own binary
	cmd.Dir = Root()
	cmd.Env = append(cleanEnviron(), append([]string{"SINBAHUB_VAR=" + h.Var}, environ...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cleanEnviron is the environment without the hub's own variables.
func cleanEnviron() []string {
	var clean []string
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "SINBAHUB_") || strings.HasPrefix(line, "SINBAHUB_TEST_") {
			clean = append(clean, line)
		}
	}
	return clean
}

// Kill ends serve as a power cut would.
func (h *Hub) Kill() { h.signal(syscall.SIGKILL) }

// Terminate asks serve to stop as an operator does, and does not wait.
func (h *Hub) Terminate() { h.signal(syscall.SIGTERM) }

// KillDatabase ends the database server and all its processes as a power cut would.
func (h *Hub) KillDatabase() {
	h.tb.Helper()
	killTree(h.tb, h.Run.Pids.Postgres)
}

// killTree ends a process and its children at once.
func killTree(tb testing.TB, parent int) {
	tb.Helper()
	for _, pid := range append([]int{parent}, children(parent)...) {
		// A backend may have ended by itself meanwhile.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			tb.Fatalf("kill the database: %v", err)
		}
	}
}

// DatabaseProcesses are the postmaster and all that it started.
func (h *Hub) DatabaseProcesses() []int {
	return append([]int{h.Run.Pids.Postgres}, children(h.Run.Pids.Postgres)...)
}

// children lists the processes whose parent is this one.
func children(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat) //nolint:gosec // of the kernel
		if err != nil {
			continue // it ended
		}
		_, rest, _ := bytes.Cut(text, []byte(") "))
		if fields := bytes.Fields(rest); len(fields) > 1 && string(fields[1]) == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (h *Hub) signal(which syscall.Signal) {
	h.tb.Helper()
	if err := syscall.Kill(h.Run.Pids.Serve, which); err != nil {
		h.tb.Fatalf("%v to serve: %v", which, err)
	}
}

// Alive tells whether serve's process runs; one that ended and was not reaped does not.
func (h *Hub) Alive() bool { return processRuns(h.Run.Pids.Serve) }

func processRuns(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the command's name in parentheses.
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

// Participant finds the demo's participant of an ente.
func (h *Hub) Participant(ente string) app.RunParticipant {
	h.tb.Helper()
	for _, p := range h.Run.Participants {
		if p.Ente == ente {
			return p
		}
	}
	h.tb.Fatalf("no participant for %s", ente)
	return app.RunParticipant{}
}

// Password reads a participant's.
func (h *Hub) Password(p app.RunParticipant) string {
	h.tb.Helper()
	text, err := os.ReadFile(p.APIPasswordFile)
	if err != nil {
		h.tb.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

package validator_test

import (
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
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
	"github.com/sinbahub/sinbahub/xsd"
)

const (
	soap11 = "http://schemas.xmlsoap.org/soap/envelope/"
	soap12 = "http://www.w3.org/2003/05/soap-envelope"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// serial numbers the pools of this test binary.
var serial atomic.Int32

// pool is a started pool whose workers can be found among the processes: they run under a
// name of their own.
type pool struct {
	*validator.Pool

	name    string
	metrics *prometheus.Registry
}

// newPool starts a pool with the event contract; change may alter the configuration.
func newPool(tb testing.TB, change func(*validator.Config)) *pool {
	tb.Helper()
	return newWearingPool(tb, change, nil)
}

// newWearingPool is newPool with workers that are replaced earlier.
func newWearingPool(tb testing.TB, change func(*validator.Config), wear func(*validator.Pool)) *pool {
	tb.Helper()
	p := &pool{name: fmt.Sprintf("w%d-%d", os.Getpid(), serial.Add(1)), metrics: prometheus.NewRegistry()}
	dir := tb.TempDir()
	link := filepath.Join(dir, p.name)
	if err := os.Symlink("/proc/self/exe", link); err != nil {
		tb.Fatal(err)
	}
	open(tb, dir)
	cfg := validator.Config{
		Schemas:    schemas(tb),
		Executable: link,
		Registerer: p.metrics,
		Deadline:   30 * time.Second, // the machine may be busy; tests of the deadline set their own
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if p.Pool, err = validator.New(cfg); err != nil {
		tb.Fatal(err)
	}
	if wear != nil {
		wear(p.Pool)
	}
	if err := p.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = p.Close()
		if pids := p.pids(tb); len(pids) > 0 {
			tb.Errorf("workers outlive their pool: %v", pids)
		}
	})
	return p
}

// open lets the user a worker runs as go through a test's folder.
func open(tb testing.TB, dir string) {
	tb.Helper()
	for ; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
}

// schemas has the event contract and nothing else.
func schemas(tb testing.TB) map[validator.Schema]validator.SchemaFiles {
	tb.Helper()
	return map[validator.Schema]validator.SchemaFiles{validator.SinbaEventi: eventFiles(tb)}
}

func eventFiles(tb testing.TB) validator.SchemaFiles {
	tb.Helper()
	content, err := xsd.FS.ReadFile(xsd.SinbaEventi)
	if err != nil {
		tb.Fatal(err)
	}
	return validator.SchemaFiles{
		Main:      xsd.SinbaEventi,
		Files:     map[string][]byte{xsd.SinbaEventi: content},
		Namespace: "urn:sinba:eventi:v1",
		Lot:       validator.EventLot(),
	}
}

// liar builds testdata/liar.c.
func liar(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	open(tb, dir)
	path := filepath.Join(dir, fmt.Sprintf("l%d-%d", os.Getpid(), serial.Add(1)))
	if out, err := exec.CommandContext(tb.Context(), "gcc", "-Wall", "-Werror", "-o", path, "testdata/liar.c").CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return path
}

// lying is a pool whose workers are liars.
func lying(tb testing.TB, deadline time.Duration) *pool {
	tb.Helper()
	path := liar(tb)
	p := newPool(tb, func(c *validator.Config) {
		c.Executable = path
		c.Deadline = deadline
	})
	p.name = filepath.Base(path)
	return p
}

// pids are the pool's living workers but the one for large documents, told by its niceness.
func (p *pool) pids(tb testing.TB) []int {
	tb.Helper()
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		tb.Fatal(err)
	}
	var usual []int
	for _, pid := range p.allPids(tb) {
		if n, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid); err == nil && n == own {
			usual = append(usual, pid)
		}
	}
	return usual
}

// allPids are the pool's living workers.
func (p *pool) allPids(tb testing.TB) []int {
	tb.Helper()
	var pids []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// pid (name) state ppid ...; a dead one that waits to be reaped is Z.
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err == nil && strings.Contains(string(stat), "("+p.name+") ") && !strings.Contains(string(stat), ") Z ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// restarts reads hub_validator_restarts_total.
func (p *pool) restarts(tb testing.TB, reason string) int {
	tb.Helper()
	return p.metric(tb, "hub_validator_restarts_total", reason)
}

// metric reads a gauge without labels, or a counter or gauge by the value of its label.
func (p *pool) metric(tb testing.TB, name, label string) int {
	tb.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" {
				return int(m.GetGauge().GetValue())
			}
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
				}
			}
		}
	}
	tb.Fatalf("no metric %s %s", name, label)
	return 0
}

// validate is Validate for a bare document of the event contract.
func (p *pool) validate(tb testing.TB, doc string) (validator.Result, error) {
	tb.Helper()
	return p.Validate(tb.Context(), validator.SinbaEventi, validator.Bare, []byte(doc))
}

// until polls for a condition that another process brings about.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// codeOf gives the code of an error, "" for nil.
func codeOf(tb testing.TB, err error) hub.Code {
	tb.Helper()
	if err == nil {
		return ""
	}
	var e *hub.Error
	if !errors.As(err, &e) || len(e.Public) != 1 {
		tb.Fatalf("not a *hub.Error with one code: %v", err)
	}
	return e.Public[0].Code
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// processVariable is set in the environment of a process of this test binary.
const processVariable = "VALIDATOR_TEST_PROCESS"

// process runs one test of this binary, which is no test but a helper, in a process of its own
// under conditions that a process cannot undo. line is a shell's, where "$0" "$@" is the process.
// It gives what was printed.
func process(tb testing.TB, test string, attr *syscall.SysProcAttr, line string, environ ...string) string {
	tb.Helper()
	// Where any user may go, which the folder of the sources need not be.
	dir := tb.TempDir()
	open(tb, dir)
	self := filepath.Join(dir, "self")
	if err := os.WriteFile(self, read(tb, "/proc/self/exe"), 0o755); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), "/bin/sh", "-c", line, self, "-test.run=^"+test+"$")
	cmd.Dir, cmd.SysProcAttr = dir, attr
	cmd.Env = append(append(os.Environ(), processVariable+"=1"), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// samples gives the contract's sample events by file name.
func samples(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/esempi/*.xml")
	if err != nil || len(paths) == 0 {
		tb.Fatal("no samples")
	}
	all := map[string][]byte{}
	for _, p := range paths {
		all[filepath.Base(p)] = read(tb, p)
	}
	return all
}

func envelope(namespace string, event []byte) []byte {
	return fmt.Appendf(nil, `<s:Envelope xmlns:s="%s"><s:Header><h:Id xmlns:h="urn:h">1</h:Id></s:Header><s:Body>%s</s:Body></s:Envelope>`, namespace, event)
}

package validator_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// walls are the parts that a system may refuse to a worker of its own user.
func walls() []validator.Part {
	return []validator.Part{validator.OwnNetwork, validator.OwnIPC, validator.OwnUTS, validator.EmptyRoot}
}

// requireJail tries to start a pool that requires the whole jail and gives what is missing.
func requireJail(tb testing.TB) ([]validator.Part, error) {
	tb.Helper()
	p, err := validator.New(validator.Config{Workers: 1, Schemas: schemas(tb), RequireJail: true})
	if err != nil {
		return nil, err
	}
	err = p.Start(tb.Context())
	_ = p.Close()
	if missing, ok := errors.AsType[*validator.JailError](err); ok {
		return missing.Missing, nil
	}
	return nil, err
}

// TestJailAsProcess is no test but a process (process) that prints what a required jail lacks.
func TestJailAsProcess(t *testing.T) { //nolint:paralleltest // see above
	if os.Getenv(processVariable) == "" {
		return
	}
	missing, err := requireJail(t)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("missing: %v\n", missing)
}

// missingUnder runs requireJail in a process of its own.
func missingUnder(t *testing.T, attr *syscall.SysProcAttr, line string) string {
	t.Helper()
	out := process(t, "TestJailAsProcess", attr, line)
	_, rest, found := strings.Cut(out, "missing: [")
	missing, _, closed := strings.Cut(rest, "]")
	if !found || !closed {
		t.Fatalf("%s: %s", line, out)
	}
	return missing
}

// TestWholeJailStandsWhereTheSystemAllowsIt wants nothing missing on a system on which the
// namespaces can be made at all, which unshare(1) tells.
func TestWholeJailStandsWhereTheSystemAllowsIt(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "unshare", "--user", "--net", "--ipc", "--uts", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("this system makes no namespaces: %v %s", err, out)
	}
	if missing, err := requireJail(t); err != nil || len(missing) > 0 {
		t.Errorf("as this user: %v, missing %v", err, missing)
	}
	if os.Getuid() == 0 {
		asNobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if missing := missingUnder(t, asNobody, `exec "$0" "$@"`); missing != "" {
			t.Errorf("as nobody: missing %s", missing)
		}
	}
}

// TestRequiredJailIsRefusedWhereTheKernelRefuses runs where no user namespace can be made and,
// as root, without the right to make any other.
func TestRequiredJailIsRefusedWhereTheKernelRefuses(t *testing.T) {
	t.Parallel()
	const noNamespaces = `echo 0 >/proc/sys/user/max_user_namespaces && `
	// Inside, whoever runs this test is root and there is nobody else.
	alone := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if err := (&exec.Cmd{Path: "/bin/true", SysProcAttr: alone}).Run(); err != nil {
		t.Skipf("this system makes no namespaces for a test of having none: %v", err)
	}
	want := "user network_namespace ipc_namespace uts_namespace empty_root"
	got := missingUnder(t, alone, noNamespaces+`exec setpriv --bounding-set -sys_admin,-sys_chroot "$0" "$@"`)
	// Of a worker that is root it cannot be seen whether it can be dumped.
	if got = strings.Replace(got, " no_dump", "", 1); got != want {
		t.Errorf("root without rights: got %s", got)
	}
	if os.Getuid() != 0 {
		return
	}
	// Two users inside: root and nobody.
	two := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}, {ContainerID: 65534, HostID: 65534, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{Size: 1}, {ContainerID: 65534, HostID: 65534, Size: 1}},

		GidMappingsEnableSetgroups: true,
	}
	if got := missingUnder(t, two, noNamespaces+`exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" "$@"`); got != want {
		t.Errorf("nobody: got %s", got)
	}
	want = "network_namespace ipc_namespace uts_namespace empty_root"
	if got := missingUnder(t, two, noNamespaces+`exec setpriv --bounding-set -sys_admin "$0" "$@"`); got != want {
		t.Errorf("root with another user at hand: got %s", got)
	}
}

// TestJailThatIsNotRequiredIsToldWhereItLacks starts workers without the rights their walls need.
func TestJailThatIsNotRequiredIsToldWhereItLacks(t *testing.T) {
	t.Parallel()
	sink := &memorySink{}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), sink, zap.DebugLevel))
	way, want := weak()
	p := newWearingPool(t, func(c *validator.Config) { c.Workers, c.Logger = 2, log }, func(p *validator.Pool) { p.SetWays(way) })
	if _, err := p.validate(t, "<EchoRichiesta xmlns='urn:sinba:eventi:v1'/>"); err != nil {
		t.Error(err)
	}
	var missing []validator.Part
	for _, part := range validator.Parts() {
		if p.metric(t, "hub_validator_jail_parts", string(part)) == 0 {
			missing = append(missing, part)
		}
	}
	if diff := cmp.Diff(want, missing); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(sink.String(), "the system refuses parts of the validator's jail"); n != 1 || !strings.Contains(sink.String(), string(validator.OwnNetwork)) {
		t.Errorf("said %d times: %s", n, sink.String())
	}
}

// weak is a way to start a worker without rights, and what its jail then lacks.
func weak() (syscall.SysProcAttr, []validator.Part) {
	if os.Getuid() == 0 {
		return syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}, walls()
	}
	return syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, slices.Concat([]validator.Part{validator.OwnUser}, walls())
}

// TestRequiredJailHoldsForEveryWorker: a hub that started with the whole jail lets no later
// worker serve with less.
func TestRequiredJailHoldsForEveryWorker(t *testing.T) {
	t.Parallel()
	if missing, err := requireJail(t); err != nil || len(missing) > 0 {
		// TestWholeJailStandsWhereTheSystemAllowsIt fails if it could.
		t.Skipf("the whole jail cannot be had here: %v %v", missing, err)
	}
	dir := t.TempDir()
	open(t, dir)
	name := fmt.Sprintf("r%d-%d", os.Getpid(), serial.Add(1))
	link := filepath.Join(dir, name)
	if err := os.Symlink("/proc/self/exe", link); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, func(c *validator.Config) { c.Workers, c.RequireJail, c.Executable = 1, true, link })
	p.name = name
	pid := p.pids(t)[0]
	if err := errors.Join(os.Remove(link), os.Symlink(liar(t), link), syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	until(t, "the next worker is looked at", func() bool { return p.metric(t, "hub_validator_jail_parts", string(validator.Filter)) == 0 })
	// One that is refused lives until it is killed, and another is tried after it; one that served would stay.
	until(t, "a worker with less than the whole jail is killed", func() bool { return len(p.pids(t)) == 0 })
	if n := p.metric(t, "hub_validator_workers", ""); n != 1 { // the one for large documents
		t.Errorf("%v workers serve, of which one has the whole jail", n)
	}
}

// TestWorkerThatSaysItIsJailedAndIsNot: the parent looks itself.
func TestWorkerThatSaysItIsJailedAndIsNot(t *testing.T) {
	t.Parallel()
	p, err := validator.New(validator.Config{
		Workers: 1, Schemas: schemas(t), RequireJail: true, Executable: liar(t), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var missing *validator.JailError
	if err := p.Start(t.Context()); !errors.As(err, &missing) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []validator.Part{validator.Filter, validator.Limits, validator.NoNewPrivileges, validator.NoDump, validator.EmptyRoot} {
		if !slices.Contains(missing.Missing, part) {
			t.Errorf("%s is believed: %v", part, missing)
		}
		if !strings.Contains(missing.Error(), string(part)) {
			t.Errorf("%s is not named: %v", part, missing)
		}
	}
}

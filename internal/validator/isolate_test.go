package validator_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// isolated says that the test's process is one that gives up its connections.
const isolated = "SINBAHUB_TEST_ISOLATED"

// TestIsolateRefusesNewConnections runs itself again in a process of its own, which cannot undo what it
// does to itself.
func TestIsolateRefusesNewConnections(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close() //nolint:errcheck // a listener
	local, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close() //nolint:errcheck // a listener
	go echo(tcp)
	go echo(local)
	if addresses := os.Getenv(isolated); addresses != "" {
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestIsolatedProcess$", "-test.v")
	cmd.Env = append(os.Environ(), isolated+"="+tcp.Addr().String()+" "+local.Addr().String())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestIsolatedProcess") {
		t.Errorf("%v\n%s", err, out)
	}
}

// echo answers what it is told.
func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			b := make([]byte, 1)
			for {
				if _, err := conn.Read(b); err != nil {
					return
				}
				_, _ = conn.Write(b)
			}
		}()
	}
}

// TestIsolatedProcess is the other process; alone it has nothing to connect to.
func TestIsolatedProcess(t *testing.T) { //nolint:paralleltest // it changes its process
	addresses := strings.Fields(os.Getenv(isolated))
	if len(addresses) != 2 {
		return
	}
	open, err := net.Dial("tcp", addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	before := newPool(t, nil)
	if err := validator.Isolate(); err != nil {
		t.Fatal(err)
	}
	var threads sync.WaitGroup
	for range 20 {
		threads.Go(func() { // on whatever thread
			for network, address := range map[string]string{"tcp": addresses[0], "udp": addresses[0], "unix": addresses[1]} {
				dialer := net.Dialer{Timeout: 5 * time.Second}
				if conn, err := dialer.DialContext(context.Background(), network, address); !errors.Is(err, syscall.EPERM) {
					t.Errorf("%s: %v %v", network, conn, err)
				}
			}
			if _, err := net.Listen("tcp", "127.0.0.1:0"); !errors.Is(err, syscall.EPERM) {
				t.Errorf("listen: %v", err)
			}
		})
	}
	threads.Wait()
	child, err := exec.Command("/bin/bash", "-c", "exec 3<>/dev/tcp/"+strings.Replace(addresses[0], ":", "/", 1)).CombinedOutput()
	if err == nil {
		t.Errorf("a child connected: %s", child)
	}
	// What was open works on.
	if _, err := open.Write([]byte{7}); err != nil {
		t.Error(err)
	}
	b := make([]byte, 1)
	if _, err := open.Read(b); err != nil || b[0] != 7 {
		t.Error(b, err)
	}
	// The pool that runs, and one that is started now, validate on; the workers' jails are what they were.
	if diff := cmp.Diff(partsOf(t, before), partsOf(t, newPool(t, nil))); diff != "" {
		t.Error(diff)
	}
	if _, err := before.Validate(t.Context(), validator.SinbaEventi, validator.Bare, []byte("<EchoRichiesta xmlns='urn:sinba:eventi:v1'/>")); err != nil {
		t.Error(err)
	}
}

// partsOf are the walls of a pool's workers.
func partsOf(t *testing.T, p *pool) map[string]float64 {
	t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "hub_validator_jail_parts" {
			continue
		}
		for _, m := range f.GetMetric() {
			parts[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	if len(parts) == 0 {
		t.Fatal("no part is told")
	}
	return parts
}

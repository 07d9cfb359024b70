package validator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/internal/validator"
)

// field reads one line of /proc/<pid>/status or limits by its beginning.
func field(t *testing.T, pid int, file, name string) string {
	t.Helper()
	for line := range strings.Lines(string(read(t, fmt.Sprintf("/proc/%d/%s", pid, file)))) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Fatalf("no %s in %s", name, file)
	return ""
}

func TestWorkerIsJailed(t *testing.T) {
	t.Parallel()
	// Descriptors of the parent that must not come along.
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p := newPool(t, func(c *validator.Config) { c.Workers = 2 })
	pids := p.allPids(t)
	if len(pids) != 3 { // with the one for large documents
		t.Fatalf("%d workers", len(pids))
	}
	for _, pid := range pids {
		for name, want := range map[string]string{
			"NoNewPrivs:":      "1",
			"Seccomp:":         "2",
			"Seccomp_filters:": "1",
			"Threads:":         "1",
			"CapEff:":          "0000000000000000",
			"CapPrm:":          "0000000000000000",
		} {
			if got := field(t, pid, "status", name); got != want {
				t.Errorf("%s got %s, want %s", name, got, want)
			}
		}
		for name, want := range map[string]string{
			"Max address space":  "268435456 268435456 bytes",
			"Max open files":     "4 4 files",
			"Max file size":      "0 0 bytes",
			"Max core file size": "0 0 bytes",
			"Max processes":      "0 0 processes",
		} {
			if got := field(t, pid, "limits", name); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	}
}

// TestWorkerHasNothing looks at what only root may see of a process that is not dumpable.
func TestWorkerHasNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can look into a worker")
	}
	p := newPool(t, func(c *validator.Config) { c.Workers = 1 })
	for _, pid := range p.pids(t) {
		proc := fmt.Sprintf("/proc/%d", pid)
		if got := field(t, pid, "status", "Uid:"); got != "65534 65534 65534 65534" {
			t.Errorf("uid %s", got)
		}
		if got := field(t, pid, "status", "Gid:"); got != "65534 65534 65534 65534" {
			t.Errorf("gid %s", got)
		}
		if got := field(t, pid, "status", "Groups:"); got != "" {
			t.Errorf("groups %s", got)
		}
		// glibc cuts the value at its colons in place.
		want := "GLIBC_TUNABLES=glibc.malloc.tcache_count=8192:glibc.malloc.mxfast=160:"
		if got := strings.ReplaceAll(string(read(t, proc+"/environ")), "\x00", ":"); got != want {
			t.Errorf("environment %q", got)
		}
		open := map[string]string{}
		entries, err := os.ReadDir(proc + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(proc, "fd", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			open[e.Name()], _, _ = strings.Cut(target, ":")
		}
		if diff := cmp.Diff(map[string]string{"0": "/dev/null", "1": "/dev/null", "2": "/dev/null", "3": "socket"}, open); diff != "" {
			t.Error(diff)
		}
	}
}

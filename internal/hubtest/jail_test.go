//go:build e2e

package hubtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2EHubThatRequiresItsJailRefusesToStartWithoutIt runs a hub with jail.mode require where the
// whole jail can be had, and then serve --jail=require where the kernel refuses namespaces.
func TestE2EHubThatRequiresItsJailRefusesToStartWithoutIt(t *testing.T) {
	t.Parallel()
	mode := "require"
	if out, err := exec.CommandContext(t.Context(), "unshare", "--user", "--net", "--ipc", "--uts", "--mount", "true").CombinedOutput(); err != nil {
		t.Logf("this system makes no namespaces: %v %s", err, out)
		mode = "auto"
	}
	h := hubtest.Start(t, "SINBAHUB_JAIL_MODE="+mode)
	parts := regexp.MustCompile(`(?m)^hub_validator_jail_parts\{part="([a-z_]+)"\} ([01])$`).FindAllSubmatch(h.Metrics(), -1)
	if len(parts) != 10 {
		t.Errorf("%d parts in the metrics", len(parts))
	}
	for _, part := range parts {
		if mode == "require" && string(part[2]) != "1" {
			t.Errorf("%s is missing, and the hub runs", part[1])
		}
	}
	h.Kill()
	hubtest.Await(t, patience, "serve is dead", func() bool { return !h.Alive() })

	// A user namespace without room for another one, and in it no right to any other.
	const without = `echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin,-sys_chroot "$0" "$@"`
	binary := filepath.Join(hubtest.Binaries(t), "sinbahub")
	arguments := []string{"--config", filepath.Join(h.Var, "demo.yaml"), "serve", "--jail=require"}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", without, binary}, arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if mode == "auto" {
		cmd = exec.CommandContext(t.Context(), binary, arguments...) // it is so by itself
	}
	cmd.Dir, cmd.Env = hubtest.Root(), []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it started: %s", out)
	}
	last := out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]
	for _, part := range []string{"network_namespace", "ipc_namespace", "uts_namespace", "empty_root"} {
		if !strings.Contains(string(last), part) {
			t.Errorf("%s is not named: %s", part, last)
		}
	}
}

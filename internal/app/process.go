package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// demoEnvironment of the demo (contract, "The demo is PROD").
const demoEnvironment = hub.Prod

// sissPath is where the simulator's service stands below its listener.
const sissPath = "/soap/siss/v1/SissRicezione"

// startDetached starts a process of its own session that outlives this one, its output in a
// log file, and gives its pid. Its environment has nothing of ours but PATH, and what is given.
func startDetached(binary, logFile string, environment []string, args ...string) (pid int, err error) {
	out, err := os.OpenFile(filepath.Clean(logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("open log: %w", err)
	}
	defer out.Close()                    //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(binary, args...) //nolint:gosec,noctx // our own binaries; it must outlive any context
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.Getenv("TMPDIR"), "SINBAHUB_TEST_PROFILE=" + os.Getenv("SINBAHUB_TEST_PROFILE")}
	cmd.Env = append(append(cmd.Env, plantedEnvironment()...), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", filepath.Base(binary), err)
	}
	// Reap it if it ends while we still run, so that it does not look alive.
	go func() { _ = cmd.Wait() }()
	return cmd.Process.Pid, nil
}

// stopProcess asks a process to end and waits; after the patience it is killed.
func stopProcess(ctx context.Context, pid int, patience time.Duration) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for running(pid) {
		select {
		case <-ctx.Done():
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return errors.New("process did not stop in time and was killed")
		case <-ticker.C:
		}
	}
	return nil
}

// find gives the process we started: the remembered one if it is ours, else any whose command
// line has the marker, 0 if there is none.
func find(remembered int, marker string) int {
	if ours(remembered, marker) {
		return remembered
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && ours(pid, marker) && isHub(pid) {
			return pid
		}
	}
	return 0
}

// isHub tells whether a process runs one of our binaries, and not an editor with our file open.
func isHub(pid int) bool {
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	name := strings.TrimSuffix(filepath.Base(exe), " (deleted)")
	return err == nil && (name == "sinbahub" || name == "siss-sim")
}

// ours tells whether a pid lives and is the process we started: its command line has the
// marker. A number may have been given to somebody else meanwhile.
func ours(pid int, marker string) bool {
	if !running(pid) {
		return false
	}
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && bytes.Contains(line, []byte(marker))
}

// Ports that freeAddress chooses from: none that a Linux system gives to outgoing connections
// (ip_local_port_range begins at 32768), which would take it while serve restarts.
const (
	firstPort  = 16384
	behindPort = 32768
	portTries  = 64
)

// freeAddress gives the host:port of a URL used before if it can be listened on, else a free
// one of this machine's.
func freeAddress(ctx context.Context, before string) (string, error) {
	var candidates []string
	if u, err := url.Parse(before); err == nil && u.Host != "" {
		candidates = append(candidates, u.Host)
	}
	for range portTries {
		port := firstPort + rand.IntN(behindPort-firstPort) //nolint:gosec // no secret
		candidates = append(candidates, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	var lc net.ListenConfig
	var last error
	for _, candidate := range candidates {
		listener, err := lc.Listen(ctx, "tcp", candidate)
		if err != nil {
			last = err
			continue
		}
		return listener.Addr().String(), listener.Close()
	}
	return "", fmt.Errorf("find a free port: %w", last)
}

// sibling finds a binary beside this one.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own binary: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find %s beside this binary: run make build", name)
	}
	return path, nil
}

// baseOf cuts a URL behind its host.
func baseOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// passwordIn takes the password out of a database URL, to give it to the role.
func passwordIn(secret config.Secret) (string, error) {
	u, err := url.Parse(secret.Reveal())
	if err != nil || u.User == nil {
		return "", errors.New("database URL has no user and password")
	}
	password, ok := u.User.Password()
	if !ok || strings.TrimSpace(password) == "" {
		return "", errors.New("database URL has no password")
	}
	return password, nil
}

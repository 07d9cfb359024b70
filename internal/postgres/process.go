package postgres

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// postmaster reads the lines of the server's own file: 1 its pid, 2 the data folder, 5 the folder
// of its sockets. It is left over when the server was killed.
func postmaster(data string) []string {
	text, err := os.ReadFile(filepath.Clean(filepath.Join(data, "postmaster.pid")))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// runningPID is the process of the server of a data folder, 0 if it does not run. A pid that
// went to another program since does not count: the server's working folder is its data.
func runningPID(data string) int {
	lines := postmaster(data)
	if len(lines) < 2 {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 || !alive(pid) {
		return 0
	}
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil || cwd != data {
		return 0
	}
	return pid
}

// runningSockets is where the running server listens.
func runningSockets(data string) string {
	lines := postmaster(data)
	if len(lines) < 5 {
		return ""
	}
	return strings.TrimSpace(lines[4])
}

// alive tells whether a process runs; one that ended and was not reaped yet does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	// The state follows the name in brackets, which may itself hold brackets.
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return !bytes.HasPrefix(state, []byte("Z")) && !bytes.HasPrefix(state, []byte("X"))
}

// endOrphans kills what is left of a server that does not run any more, and tells how many there were.
// What they were doing was not committed, or is in the log.
func endOrphans(data string) (ended int) {
	if runningPID(data) != 0 {
		return 0
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join(process, "cwd"))
		if err != nil || cwd != data {
			continue
		}
		name, err := os.ReadFile(filepath.Join(process, "comm")) //nolint:gosec // of the system
		if err == nil && strings.TrimSpace(string(name)) == "postgres" && syscall.Kill(pid, syscall.SIGKILL) == nil {
			ended++
		}
	}
	return ended
}

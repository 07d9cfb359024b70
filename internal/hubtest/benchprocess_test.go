//go:build bench

package hubtest_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a group of processes used so far.
type usage struct {
	cpu time.Duration
	rss int64
}

// usage sums CPU and resident memory by program.
func (b *bench) usage() map[string]usage {
	pids := b.hub.Run.Pids
	// Workers are replaced while they run: what the reaped ones used stands with their parent.
	serve, reaped := processUsage(pids.Serve), reapedUsage(pids.Serve)
	serve.cpu -= reaped.cpu
	return map[string]usage{
		"serve":    serve,
		"jail":     sum(reaped, childrenUsage(pids.Serve)),
		"postgres": sum(processUsage(pids.Postgres), childrenUsage(pids.Postgres)),
		"siss-sim": processUsage(pids.SissSim),
		"load":     processUsage(os.Getpid()),
	}
}

func sum(a, b usage) usage { return usage{a.cpu + b.cpu, a.rss + b.rss} }

// processUsage reads /proc/PID/stat; CPU includes that of reaped children.
func processUsage(pid int) usage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		ticks += n
	}
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	return usage{time.Duration(ticks) * 10 * time.Millisecond, pages * int64(os.Getpagesize())}
}

// reapedUsage is the CPU of the children that ended.
func reapedUsage(pid int) usage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseInt(fields[13], 10, 64)
	system, _ := strconv.ParseInt(fields[14], 10, 64)
	return usage{cpu: time.Duration(user+system) * 10 * time.Millisecond}
}

func childrenUsage(parent int) usage {
	var total usage
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
		if fields[1] == strconv.Itoa(parent) {
			total = sum(total, processUsage(pid))
		}
	}
	return total
}

package hubtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resident is how much memory a hub's processes hold at one moment.
type Resident struct {
	// Serve is the resident memory of serve in bytes, Workers that of its jailed workers together.
	Serve, Workers int64
	// Jailed is how many workers there are.
	Jailed int
}

// Resident looks at serve and its children. A process that ends meanwhile counts nothing.
func (h *Hub) Resident() Resident {
	r := Resident{Serve: residentOf(h.Run.Pids.Serve)}
	for _, pid := range children(h.Run.Pids.Serve) {
		if size := residentOf(pid); size > 0 {
			r.Workers += size
			r.Jailed++
		}
	}
	return r
}

// residentOf is VmRSS of a process in bytes, 0 if it ended.
func residentOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return kilobytes << 10
}

// Samples are the figures of Metrics by name and labels, as they are written there.
func (h *Hub) Samples() map[string]float64 {
	h.tb.Helper()
	samples := map[string]float64{}
	for line := range strings.Lines(string(h.Metrics())) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			samples[line[:at]], _ = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		}
	}
	return samples
}

package hubtest

import (
	"bytes"
	"fmt"
	"os"
)

// Workers lists the processes of serve's validator that run now.
func (h *Hub) Workers() []int {
	var pids []int
	for _, pid := range children(h.Run.Pids.Serve) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		// One that ended and was not reaped has no command line.
		if err == nil && bytes.Contains(line, []byte("\x00xml-validator\x00")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

package hubtest

import (
	"errors"
	"syscall"
)

// FreezeDatabase stops every process of the demo's PostgreSQL where it stands: connections are taken
// and nothing answers, until thaw.
func (h *Hub) FreezeDatabase() (thaw func()) {
	h.tb.Helper()
	server := h.Run.Pids.Postgres
	processes := append([]int{server}, children(server)...)
	for _, pid := range processes {
		// A backend may have ended by itself meanwhile.
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			h.tb.Fatalf("freeze the database: %v", err)
		}
	}
	return func() {
		for _, pid := range processes {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

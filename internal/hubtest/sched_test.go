//go:build e2e

package hubtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// TestE2EAllTakeTurnsAsServeDoes: on full cores one process that takes the processor from the others as
// soon as it wakes up would be served before all that waited longer.
func TestE2EAllTakeTurnsAsServeDoes(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	if lines, exit := send(t, h, sampleOf(t, "SDS-GR", "CARICAMENTO_INIZIALE")); exit != 0 {
		t.Fatalf("sent %v", lines)
	}
	processes := append(h.Workers(), h.DatabaseProcesses()...)
	if len(processes) < 8 {
		t.Fatalf("workers and database are %d processes", len(processes))
	}
	for _, pid := range append(processes, h.Run.Pids.Serve, h.Run.Pids.SissSim) {
		threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(filepath.Base(thread))
			if err != nil {
				t.Fatal(err)
			}
			attr, err := unix.SchedGetAttr(id, 0)
			if err != nil {
				continue // it has ended
			}
			if attr.Policy != unix.SCHED_BATCH {
				name, _ := os.ReadFile(filepath.Join(filepath.Clean(thread), "comm"))
				t.Errorf("thread %q has policy %d", name, attr.Policy)
			}
		}
	}
}

//go:build e2e

package hubtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/sched"
)

// TestE2EAllTakeTurnsAsServeDoes: on full cores one process that takes the processor from the others as
// soon as it wakes up would be served before all that waited longer.
func TestE2EAllTakeTurnsAsServeDoes(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t)
	if lines, exit := send(t, h, sampleOf(t, "SDS-GR", "CARICAMENTO_INIZIALE")); exit != 0 {
		t.Fatalf("sent %v", lines)
	}
	slices := map[int]time.Duration{h.Run.Pids.Serve: sched.Slice, h.Run.Pids.SissSim: sched.Slice}
	for _, pid := range h.DatabaseProcesses() {
		slices[pid] = sched.Slice
	}
	for _, pid := range h.Workers() {
		slices[pid] = sched.ShortSlice
	}
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for pid, slice := range slices {
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
			seen++
			// Linux before 6.12 tells no slice, not of this process either.
			if attr.Policy != unix.SCHED_BATCH || own.Runtime != 0 && attr.Runtime != uint64(slice) {
				name, _ := os.ReadFile(filepath.Join(filepath.Clean(thread), "comm"))
				t.Errorf("thread %q has policy %d and slice %d ns", name, attr.Policy, attr.Runtime)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d threads seen", seen)
	}
}

// Package sched tells Linux how the threads of a process take turns on the processors with all
// others (sched(7)).
package sched

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How long a thread keeps a processor that others wait for (internal/adr/0028-longer-turns.md). The kernel takes 0.1 to 100 ms
// and ends turns on its own ticks where it has no finer timer.
const (
	// Slice is for the hub's own work.
	Slice = 10 * time.Millisecond
	// ShortSlice is for what runs a stranger's bytes: whatever they are, others wait less for it.
	ShortSlice = time.Millisecond
)

// Batch makes every thread of a process, and whatever it starts from then on, run as SCHED_BATCH: one
// that wakes up waits for its turn instead of taking the processor from another of the kind, and keeps it for slice
// if nobody has waited longer. Shares and niceness stay. Where processors are idle there is nobody to wait
// for; on full ones fewer changes of thread leave more time for the work.
//
// Who chose another policy than the usual one for this process keeps it (real-time, SCHED_IDLE). Linux
// before 6.12 has slices of its own choice. For a process of the same user no right is needed. The error is that of the
// first thread the system refused; those before it stay changed.
func Batch(process int, slice time.Duration) error {
	var done []int
	// A thread that was not reached yet may start another behind the list's back.
	for {
		fresh, err := threads(process, done)
		if err != nil || len(fresh) == 0 {
			return err
		}
		for _, id := range fresh {
			if err := batch(id, slice); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("set scheduling policy: %w", err)
			}
		}
		done = append(done, fresh...)
	}
}

// threads lists those that are not in done.
func threads(process int, done []int) ([]int, error) {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(process) + "/task")
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	var fresh []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil && !slices.Contains(done, id) {
			fresh = append(fresh, id)
		}
	}
	return fresh, nil
}

// batch changes one thread, unless it has an unusual policy.
func batch(thread int, slice time.Duration) error {
	now, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return err
	}
	if now.Policy != unix.SCHED_NORMAL && now.Policy != unix.SCHED_BATCH {
		return nil
	}
	want := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: now.Nice, Runtime: uint64(slice), //nolint:gosec // a few milliseconds
		Flags: now.Flags & unix.SCHED_FLAG_RESET_ON_FORK,
	}
	// An older Linux tells no slice. To ask for what is so already would need a right for another user's process.
	if now.Policy == want.Policy && (now.Runtime == want.Runtime || now.Runtime == 0) {
		return nil
	}
	return unix.SchedSetAttr(thread, &want, 0)
}

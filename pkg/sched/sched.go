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

// Slice is how long a thread keeps a processor that others wait for (internal/adr/0028-longer-turns.md). The kernel
// takes 0.1 to 100 ms.
const Slice = 10 * time.Millisecond

// Batch makes every thread of a process of this user, and whatever it starts from then on, run as SCHED_BATCH: one
// that wakes up waits for its turn instead of taking the processor from another, and keeps it for Slice
// if nobody has waited longer. Shares and niceness stay. On processors with time to spare nothing
// changes; on full ones fewer changes of thread leave more time for the work.
//
// Who chose another policy than the usual one for this process keeps it (real-time, SCHED_IDLE). Linux
// before 6.12 has slices of its own choice. No right is needed; the error is that of the first
// thread the system refused.
func Batch(process int) error {
	var done []int
	// A thread that was not reached yet may start another behind the list's back.
	for {
		fresh, err := threads(process, done)
		if err != nil || len(fresh) == 0 {
			return err
		}
		for _, id := range fresh {
			if err := batch(id); err != nil && !errors.Is(err, unix.ESRCH) {
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
func batch(thread int) error {
	now, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		return err
	}
	if now.Policy != unix.SCHED_NORMAL && now.Policy != unix.SCHED_BATCH {
		return nil
	}
	want := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: now.Nice, Runtime: uint64(Slice)}
	return unix.SchedSetAttr(thread, &want, 0)
}

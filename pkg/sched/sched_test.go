package sched_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/pkg/sched"
)

// TestMain is also the child that tells its own policy.
func TestMain(m *testing.M) {
	if os.Getenv("SCHED_TEST_CHILD") != "" {
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			os.Exit(1)
		}
		fmt.Print(attr.Policy, attr.Nice, attr.Runtime)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// thread is a thread of its own, which tells its id and waits for the end.
func thread(t *testing.T) int {
	t.Helper()
	id, end := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		id <- unix.Gettid()
		<-end
	}()
	t.Cleanup(func() { close(end) })
	return <-id
}

func set(t *testing.T, thread int, attr unix.SchedAttr) {
	t.Helper()
	attr.Size = unix.SizeofSchedAttr
	if err := unix.SchedSetAttr(thread, &attr, 0); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, thread int) *unix.SchedAttr {
	t.Helper()
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Fatal(err)
	}
	return attr
}

func TestBatch(t *testing.T) { //nolint:paralleltest // changes the whole process
	usual := get(t, 0)
	own, tells := usual.Nice, usual.Runtime != 0 // Linux before 6.12 tells no slice
	nice, idle := thread(t), thread(t)
	set(t, nice, unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: own + 1})
	set(t, idle, unix.SchedAttr{Policy: unix.SCHED_IDLE})
	before := []int{thread(t), thread(t), thread(t)}
	for _, id := range before { // as they are in a process that was never changed
		set(t, id, unix.SchedAttr{Policy: unix.SCHED_NORMAL, Nice: own})
	}
	for range 2 { // a second time changes nothing
		if err := sched.Batch(os.Getpid(), sched.Slice); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range append(before, nice, thread(t)) {
		if attr := get(t, id); attr.Policy != unix.SCHED_BATCH || tells && attr.Runtime != uint64(sched.Slice) {
			t.Errorf("policy %d, slice %d ns", attr.Policy, attr.Runtime)
		}
	}
	if n := get(t, nice).Nice; n != own+1 {
		t.Errorf("niceness %d, was %d", n, own+1)
	}
	if p := get(t, idle).Policy; p != unix.SCHED_IDLE {
		t.Errorf("who was idle has policy %d", p)
	}
	child := exec.CommandContext(t.Context(), "/proc/self/exe")
	child.Env = []string{"SCHED_TEST_CHILD=1"}
	runtime.LockOSThread() // a child is as the thread that starts it
	defer runtime.UnlockOSThread()
	parent := get(t, unix.Gettid())
	out, err := child.Output()
	if want := fmt.Sprint(parent.Policy, parent.Nice, parent.Runtime); err != nil || string(out) != want {
		t.Errorf("a child has policy, niceness and slice %q, its parent %q: %v", out, want, err)
	}
	if err := sched.Batch(os.Getpid(), sched.ShortSlice); err != nil {
		t.Fatal(err)
	}
	if attr := get(t, before[0]); tells && attr.Runtime != uint64(sched.ShortSlice) {
		t.Errorf("slice %d ns", attr.Runtime)
	}
}

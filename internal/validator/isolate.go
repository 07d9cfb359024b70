package validator

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errIsolate says that the kernel does not take the filter.
var errIsolate = errors.New("validator: the system refuses a filter against new connections")

// Where the kernel puts the number and the architecture of a call (struct seccomp_data).
const (
	callNumber       = 0
	callArchitecture = 4
)

// x32 marks calls of x86-64's other calling convention, which have numbers of their own.
const x32 = 0x40000000

// Isolate takes from this process and all that it starts, for ever, the means to make connections: no
// socket is opened, connected or listened on any more, of whatever family, nor taken from another
// process. What is open stays usable, and pairs of sockets are still made, as for the workers, who end
// in them. The call that is refused gives EPERM.
func Isolate() error {
	filter := connectionFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // a few dozen
	// The filter is put on this thread and copied to all others (TSYNC); threads to come inherit it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return errIsolate
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))) //nolint:gosec // the kernel reads it before the call returns
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errIsolate
	}
	return nil
}

// connectionFilter refuses every call that makes a connection or takes one from elsewhere. io_uring
// would do the same without a call, and the last three reach into other processes.
func connectionFilter() []unix.SockFilter {
	refused := []uint32{
		unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT, unix.SYS_ACCEPT4,
		unix.SYS_IO_URING_SETUP, unix.SYS_PIDFD_GETFD, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_WRITEV,
	}
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	give := func(verdict uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
	}
	// The numbers below are those of this architecture only.
	filter := []unix.SockFilter{
		load(callArchitecture),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: architecture},
		give(unix.SECCOMP_RET_KILL_PROCESS),
		load(callNumber),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jf: 1, K: x32},
		give(unix.SECCOMP_RET_KILL_PROCESS),
	}
	for i, call := range refused {
		behind := uint8(len(refused) - i) //nolint:gosec // a few
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: behind, K: call})
	}
	return append(filter, give(unix.SECCOMP_RET_ALLOW), give(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)))
}

package validator

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sinbahub/sinbahub/pkg/sched"
)

// The hidden argument that makes the binary a worker (jail_boot.c), and all of its environment:
// glibc keeps freed memory at hand for the thousands of small pieces of a parsed document,
// which saves a fifth of the time.
const (
	workerArgument    = "xml-validator"
	workerEnvironment = "GLIBC_TUNABLES=glibc.malloc.tcache_count=8192:glibc.malloc.mxfast=160"
)

// nobody is the user and group a worker runs as when the hub is root.
const nobody = 65534

// handshakeLimit is how long a new worker may take until its schemas are compiled.
const handshakeLimit = 10 * time.Second

// errHandshake replaces whatever a worker says that is not the answer to the seal.
var errHandshake = errors.New("validator: worker does not answer as it should")

// child is one worker's process and the socket to it.
type child struct {
	process *os.Process
	conn    *net.UnixConn
	// exited is closed when the process has been reaped; status and exitCode then say how it
	// ended.
	exited   chan struct{}
	status   string
	exitCode int
}

// kill ends the process at once. It may be called more than once.
func (c *child) kill() { _ = c.process.Kill() }

// giveWay lets the process wait for all others that want a processor, by so much more niceness than
// ours, and keeps its turns short, whatever a document makes of them. It is a courtesy: where the system refuses, nothing is wrong.
func (c *child) giveWay(nice int) {
	_ = sched.Batch(c.process.Pid, sched.ShortSlice)
	if nice == 0 {
		return
	}
	if own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil {
		// The system call gives 20 minus the niceness.
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, c.process.Pid, min(19, 20-own+nice))
	}
}

// processorTime is how long a process has had a processor, 0 if the system does not tell.
func processorTime(pid int) time.Duration {
	const scheduled = 2 // CPUCLOCK_SCHED, of the whole process: clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil { //nolint:gosec // a pid has 22 bits
		return 0
	}
	return time.Duration(t.Nano())
}

// release frees what is held for a process that ended or is about to.
func (c *child) release() {
	c.kill()
	_ = c.conn.Close()
	<-c.exited
}

// startRequest asks the starter for a process with the given socket as descriptor 3.
type startRequest struct {
	socket *os.File
	reply  chan startReply
}

type startReply struct {
	process *os.Process
	err     error
}

// runStarter starts processes until quit is closed. The kernel ties a worker's life to the
// thread that started it (Pdeathsig), so this goroutine keeps its thread for good and ends
// only after all workers have.
func (p *Pool) runStarter(quit <-chan struct{}) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for {
		select {
		case r := <-p.starts:
			process, err := startProcess(p.cfg.Executable, r.socket, p.ways)
			r.reply <- startReply{process, err}
		case <-quit:
			return
		}
	}
}

// Capabilities of linux/capability.h that jail_walls.c needs.
const (
	capSysChroot = 18
	capSysAdmin  = 21
)

// waysToStart gives the ways to try, the best first: each lets the worker put up fewer walls
// (jail_walls.c). Whoever is root gives it another user; a user namespace stands behind, because
// to make one copies the hub's page tables.
func waysToStart(uid, gid int) []syscall.SysProcAttr {
	rights := []uintptr{capSysAdmin, capSysChroot}
	other := &syscall.Credential{Uid: nobody, Gid: nobody}
	// apart is in a user namespace in which the given user is nobody and there is no other.
	apart := func(uid, gid int) syscall.SysProcAttr {
		return syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: nobody, HostID: gid, Size: 1}},
			AmbientCaps: rights,
		}
	}
	ways := []syscall.SysProcAttr{apart(uid, gid), {}}
	if uid == 0 {
		otherApart := apart(nobody, nobody)
		otherApart.Credential, otherApart.GidMappingsEnableSetgroups = other, true
		ways = []syscall.SysProcAttr{
			{Credential: other, AmbientCaps: rights},
			otherApart,
			apart(uid, gid),
			{Credential: other},
			{},
		}
	}
	for i := range ways {
		ways[i].Pdeathsig = syscall.SIGKILL
	}
	return ways
}

// startProcess starts a worker in the first of the ways that the system allows.
func startProcess(executable string, socket *os.File, ways []syscall.SysProcAttr) (process *os.Process, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	for i := range ways {
		process, err = os.StartProcess(executable, []string{executable, workerArgument}, &os.ProcAttr{
			Dir:   "/",
			Env:   []string{workerEnvironment},
			Files: []*os.File{null, null, null, socket},
			Sys:   &ways[i],
		})
		if err == nil {
			return process, nil
		}
	}
	return nil, err
}

// spawn starts a worker, waits until it has compiled the schemas and closed its jail, and looks
// whether the jail stands.
func (p *Pool) spawn() (*child, error) {
	conn, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	request := startRequest{socket: theirs, reply: make(chan startReply, 1)}
	p.starts <- request
	reply := <-request.reply
	_ = theirs.Close()
	if reply.err != nil {
		_ = conn.Close()
		return nil, reply.err
	}
	c := &child{process: reply.process, conn: conn, exited: make(chan struct{})}
	go func() {
		defer close(c.exited)
		if state, err := c.process.Wait(); err == nil {
			c.status, c.exitCode = state.String(), state.ExitCode()
		}
	}()
	if err := p.handshake(c); err != nil {
		c.release()
		p.log.Error("validator worker did not come up", zap.String("status", c.status))
		if missing := refusedBy(c.exitCode); missing != nil {
			return nil, &JailError{Missing: missing}
		}
		return nil, err
	}
	if err := p.admit(inspect(c.process.Pid)); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// handshake sends the schemas and reads the answer to the seal: a frame with nothing in it.
func (p *Pool) handshake(c *child) error {
	if err := c.conn.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return err
	}
	if _, err := c.conn.Write(p.preamble); err != nil {
		return errHandshake
	}
	var head [answerHead]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return errHandshake
	}
	if binary.LittleEndian.Uint32(head[:]) != 4 || binary.LittleEndian.Uint32(head[4:]) != sealID {
		return errHandshake
	}
	return c.conn.SetDeadline(time.Time{})
}

// socketPair makes a connected pair: ours for Go's poller, theirs blocking for the worker.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "worker")
	file := os.NewFile(uintptr(fds[0]), "hub")
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		_ = theirs.Close()
		_ = conn.Close()
		return nil, nil, errHandshake
	}
	return unixConn, theirs, nil
}

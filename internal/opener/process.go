package opener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The modes of the socket and its folder: the opener's user and group, and nobody else.
const (
	socketMode = 0o660
	folderMode = 0o750
)

// The faults of a start.
var (
	ErrRunning = errors.New("another opener answers on this socket")
	errFolder  = errors.New("the socket's folder belongs to another user, or others may write in it")
	// ErrNoSocket says that the socket's name is that of something else, which is left alone.
	ErrNoSocket = errors.New("the socket's path is taken by something that is no socket: move it away, or name another path by opener.socket")
	// errAnswers says that somebody listens there who does not hold the lock of an opener.
	errAnswers = errors.New("another program listens on the socket's path: end it, or name another path by opener.socket")
)

// Harden closes the process: no core file, and nobody but root can look into its memory. Call it before
// a key is read, and again after Become, which undoes it.
func Harden() error {
	return errors.Join(
		syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}

// Become gives up root for another user and group, for ever and for all threads.
func Become(uid, gid int) error {
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return err
	}
	return Harden()
}

// Listen makes the socket, in a folder of its own that it makes too, for a user and group: those of this
// process, or others if it is root. The socket that a killed opener left there is taken away; one on which
// somebody answers, and whatever is no socket, is not.
// A lock beside it is held until the listener is closed.
func Listen(ctx context.Context, path string, uid, gid int) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := ownFolder(dir, uid, gid); err != nil {
		return nil, err
	}
	locked, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	listener, err := listen(ctx, path, uid, gid)
	if err != nil {
		return nil, errors.Join(err, locked.Close())
	}
	return &socket{Listener: listener, lock: locked}, nil
}

// socket is a listener that gives its lock back behind its name.
type socket struct {
	net.Listener

	lock *os.File
}

// Close closes both.
func (s *socket) Close() error { return errors.Join(s.Listener.Close(), s.lock.Close()) }

// listen takes the name, which may be a killed opener's, under the lock.
func listen(ctx context.Context, path string, uid, gid int) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s: %w", path, ErrNoSocket)
	case err == nil && !dead(ctx, path):
		return nil, fmt.Errorf("%s: %w", path, errAnswers)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	err = os.Chmod(path, socketMode)
	if err == nil && os.Geteuid() == 0 {
		err = os.Chown(path, uid, gid)
	}
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// dead tells whether nobody listens on a socket any more. Of one that cannot be told, somebody does.
func dead(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// ownFolder makes the folder, or checks the one that is there.
func ownFolder(dir string, uid, gid int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // its clients must pass
		return err
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Geteuid() && int(stat.Uid) != uid {
		return errFolder
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, uid, gid); err != nil {
			return err
		}
	}
	return os.Chmod(dir, folderMode)
}

// lock takes the lock of a folder until it is closed, or this process has ended.
func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(ErrRunning, file.Close())
	}
	return file, nil
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Witness keeps published checkpoints in files beside the database, one a day: a database restored from
// a backup brings its own checkpoints back with it, and contradicts these. Several processes may share a
// folder.
type Witness struct{ dir string }

const (
	witnessPrefix = "checkpoints-"
	lockName      = "lock"
)

// OpenWitness opens the folder, making it if it is not there.
func OpenWitness(dir string) (*Witness, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open witness: %w", err)
	}
	return &Witness{dir: dir}, nil
}

// Last is the newest checkpoint's note, empty if there is none. What a crash left of a last line is no
// checkpoint: it was not published.
func (w *Witness) Last() (string, error) {
	names, err := w.files()
	if err != nil {
		return "", err
	}
	for _, name := range slices.Backward(names) {
		text, err := os.ReadFile(filepath.Join(w.dir, name)) //nolint:gosec // the configured folder
		if err != nil {
			return "", fmt.Errorf("read witness: %w", err)
		}
		lines := bytes.Split(text, []byte{'\n'})
		for _, line := range slices.Backward(lines[:len(lines)-1]) {
			if note, err := strconv.Unquote(string(line)); err == nil {
				return note, nil
			}
		}
	}
	return "", nil
}

func (w *Witness) files() (names []string, err error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return nil, fmt.Errorf("read witness: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), witnessPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Append adds a checkpoint to its day's file, which is synced before it returns.
func (w *Witness) Append(c Checkpoint) error {
	if err := w.append(c); err != nil {
		return fmt.Errorf("write witness: %w", err)
	}
	return nil
}

func (w *Witness) append(c Checkpoint) error {
	lock, err := os.OpenFile(filepath.Join(w.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	path := filepath.Join(w.dir, witnessPrefix+c.At.UTC().Format(time.DateOnly))
	_, err = os.Lstat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the configured folder
	if err != nil {
		return err
	}
	line := strconv.Quote(c.Note) + "\n"
	if torn(f) {
		line = "\n" + line
	}
	_, err = io.WriteString(f, line)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil && fresh {
		err = syncFolder(w.dir)
	}
	return err
}

// torn tells whether a file ends inside a line.
func torn(f *os.File) bool {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, end-1)
	return err == nil && last[0] != '\n'
}

// SetAside renames what is there, so that the witness begins anew: after an operator has accepted a
// database that contradicts it. It returns the folder's new name, empty if there was nothing.
func (w *Witness) SetAside(now time.Time) (string, error) {
	names, err := w.files()
	if err != nil || len(names) == 0 {
		return "", err
	}
	aside := filepath.Join(w.dir, "before-"+now.UTC().Format("20060102T150405.000000"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", fmt.Errorf("set the witness aside: %w", err)
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(w.dir, name), filepath.Join(aside, name)); err != nil {
			return "", fmt.Errorf("set the witness aside: %w", err)
		}
	}
	return aside, errors.Join(syncFolder(aside), syncFolder(w.dir))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the configured folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/google/uuid"
)

// Position is how far a database was known to be: every server that has less than this lost
// something.
type Position struct {
	// System is the cluster's own number, the same on a primary and its standbys.
	System uint64
	// Timeline grows by one with each promotion.
	Timeline uint32
	// WAL is a place in the log up to which all was durable.
	WAL uint64
	// Receipt is the last event that was committed and could be acknowledged, nil if none was.
	Receipt uuid.UUID
}

// The file of positions has two slots, written in turn and far enough apart that one survives
// whatever happens to the other while it is written.
const (
	slotStride = 4096
	slotSize   = 8 + 8 + 4 + 8 + 16 + 4
	// mostInstances is how many processes may share a folder.
	mostInstances = 64
)

// errPosition says that a file of positions has been damaged.
var errPosition = errors.New("last known position cannot be read: see sinbahub accept-database")

// positionFile is where one process keeps its position, so that it survives the process and, once
// synced, the machine.
type positionFile struct {
	file     *os.File
	sequence uint64
	// receipt is what the file held when it was opened: of a process that ended.
	receipt uuid.UUID
}

// openPositions takes a file of its own in a folder, and gives what all files there know. The lock
// on the file goes with the process.
func openPositions(dir string) (*positionFile, []Position, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the folder of positions: %w", err)
	}
	var own *positionFile
	var known []Position
	for n := range mostInstances {
		name := filepath.Join(dir, strconv.Itoa(n))
		if own != nil && !exists(name) {
			continue
		}
		file, err := openPosition(name)
		if err != nil {
			return nil, nil, errors.Join(err, own.close())
		}
		mine := own == nil && syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
		sequence, position, err := readSlots(file)
		if mine {
			own = &positionFile{file: file, sequence: sequence, receipt: position.Receipt}
		} else {
			_ = file.Close()
		}
		if err != nil {
			return nil, nil, errors.Join(err, own.close())
		}
		if position != (Position{}) {
			known = append(known, position)
		}
	}
	if own == nil {
		return nil, nil, errors.New("every file of positions is another process's")
	}
	return own, known, nil
}

// openPosition opens a file of positions, making it if it is not there. One that root makes, who ran a
// command, belongs to whom the folder belongs to: serve reads them all and would refuse to start.
func openPosition(name string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err == nil && os.Geteuid() == 0 {
		err = giveToOwnerOf(filepath.Dir(name), file)
	}
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, fmt.Errorf("open a file of positions: %w", err)
	}
	return file, nil
}

// giveToOwnerOf makes a file belong to a folder's owner.
func giveToOwnerOf(dir string, file *os.File) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}

func (f *positionFile) close() error {
	if f == nil {
		return nil
	}
	return f.file.Close()
}

// readSlots gives the newer of the two slots; both zero if nothing was ever written.
func readSlots(file *os.File) (sequence uint64, newest Position, err error) {
	written := false
	for n := range int64(2) {
		slot := make([]byte, slotSize)
		if count, err := file.ReadAt(slot, n*slotStride); count < slotSize || bytes.Equal(slot, make([]byte, slotSize)) {
			if err != nil && count > 0 {
				written = true
			}
			continue
		}
		written = true
		body, sum := slot[:slotSize-4], binary.BigEndian.Uint32(slot[slotSize-4:])
		if at := binary.BigEndian.Uint64(body); crc32.ChecksumIEEE(body) == sum && at > sequence {
			sequence, newest = at, parsePosition(body[8:])
		}
	}
	if written && sequence == 0 {
		return 0, Position{}, errPosition
	}
	return sequence, newest, nil
}

func parsePosition(b []byte) Position {
	return Position{
		System: binary.BigEndian.Uint64(b), Timeline: binary.BigEndian.Uint32(b[8:]),
		WAL: binary.BigEndian.Uint64(b[12:]), Receipt: uuid.UUID(b[20:36]),
	}
}

// write keeps a position: at once against the end of this process, with sync against the end of the
// machine too. Without a file nothing is kept.
func (f *positionFile) write(p Position, durable bool) error {
	if f == nil {
		return nil
	}
	f.sequence++
	slot := make([]byte, 0, slotSize)
	slot = binary.BigEndian.AppendUint64(slot, f.sequence)
	slot = binary.BigEndian.AppendUint64(slot, p.System)
	slot = binary.BigEndian.AppendUint32(slot, p.Timeline)
	slot = binary.BigEndian.AppendUint64(slot, p.WAL)
	slot = append(slot, p.Receipt[:]...)
	slot = binary.BigEndian.AppendUint32(slot, crc32.ChecksumIEEE(slot))
	if _, err := f.file.WriteAt(slot, int64(f.sequence%2)*slotStride); err != nil {
		return fmt.Errorf("write the position: %w", err)
	}
	if !durable {
		return nil
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync the position: %w", err)
	}
	return nil
}

// forgetPositions writes one position into every file of a folder, and gives what they knew. It
// refuses while a process uses one of them.
func forgetPositions(dir string, now Position) ([]Position, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("list the files of positions: %w", errors.Join(err, fs.ErrNotExist))
	}
	var before []Position
	for _, name := range names {
		position, err := forgetPosition(name, now)
		if err != nil {
			return before, err
		}
		before = append(before, position)
	}
	return before, nil
}

func forgetPosition(name string, now Position) (before Position, err error) {
	file, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return Position{}, fmt.Errorf("open a file of positions: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return Position{}, errors.New("serve is running, or a command, and uses the position: stop it first")
	}
	sequence, before, err := readSlots(file)
	if errors.Is(err, errPosition) {
		sequence, err = 0, file.Truncate(0)
	}
	if err != nil {
		return Position{}, err
	}
	return before, (&positionFile{file: file, sequence: sequence}).write(now, true)
}

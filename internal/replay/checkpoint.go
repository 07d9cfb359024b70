package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Checkpoint is the file that remembers a run: a line that says which, then a line for each page with
// how far the run is behind it and what came of it, each fsynced before the next page counts. A line
// is its CRC-32 in hexadecimal, a blank and JSON; a last line that a crash cut is taken away.
type Checkpoint struct {
	mu    sync.Mutex
	file  *os.File
	lines [][]byte
}

// ErrOtherRun says that the file is that of another replay.
var ErrOtherRun = errors.New("the file belongs to another replay: name another one, or give the same options")

// errCheckpointHeld says that two would go on with one file.
var errCheckpointHeld = errors.New("another replay has the file just now")

// errCheckpoint says that the file is none of a replay.
var errCheckpoint = errors.New("the file is none of an interrupted replay")

// mostCheckpoint bounds the file that is read back.
const mostCheckpoint = 1 << 30

// OpenCheckpoint opens the file of a run, made if it is not there. head says which run it is: of a file
// that is there it gives the head that stands in it, and whether that is there already.
func OpenCheckpoint(path string, head []byte) (c *Checkpoint, first []byte, resumed bool, err error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, false, fmt.Errorf("open the file of the replay: %w", err)
	}
	c = &Checkpoint{file: file}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, nil, false, errCheckpointHeld
	}
	text, err := io.ReadAll(io.LimitReader(file, mostCheckpoint))
	if err != nil {
		_ = file.Close()
		return nil, nil, false, fmt.Errorf("read the file of the replay: %w", err)
	}
	whole := c.parse(text)
	if whole == 0 && len(text) > 0 {
		_ = file.Close()
		return nil, nil, false, errCheckpoint
	}
	if err := errors.Join(file.Truncate(int64(whole)), seekEnd(file)); err != nil {
		_ = file.Close()
		return nil, nil, false, fmt.Errorf("cut the file of the replay: %w", err)
	}
	if len(c.lines) > 0 {
		return c, c.lines[0], true, nil
	}
	c.lines = [][]byte{head}
	if err := c.write(head); err != nil {
		_ = file.Close()
		return nil, nil, false, err
	}
	return c, head, false, nil
}

func seekEnd(file *os.File) error {
	_, err := file.Seek(0, io.SeekEnd)
	return err
}

// parse takes the whole lines and gives how many bytes they have.
func (c *Checkpoint) parse(text []byte) (whole int) {
	for {
		line, _, ok := bytes.Cut(text[whole:], []byte("\n"))
		sum, content, cut := bytes.Cut(line, []byte(" "))
		if !ok || !cut || string(sum) != checksum(content) {
			return whole
		}
		c.lines = append(c.lines, content)
		whole += len(line) + 1
	}
}

func checksum(content []byte) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE(content)), 16)
}

// write adds a line and waits until it is durable.
func (c *Checkpoint) write(content []byte) error {
	line := append([]byte(checksum(content)+" "), content...)
	if _, err := c.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the file of the replay: %w", err)
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("write the file of the replay: %w", err)
	}
	return nil
}

// Close closes the file, which stays.
func (c *Checkpoint) Close() error { return c.file.Close() }

// noted is the line of a page.
type noted struct {
	cursor

	Page json.RawMessage `json:"page"`
}

// note remembers what came of a page.
func (c *Checkpoint) note(at cursor, result any) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	content, err := json.Marshal(result)
	if err == nil {
		content, err = json.Marshal(noted{at, content})
	}
	if err != nil {
		return fmt.Errorf("write the file of the replay: %w", err)
	}
	return c.write(content)
}

// recall adds what was done and tells how far that is.
func recall[R any](c *Checkpoint, add func(*R)) (at cursor, err error) {
	if c == nil {
		return at, nil
	}
	for _, line := range c.lines[1:] {
		var n noted
		var result R
		if json.Unmarshal(line, &n) != nil || json.Unmarshal(n.Page, &result) != nil || n.Done < at.Done {
			return at, errPage
		}
		add(&result)
		at = n.cursor
	}
	c.lines = c.lines[:1]
	return at, nil
}

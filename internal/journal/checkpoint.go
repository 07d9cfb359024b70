package journal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrCheckpoint says that a text is not a checkpoint of this journal that one of its keys signed.
var ErrCheckpoint = errors.New("not a signed checkpoint of this journal")

// Checkpoint says that the journal had these leaves and no others at a moment (C2SP tlog-checkpoint).
type Checkpoint struct {
	// Origin names the journal; it is the name of its keys, too.
	Origin string
	// Size is how many leaves the tree had.
	Size int64
	// Root is the tree's hash.
	Root tlog.Hash
	// At is when, by the clock of the hub, in whole microseconds.
	At time.Time
	// Note is the signed text, all of it.
	Note string
}

// timeLayout is RFC 3339 with microseconds, in UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// maxSize is more leaves than any journal has; the arithmetic of x/mod does not end near 2^63.
const maxSize = 1 << 56

// timeWord begins the line that has the time.
const timeWord = "time "

// Sign signs that the journal has size leaves and this root. The text has four lines: origin, size, root
// in base64, and "time" with the moment.
func (k *Key) Sign(size int64, root tlog.Hash, at time.Time) (Checkpoint, error) {
	signer := k.held.Load().signer
	c := Checkpoint{Origin: k.origin, Size: size, Root: root, At: at.UTC().Truncate(time.Microsecond)}
	text := c.Origin + "\n" + strconv.FormatInt(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n" +
		timeWord + c.At.Format(timeLayout) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return Checkpoint{}, ErrCheckpoint
	}
	c.Note = string(signed)
	return c, nil
}

// SignText signs another text of the journal's owner, whose last byte must be a line feed.
func (k *Key) SignText(text string) ([]byte, error) {
	return note.Sign(&note.Note{Text: text}, k.held.Load().signer)
}

// Origin names the journal.
func (k *Key) Origin() string { return k.origin }

// Open reads a checkpoint that one of the journal's keys signed. Everything else is ErrCheckpoint.
func (k *Key) Open(signed string) (Checkpoint, error) {
	n, err := note.Open([]byte(signed), k.held.Load().verifiers)
	if err != nil {
		return Checkpoint{}, ErrCheckpoint
	}
	c := Checkpoint{Note: signed}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 5 || lines[0] != k.Origin() {
		return Checkpoint{}, ErrCheckpoint
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxSize || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, ErrCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, ErrCheckpoint
	}
	c.Root = tlog.Hash(root)
	if c.At, err = time.Parse(timeLayout, strings.TrimPrefix(lines[3], timeWord)); err != nil || timeWord+c.At.Format(timeLayout) != lines[3] {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}

// Consistent tells whether the tree that hashes read from has this checkpoint's root at its size: a tree
// of size leaves and that root.
func (c Checkpoint) Consistent(size int64, root tlog.Hash, hashes tlog.HashReader) error {
	switch {
	case c.Size > size:
		return ErrTree
	case c.Size == size:
		if !bytes.Equal(c.Root[:], root[:]) {
			return ErrTree
		}
		return nil
	case c.Size == 0:
		return nil
	}
	proof, err := tlog.ProveTree(size, c.Size, hashes)
	if err != nil {
		return err
	}
	if tlog.CheckTree(proof, size, root, c.Size, c.Root) != nil {
		return ErrTree
	}
	return nil
}

package opener

import (
	"encoding/binary"
	"errors"
	"io"
)

// A batch is answered by one frame for each request, in their order: the number of a word, a big-endian
// 32-bit length, and that many bytes of what was opened.

// frameHead is the length of what stands before a frame's bytes.
const frameHead = 5

// mostPlain is the most that one envelope holds.
const mostPlain = 8 << 20

// writeOpened writes one frame.
func writeOpened(w io.Writer, o Opened) error {
	_, number := wordOf(o.Err)
	head := append(make([]byte, 0, frameHead), number)
	head = binary.BigEndian.AppendUint32(head, uint32(len(o.Plain))) //nolint:gosec // at most mostPlain
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := w.Write(o.Plain)
	return err
}

// errFrame says that what came is no answer of an opener.
var errFrame = errors.New("opener: the answer is cut off or no answer")

// readOpened reads one frame.
func readOpened(r io.Reader) (Opened, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Opened{}, errFrame
	}
	all := words()
	size := binary.BigEndian.Uint32(head[1:])
	if int(head[0]) >= len(all) || size > mostPlain || head[0] != 0 && size > 0 {
		return Opened{}, errFrame
	}
	o := Opened{Err: all[head[0]].err}
	if o.Err == nil {
		o.Plain = make([]byte, size)
		if _, err := io.ReadFull(r, o.Plain); err != nil {
			return Opened{}, errFrame
		}
	}
	return o, nil
}

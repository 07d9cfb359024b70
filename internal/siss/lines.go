package siss

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// errBroken is what a file says after a write or fsync failed: what the disk holds then is
// unknown, so that nothing more is answered from it.
var errBroken = errors.New("file of received transmissions is broken")

// lineFile is an append-only file of lines that are durable when add returns. It is not safe
// for concurrent use.
type lineFile struct {
	file   *os.File
	broken bool
}

// openLines opens path, made if missing, and hands every whole line to each. A torn last line,
// which a killed process leaves, was never answered: it is cut off.
func openLines(path string, each func(line []byte) error) (*lineFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open received transmissions: %w", err)
	}
	whole, err := readLines(file, each)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read received transmissions: %w", err), file.Close())
	}
	return &lineFile{file: file}, nil
}

// readLines gives the length of the whole lines.
func readLines(r io.Reader, each func(line []byte) error) (whole int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return 0, err
		}
		if err := each(line); err != nil {
			return 0, err
		}
		whole += int64(len(line))
	}
}

// add appends lines, each ended by a line feed, and returns when they are on the disk.
func (l *lineFile) add(lines []byte) error {
	if l.broken {
		return errBroken
	}
	_, err := l.file.Write(lines)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.broken = true
		return errors.Join(errBroken, err)
	}
	return nil
}

func (l *lineFile) close() error { return l.file.Close() }

// appendJSON appends s as a JSON string (RFC 8259, section 7). encoding/json would write every
// angle bracket of an event as six bytes.
func appendJSON(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		for len(s)-i >= 8 && isPlain(binary.LittleEndian.Uint64(s[i:])) {
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf || c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// isPlain tells whether none of eight bytes needs an escape in a JSON string: no control
// character, quotation mark or backslash. An event has hardly any, so that they are skipped
// eight at a time. A byte is below n, or zero, if subtracting n, or one, borrows from its top bit
// ("Bit Twiddling Hacks", Sean Eron Anderson); a borrow from a neighbour can only say no once
// too often.
func isPlain(eight uint64) bool {
	const (
		each = 0x0101010101010101
		tops = each << 7
	)
	control := (eight - 0x20*each) &^ eight
	quote := eight ^ '"'*each
	quote = (quote - each) &^ quote
	backslash := eight ^ '\\'*each
	backslash = (backslash - each) &^ backslash
	return (control|quote|backslash)&tops == 0
}

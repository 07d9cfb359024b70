package door

import (
	"bytes"
	"math"
)

// longestLine bounds a line of a request's head or of its chunked body. net/http ends a head at
// a little more than maxHead bytes before this matters.
const longestLine = maxHead + 8<<10

// part is what the next byte of a connection belongs to.
type part uint8

const (
	betweenRequests part = iota // nothing of the next request has come
	inHead
	inContent // a body of an announced length
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	broken // a rule was violated: what follows cannot be told apart any more
)

// Flaw is why a request cannot be framed without doubt; its values are labels and rule names.
type Flaw string

// FlawNone is said of a request whose framing is without doubt.
const FlawNone Flaw = ""

const (
	flawLineEnd       Flaw = "line-end"        // a bare LF
	flawFold          Flaw = "folded-header"   // obs-fold, RFC 9112 section 5.2
	flawVersion       Flaw = "http-version"    // neither HTTP/1.1 nor HTTP/1.0
	flawBlank         Flaw = "blank-lines"     // more than one before the request line
	flawLong          Flaw = "line-length"     // over longestLine
	flawLength        Flaw = "content-length"  // no number, or told twice
	flawCoding        Flaw = "transfer-coding" // anything but one "chunked", or in HTTP/1.0
	flawLengthAndCode Flaw = "length-and-transfer-coding"
	flawChunk         Flaw = "chunk"       // RFC 9112, section 7.1
	flawUnseen        Flaw = "unseen-head" // cannot be, and is refused
)

// framing follows the bytes of a connection from request to request and finds what RFC 9112
// forbids or leaves to doubt and net/http silently mends: two lengths, a length beside a transfer
// coding, a transfer coding in HTTP/1.0, line ends without CR, folded headers. Whoever stands
// before the hub might read such a request as another one, or as two (request smuggling).
//
// It only looks: net/http reads the same bytes and decides alone what a request says. Where both
// read on, they agree on where each request ends (FuzzFramingAgreesWithNetHTTP). After the first
// flaw nothing is looked at any more, because the connection is closed with that request's answer.
type framing struct {
	part part
	// heads counts the requests whose head came whole and flawless.
	heads int
	flaw  Flaw
	// inBody says that the flaw is in the body of the last of these requests.
	inBody bool
	// got counts the bytes of content of the body under way.
	got int64
	// left is what is still to come of a body or chunk.
	left int64
	// chunked tells of the body under way that its length is not known.
	chunked bool

	line   []byte // the begin of a line whose end has not come
	blanks int    // empty lines before the request line
	first  bool   // the request line has come
	old    bool   // it says HTTP/1.0
	length int64  // announced; -1 if not
}

// inside tells whether a body is under way.
func (f *framing) inside() bool { return f.part >= inContent && f.part <= inTrailer }

// waiting tells whether nothing of a request has come that would wait for more.
func (f *framing) waiting() bool { return f.part == betweenRequests }

// feed looks at the next bytes.
func (f *framing) feed(p []byte) {
	for len(p) > 0 {
		switch f.part {
		case broken:
			return
		case inContent, inChunk:
			n := min(int64(len(p)), f.left)
			p, f.left, f.got = p[n:], f.left-n, f.got+n
			if f.left > 0 {
				return
			}
			if f.part == inContent {
				f.part = betweenRequests
			} else {
				f.part = inChunkEnd
			}
		case betweenRequests:
			f.part, f.first, f.old, f.chunked, f.got, f.length = inHead, false, false, false, 0, -1
		case inHead, inChunkSize, inChunkEnd, inTrailer:
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				f.keep(p)
				return
			}
			line := p[:end+1]
			if len(f.line) > 0 {
				f.keep(line)
				line = f.line
			}
			p = p[end+1:]
			f.take(line)
			f.line = f.line[:0]
		}
	}
}

// keep remembers the begin of a line.
func (f *framing) keep(p []byte) {
	if len(f.line)+len(p) > longestLine {
		f.fail(flawLong)
		return
	}
	f.line = append(f.line, p...)
}

func (f *framing) fail(why Flaw) {
	if f.part != broken {
		f.inBody = f.inside()
		f.part, f.flaw, f.line = broken, why, nil
	}
}

// take looks at a whole line with its end.
func (f *framing) take(line []byte) {
	n := len(line)
	if n < 2 || line[n-2] != '\r' {
		f.fail(flawLineEnd) // keeps an earlier flaw
		return
	}
	line = line[:n-2]
	switch f.part {
	case inHead:
		if f.first {
			f.takeField(line)
		} else {
			f.takeRequestLine(line)
		}
	case inChunkSize:
		f.takeChunkSize(line)
	case inChunkEnd:
		if len(line) > 0 {
			f.fail(flawChunk)
			return
		}
		f.part = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			f.part = betweenRequests
		} else if line[0] == ' ' || line[0] == '\t' {
			f.fail(flawFold)
		}
	case betweenRequests, inContent, inChunk, broken:
	}
}

func (f *framing) takeRequestLine(line []byte) {
	if len(line) == 0 {
		// RFC 9112, section 2.2: one empty line before a request is ignored.
		if f.blanks++; f.blanks > 1 {
			f.fail(flawBlank)
		} else {
			f.part = betweenRequests
		}
		return
	}
	version := line[max(0, len(line)-len(" HTTP/1.1")):]
	switch string(version) {
	case " HTTP/1.1":
	case " HTTP/1.0":
		f.old = true
	default:
		f.fail(flawVersion)
		return
	}
	f.first = true
}

// takeField looks at a header line, and at the empty one that ends the head.
func (f *framing) takeField(line []byte) {
	const length, coding = "content-length", "transfer-encoding"
	if len(line) == 0 {
		f.endHead()
		return
	}
	switch line[0] {
	case ' ', '\t':
		f.fail(flawFold)
	case 'C', 'c':
		if len(line) > len(length) && line[len(length)] == ':' && equalFold(line[:len(length)], length) {
			n, ok := decimal(trim(line[len(length)+1:]))
			if !ok || f.length >= 0 {
				f.fail(flawLength)
				return
			}
			f.length = n
		}
	case 'T', 't':
		if len(line) > len(coding) && line[len(coding)] == ':' && equalFold(line[:len(coding)], coding) {
			if f.chunked || f.old || !equalFold(trim(line[len(coding)+1:]), "chunked") {
				f.fail(flawCoding)
				return
			}
			f.chunked = true
		}
	}
}

func (f *framing) endHead() {
	if f.chunked && f.length >= 0 {
		f.fail(flawLengthAndCode)
		return
	}
	f.heads++
	f.blanks, f.part, f.left = 0, betweenRequests, max(f.length, 0)
	if cap(f.line) > 1<<10 {
		f.line = nil // seldom, and connections are many
	}
	switch {
	case f.chunked:
		f.part = inChunkSize
	case f.left > 0:
		f.part = inContent
	}
}

// takeChunkSize reads a chunk's size; extensions are skipped.
func (f *framing) takeChunkSize(line []byte) {
	size, digits := int64(0), 0
	for digits < len(line) {
		d := hexDigit(line[digits])
		if d < 0 {
			break
		}
		if size > math.MaxInt64>>5 {
			f.fail(flawChunk)
			return
		}
		size = size<<4 | int64(d)
		digits++
	}
	if rest := trim(line[digits:]); digits == 0 || len(rest) > 0 && rest[0] != ';' || bytes.IndexByte(rest, '\r') >= 0 {
		f.fail(flawChunk)
		return
	}
	f.part, f.left = inChunk, size
	if size == 0 {
		f.part = inTrailer
	}
}

// trim takes blanks and tabs away from both ends.
func trim(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

// equalFold compares with an ASCII word in lower case.
func equalFold(p []byte, word string) bool {
	if len(p) != len(word) {
		return false
	}
	for i, c := range p {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// decimal reads 1*DIGIT of at most 18 digits.
func decimal(p []byte) (n int64, ok bool) {
	if len(p) == 0 || len(p) > 18 {
		return 0, false
	}
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

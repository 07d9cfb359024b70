package soap

import (
	"bytes"
	"unicode/utf8"
)

// Limits bound what may reach a parser. libxml2 2.9.14 is quadratic in the attributes of one
// element, and looks through every namespace in scope for each name it reads, so both are counted
// before it sees a byte.
type Limits struct {
	Bytes      int // whole document
	Depth      int // nested elements
	Elements   int // in the document
	Attributes int // of one element, namespace declarations included
	Namespaces int // declarations on one element
	Scope      int // declarations in scope at one place, those of open elements together
	Name       int // bytes of one element or attribute name
	Text       int // bytes of one text, attribute value, comment, CDATA or PI
	Misc       int // comments, PIs and CDATA sections in the document
}

// DefaultLimits are those of the contract (2 MiB) and of the design's threat X3.
func DefaultLimits() Limits {
	return Limits{
		Bytes: 2 << 20, Depth: 64, Elements: 200_000, Attributes: 128,
		Namespaces: 64, Scope: 128, Name: 256, Text: 64 << 10, Misc: 1_000,
	}
}

// Reason is why Scan refused.
type Reason uint8

// The reasons, a closed list.
const (
	Empty Reason = iota + 1
	NotUTF8
	NullByte
	TooManyBytes
	TooDeep
	TooManyElements
	TooManyAttributes
	TooManyNamespaces
	NameTooLong
	TextTooLong
	TooManyMisc
	Doctype
	// Broken is markup at which a parser may take up its work elsewhere than this pass does: it
	// is not well-formed, and what follows could not be counted.
	Broken
)

// String names the reason in a form fit for a rule name.
func (r Reason) String() string {
	names := [...]string{
		"", "empty", "encoding", "null-byte", "bytes", "depth", "elements", "attributes",
		"namespaces", "name-length", "text-length", "comments-and-instructions", "doctype", "markup",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return ""
}

// LimitError is Scan's only error. It holds no content.
type LimitError struct {
	Reason Reason
	// Encoding is what was found instead of UTF-8, from a closed list.
	Encoding string
	// Line is where, from 1; 0 if it makes no sense.
	Line int
}

// Error names the reason.
func (e *LimitError) Error() string {
	if e.Encoding != "" {
		return "limit: " + e.Reason.String() + " " + e.Encoding
	}
	return "limit: " + e.Reason.String()
}

// Scan passes once over doc in linear time and counts. It does not judge well-formedness but
// where it must, to agree with the parser on what is markup: libxml2 goes on behind an error, and
// an element that this pass took for part of a comment or a value would not have been counted.
// What it lets through is only known to be UTF-8 without DOCTYPE and within the limits. The error
// is a *LimitError.
func Scan(doc []byte, limits Limits) error {
	if len(doc) > limits.Bytes {
		return &LimitError{Reason: TooManyBytes}
	}
	if err := checkEncoding(doc); err != nil {
		return err
	}
	s := scanner{doc: doc, limits: limits, declared: make([]int, 0, usualDepth)}
	stop := forbidden(doc)
	for s.pos < len(doc) {
		reason := s.step()
		if reason == 0 && s.pos > stop {
			reason, s.pos = Broken, stop
		}
		if reason != 0 {
			return &LimitError{Reason: reason, Line: 1 + bytes.Count(doc[:min(s.pos, len(doc))], []byte{'\n'})}
		}
	}
	return nil
}

// usualDepth is how many elements most documents have open at once.
const usualDepth = 16

// scanner is the state of one pass.
type scanner struct {
	doc      []byte
	pos      int
	limits   Limits
	depth    int
	elements int
	misc     int
	// scope is how many namespace declarations are in scope, and declared how many of them each
	// open element has.
	scope    int
	declared []int
	// Of the element being passed.
	attributes, namespaces int
}

// step passes one text or one piece of markup. What is broken without moving the next markup is
// left to the parser.
func (s *scanner) step() Reason {
	if s.doc[s.pos] != '<' {
		n := bytes.IndexByte(s.doc[s.pos:], '<')
		if n < 0 {
			n = len(s.doc) - s.pos
		}
		if n > s.limits.Text {
			return TextTooLong
		}
		s.pos += n
		return 0
	}
	rest := s.doc[s.pos:]
	if len(rest) == 1 {
		return s.startTag()
	}
	switch rest[1] {
	case '!':
		return s.declaration(rest)
	case '?':
		return s.instruction(rest[2:])
	case '/':
		return s.endTag(rest)
	}
	return s.startTag()
}

// declaration passes a comment or CDATA section.
func (s *scanner) declaration(rest []byte) Reason {
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		body, reason := s.skip(4, "-->")
		if reason == 0 && bytes.Contains(body, []byte("--")) {
			// Not allowed (production Comment), and libxml2 needs quadratic time to say so.
			return Broken
		}
		return reason
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		_, reason := s.skip(9, "]]>")
		return reason
	case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
		return Doctype
	}
	return Broken
}

// instruction passes a PI, or the XML declaration; rest is what follows its first two characters.
func (s *scanner) instruction(rest []byte) Reason {
	if r, n := utf8.DecodeRune(rest); n == 0 || !isNameStart(r) {
		return Broken
	}
	body, reason := s.skip(2, "?>")
	if reason != 0 {
		return reason
	}
	target := body
	if n := bytes.IndexAny(body, " \t\r\n"); n >= 0 {
		target = body[:n]
	}
	switch {
	case len(target) > s.limits.Name:
		return NameTooLong
	case string(target) == "xml" && bytes.ContainsAny(body, "<>"):
		return Broken // libxml2 ends a broken XML declaration at the first bracket
	}
	return 0
}

// skip passes a comment, CDATA section or PI up to its end and gives its content.
func (s *scanner) skip(open int, end string) (body []byte, reason Reason) {
	s.misc++
	if s.misc > s.limits.Misc {
		return nil, TooManyMisc
	}
	body = s.doc[min(s.pos+open, len(s.doc)):]
	if n := bytes.Index(body, []byte(end)); n >= 0 {
		body = body[:n]
	}
	if len(body) > s.limits.Text {
		return nil, TextTooLong
	}
	s.pos = min(s.pos+open+len(body)+len(end), len(s.doc))
	return body, 0
}

// endTag passes </name>.
func (s *scanner) endTag(rest []byte) Reason {
	n := bytes.IndexByte(rest, '>')
	if n < 0 {
		n = len(rest) - 1
	}
	if s.depth == 0 || bytes.IndexByte(rest[1:n+1], '<') >= 0 {
		return Broken
	}
	if n > s.limits.Name+s.limits.Text {
		return NameTooLong
	}
	s.depth--
	s.scope -= s.declared[s.depth]
	s.declared = s.declared[:s.depth]
	s.pos += n + 1
	return 0
}

// startTag passes <name a="v" ...> or <name .../>, counting attributes by their equal signs.
func (s *scanner) startTag() Reason {
	s.elements++
	if s.elements > s.limits.Elements {
		return TooManyElements
	}
	s.pos++
	if s.name() > s.limits.Name {
		return NameTooLong
	}
	s.attributes, s.namespaces = 0, 0
	for s.pos < len(s.doc) {
		switch c := s.doc[s.pos]; c {
		case '>':
			return s.open(s.doc[s.pos-1] == '/')
		case '<':
			return Broken
		case '"', '\'':
			if reason := s.value(c); reason != 0 {
				return reason
			}
		case ' ', '\t', '\r', '\n', '/', '=':
			s.pos++
		default:
			if reason := s.attribute(); reason != 0 {
				return reason
			}
		}
	}
	return 0
}

// open ends a start tag, whose element stays open unless it is empty.
func (s *scanner) open(empty bool) Reason {
	s.pos++
	if s.scope+s.namespaces > s.limits.Scope {
		return TooManyNamespaces
	}
	if empty {
		return 0
	}
	if s.depth == s.limits.Depth {
		return TooDeep
	}
	s.depth++
	s.scope += s.namespaces
	s.declared = append(s.declared, s.namespaces)
	return 0
}

// attribute passes an attribute's name.
func (s *scanner) attribute() Reason {
	s.attributes++
	if s.attributes > s.limits.Attributes {
		return TooManyAttributes
	}
	if bytes.HasPrefix(s.doc[s.pos:], []byte("xmlns")) {
		s.namespaces++
		if s.namespaces > s.limits.Namespaces {
			return TooManyNamespaces
		}
	}
	if s.name() > s.limits.Name {
		return NameTooLong
	}
	return 0
}

// name passes the bytes up to a delimiter and gives their number, at least one.
func (s *scanner) name() int {
	start, pos := s.pos, s.pos
	for pos < len(s.doc) {
		// Letters stand above all delimiters: one comparison for nearly every byte.
		if c := s.doc[pos]; c <= '>' && isDelimiter(c) {
			break
		}
		pos++
	}
	s.pos = pos
	return pos - start
}

// isDelimiter tells whether a name ends before c.
func isDelimiter(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '/', '=', '>', '<', '"', '\'':
		return true
	}
	return false
}

// value passes a quoted attribute value.
func (s *scanner) value(quote byte) Reason {
	s.pos++
	n := bytes.IndexByte(s.doc[s.pos:], quote)
	if n < 0 {
		n = len(s.doc) - s.pos
	}
	if n > s.limits.Text {
		return TextTooLong
	}
	if bytes.IndexByte(s.doc[s.pos:s.pos+n], '<') >= 0 {
		return Broken
	}
	s.pos = min(s.pos+n+1, len(s.doc))
	return 0
}

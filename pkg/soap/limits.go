package soap

import (
	"bytes"
	"unicode/utf8"
)

// Limits bound what may reach a parser. libxml2 2.9.14 is quadratic in the attributes of one
// element, so they are counted before it sees a byte.
type Limits struct {
	Bytes      int // whole document
	Depth      int // nested elements
	Elements   int // in the document
	Attributes int // of one element, namespace declarations included
	Namespaces int // declarations on one element
	Name       int // bytes of one element or attribute name
	Text       int // bytes of one text, attribute value, comment, CDATA or PI
	Misc       int // comments, PIs and CDATA sections in the document
}

// DefaultLimits are those of the contract (2 MiB) and of the design's threat X3.
func DefaultLimits() Limits {
	return Limits{
		Bytes: 2 << 20, Depth: 64, Elements: 200_000, Attributes: 128,
		Namespaces: 64, Name: 256, Text: 64 << 10, Misc: 1_000,
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
)

// String names the reason in a form fit for a rule name.
func (r Reason) String() string {
	names := [...]string{
		"", "empty", "encoding", "null-byte", "bytes", "depth", "elements", "attributes",
		"namespaces", "name-length", "text-length", "comments-and-instructions", "doctype",
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

// Scan passes once over doc in linear time and counts. It does not judge well-formedness: what
// it lets through is only known to be UTF-8 without DOCTYPE and within the limits. The error
// is a *LimitError.
func Scan(doc []byte, limits Limits) error {
	if len(doc) > limits.Bytes {
		return &LimitError{Reason: TooManyBytes}
	}
	if err := checkEncoding(doc); err != nil {
		return err
	}
	s := scanner{doc: doc, limits: limits}
	for s.pos < len(doc) {
		if reason := s.step(); reason != 0 {
			return &LimitError{Reason: reason, Line: 1 + bytes.Count(doc[:min(s.pos, len(doc))], []byte{'\n'})}
		}
	}
	return nil
}

// checkEncoding lets only UTF-8 through, said so or not, with or without its mark.
func checkEncoding(doc []byte) error {
	if len(bytes.TrimLeft(doc, " \t\r\n")) == 0 {
		return &LimitError{Reason: Empty}
	}
	if found := foreignMark(doc); found != "" {
		return &LimitError{Reason: NotUTF8, Encoding: found}
	}
	if before, _, found := bytes.Cut(doc, []byte{0}); found {
		return &LimitError{Reason: NullByte, Line: 1 + bytes.Count(before, []byte{'\n'})}
	}
	if found := declaredEncoding(doc); found != "" {
		return &LimitError{Reason: NotUTF8, Encoding: found, Line: 1}
	}
	if !utf8.Valid(doc) {
		return &LimitError{Reason: NotUTF8, Encoding: "bytes"}
	}
	return nil
}

// foreignMark recognises other encodings by their first bytes (XML 1.0, appendix F).
func foreignMark(doc []byte) string {
	marks := []struct{ prefix, name string }{
		{"\x00\x00\xfe\xff", "UTF-32BE"},
		{"\xff\xfe\x00\x00", "UTF-32LE"},
		{"\xfe\xff", "UTF-16BE"},
		{"\xff\xfe", "UTF-16LE"},
		{"\x00\x00\x00<", "UTF-32BE"},
		{"<\x00\x00\x00", "UTF-32LE"},
		{"\x00<", "UTF-16BE"},
		{"<\x00", "UTF-16LE"},
		{"\x4c\x6f\xa7\x94", "EBCDIC"},
		{"+ADw", "UTF-7"},
		{"+/v", "UTF-7"},
	}
	for _, m := range marks {
		if bytes.HasPrefix(doc, []byte(m.prefix)) {
			return m.name
		}
	}
	return ""
}

// declaredEncoding gives the name in the XML declaration if it is not UTF-8: one of the usual
// names, or "other", so that nothing of the message comes back.
func declaredEncoding(doc []byte) string {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(doc, []byte("<?xml")) {
		return ""
	}
	end := bytes.Index(doc, []byte("?>"))
	if end < 0 {
		return ""
	}
	_, rest, found := bytes.Cut(doc[:end], []byte("encoding"))
	if !found {
		return ""
	}
	rest = bytes.TrimLeft(rest, " \t\r\n=")
	if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return "other"
	}
	name, _, found := bytes.Cut(rest[1:], rest[:1])
	if !found {
		return "other"
	}
	for _, usual := range []string{
		"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-7", "UTF-32", "US-ASCII",
		"ISO-8859-1", "ISO-8859-15", "windows-1252", "IBM037", "EBCDIC-CP-US",
	} {
		if bytes.EqualFold(name, []byte(usual)) {
			if usual == "UTF-8" {
				return ""
			}
			return usual
		}
	}
	return "other"
}

// scanner is the state of one pass.
type scanner struct {
	doc      []byte
	pos      int
	limits   Limits
	depth    int
	elements int
	misc     int
	// Of the element being passed.
	attributes, namespaces int
}

// step passes one text or one piece of markup. Whatever is broken is left to the parser: the
// pass then simply goes on behind it, still counting.
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
		return s.skip(2, "?>")
	case '/':
		s.depth--
		n := bytes.IndexByte(rest, '>')
		if n < 0 {
			n = len(rest) - 1
		}
		if n > s.limits.Name+s.limits.Text {
			return NameTooLong
		}
		s.pos += n + 1
		return 0
	}
	return s.startTag()
}

// declaration passes a comment or CDATA section.
func (s *scanner) declaration(rest []byte) Reason {
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		return s.skip(4, "-->")
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		return s.skip(9, "]]>")
	}
	// In UTF-8 nothing else but a DOCTYPE can start so outside of one.
	return Doctype
}

// skip passes a comment, CDATA section or PI up to its end.
func (s *scanner) skip(open int, end string) Reason {
	s.misc++
	if s.misc > s.limits.Misc {
		return TooManyMisc
	}
	body := s.doc[min(s.pos+open, len(s.doc)):]
	n := bytes.Index(body, []byte(end))
	if n < 0 {
		n = len(body)
	}
	if n > s.limits.Text {
		return TextTooLong
	}
	s.pos = min(s.pos+open+n+len(end), len(s.doc))
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
			if s.doc[s.pos-1] != '/' {
				s.depth++
			}
			s.pos++
			if s.depth > s.limits.Depth {
				return TooDeep
			}
			return 0
		case '<':
			return 0 // broken markup: the parser will say so
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
	s.pos = min(s.pos+n+1, len(s.doc))
	return 0
}

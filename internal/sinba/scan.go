package sinba

import (
	"bytes"
	"errors"
)

// Faults of a document that should have been canonical. None holds any of its text. After the
// validator they mean a defect of the hub, never of a sender.
var (
	errNotCanonical = errors.New("document is not canonical XML")
	errNotAnEvent   = errors.New("document is not an event of the contract")
)

// token is what the scanner found.
type token uint8

// The tokens. Canonical XML has no empty-element tags, declarations, comments (the validator drops
// them), processing instructions or CDATA sections.
const (
	tokenEnd token = iota
	tokenOpen
	tokenClose
	tokenText
	tokenBad
)

// scanner pulls tokens from exclusive canonical XML (Exclusive XML Canonicalization 1.0 without
// comments). It holds no text of its own: name, attributes and text are parts of the document.
type scanner struct {
	doc []byte
	pos int
	// name of the last open or close tag as written, with its prefix.
	name []byte
	// attributes of the last open tag: what stands between the name and '>'.
	attributes []byte
	// from and to bound the last text.
	from, to int
}

// next gives the next token. After tokenBad or tokenEnd it must not be called again.
func (s *scanner) next() token {
	if s.pos >= len(s.doc) {
		return tokenEnd
	}
	if s.doc[s.pos] != '<' {
		s.from = s.pos
		if n := bytes.IndexByte(s.doc[s.pos:], '<'); n >= 0 {
			s.to = s.pos + n
		} else {
			s.to = len(s.doc)
		}
		s.pos = s.to
		return tokenText
	}
	s.pos++
	if s.pos < len(s.doc) && s.doc[s.pos] == '/' {
		s.pos++
		n := bytes.IndexByte(s.doc[s.pos:], '>')
		if n <= 0 {
			return tokenBad
		}
		s.name = s.doc[s.pos : s.pos+n]
		s.pos += n + 1
		return tokenClose
	}
	return s.openTag()
}

// openTag reads a tag from behind its '<'. An attribute's value may hold a raw '>'.
func (s *scanner) openTag() token {
	start := s.pos
	for s.pos < len(s.doc) && nameByte(s.doc[s.pos]) {
		s.pos++
	}
	s.name = s.doc[start:s.pos]
	if len(s.name) == 0 || s.pos >= len(s.doc) {
		return tokenBad
	}
	start = s.pos
	for s.doc[s.pos] != '>' {
		// One attribute: blank, name, ="value".
		if s.doc[s.pos] != ' ' {
			return tokenBad
		}
		eq := bytes.IndexByte(s.doc[s.pos:], '=')
		if eq < 2 || s.pos+eq+1 >= len(s.doc) || s.doc[s.pos+eq+1] != '"' {
			return tokenBad
		}
		for _, b := range s.doc[s.pos+1 : s.pos+eq] {
			if !nameByte(b) {
				return tokenBad
			}
		}
		s.pos += eq + 2
		quote := bytes.IndexByte(s.doc[s.pos:], '"')
		if quote < 0 || s.pos+quote+1 >= len(s.doc) || bytes.IndexByte(s.doc[s.pos:s.pos+quote], '<') >= 0 {
			return tokenBad
		}
		s.pos += quote + 1
	}
	s.attributes = s.doc[start:s.pos]
	s.pos++
	return tokenOpen
}

// nameByte tells whether b may stand in a name: everything but what ends one in a canonical tag or
// cannot stand in one at all.
func nameByte(b byte) bool {
	switch b {
	case ' ', '\t', '\r', '\n', '<', '>', '/', '=', '"', '\'', '&', '!', '?', 0:
		return false
	}
	return true
}

// local cuts the prefix off a name.
func local(name []byte) []byte {
	if _, after, ok := bytes.Cut(name, []byte{':'}); ok {
		return after
	}
	return name
}

// attribute cuts the first attribute off a list as openTag left it. The value is still escaped.
func attribute(list []byte) (name, value, rest []byte, ok bool) {
	if len(list) == 0 {
		return nil, nil, nil, false
	}
	eq := bytes.IndexByte(list, '=')
	quote := bytes.IndexByte(list[eq+2:], '"')
	return list[1:eq], list[eq+2 : eq+2+quote], list[eq+3+quote:], true
}

// blank tells whether text is white space only, as it may stand between elements.
func blank(text []byte) bool {
	for _, b := range text {
		if b != ' ' && b != '\n' && b != '\t' && b != '\r' {
			return false
		}
	}
	return true
}

// decode undoes the escapes of canonical XML (Canonical XML 1.0, section 2.3): five in texts, six
// in attribute values. Any other reference cannot stand in a canonical document. Without a
// reference raw itself is given back.
func decode(raw []byte) (text []byte, ok bool) {
	amp := bytes.IndexByte(raw, '&')
	if amp < 0 {
		return raw, true
	}
	text = make([]byte, 0, len(raw))
	for amp >= 0 {
		text = append(text, raw[:amp]...)
		raw = raw[amp:]
		semicolon := bytes.IndexByte(raw, ';')
		if semicolon < 0 {
			return nil, false
		}
		switch string(raw[:semicolon+1]) {
		case "&amp;":
			text = append(text, '&')
		case "&lt;":
			text = append(text, '<')
		case "&gt;":
			text = append(text, '>')
		case "&quot;":
			text = append(text, '"')
		case "&#x9;":
			text = append(text, '\t')
		case "&#xA;":
			text = append(text, '\n')
		case "&#xD;":
			text = append(text, '\r')
		default:
			return nil, false
		}
		raw = raw[semicolon+1:]
		amp = bytes.IndexByte(raw, '&')
	}
	return append(text, raw...), true
}

// appendText appends text as canonical XML writes it inside an element.
func appendText(to []byte, text string) []byte {
	start := 0
	for i := range len(text) {
		var ref string
		switch text[i] {
		case '&':
			ref = "&amp;"
		case '<':
			ref = "&lt;"
		case '>':
			ref = "&gt;"
		case '\r':
			ref = "&#xD;"
		default:
			continue
		}
		to = append(append(to, text[start:i]...), ref...)
		start = i + 1
	}
	return append(to, text[start:]...)
}

package soap

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

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

// forbidden finds the first character that XML 1.0 has no place for (production Char), the end of
// doc if there is none. doc must be UTF-8, which has no surrogates.
func forbidden(doc []byte) int {
	const ones = 0x0101010101010101
	for at := 0; at < len(doc); {
		// Eight bytes at once: is one of them below a blank?
		if at+8 <= len(doc) {
			w := binary.LittleEndian.Uint64(doc[at:])
			if (w-ones*' ')&^w&(ones*0x80) == 0 {
				at += 8
				continue
			}
		}
		if c := doc[at]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return at
		}
		at++
	}
	end := len(doc)
	for _, noncharacter := range []string{"\ufffe", "\uffff"} {
		if at := bytes.Index(doc[:end], []byte(noncharacter)); at >= 0 {
			end = at
		}
	}
	return end
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

// isNameStart tells whether a name may begin with r (XML 1.0, fifth edition, NameStartChar).
func isNameStart(r rune) bool {
	switch {
	case r < 0xC0:
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || r == ':'
	case r <= 0x2FF:
		return r != 0xD7 && r != 0xF7
	case r <= 0x1FFF:
		return r >= 0x370 && r != 0x37E
	}
	return r == 0x200C || r == 0x200D || 0x2070 <= r && r <= 0x218F || 0x2C00 <= r && r <= 0x2FEF ||
		0x3001 <= r && r <= 0xD7FF || 0xF900 <= r && r <= 0xFDCF || 0xFDF0 <= r && r <= 0xFFFD || 0x10000 <= r && r <= 0xEFFFF
}

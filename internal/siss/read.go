package siss

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// element is a part of a canonical document: XML that libxml2 wrote after it found the
// document valid, so that a '<' only ever begins a tag, tags are balanced, and empty elements
// have an end tag of their own.
type element struct {
	// name is the local name.
	name string
	// whole goes from the start tag to the end tag, content is what is between them.
	whole, content []byte
}

// tag is one tag of a canonical document: doc[start:end], '<' and '>' included.
type tag struct {
	start, end int
	nameEnd    int
	closing    bool
	name       []byte // local
}

// nextTag finds the first tag at or behind from; ok is false if there is no whole one. Attribute
// values may hold a raw '>' (Canonical XML 1.0, section 2.3), never a '<'.
func nextTag(doc []byte, from int) (t tag, ok bool) {
	n := bytes.IndexByte(doc[from:], '<')
	if n < 0 {
		return tag{}, false
	}
	t = tag{start: from + n}
	i := t.start + 1
	if i < len(doc) && doc[i] == '/' {
		t.closing = true
		i++
	}
	begin := i
	for i < len(doc) && doc[i] != '>' && doc[i] != ' ' {
		if doc[i] == ':' {
			begin = i + 1
		}
		i++
	}
	t.name, t.nameEnd = doc[begin:i], i
	for i < len(doc) && doc[i] != '>' {
		if doc[i] == '"' {
			i += 1 + max(0, bytes.IndexByte(doc[i+1:], '"'))
		}
		i++
	}
	t.end = i + 1
	return t, i < len(doc)
}

// children goes over the elements directly inside the one that doc begins with.
func children(doc []byte) iter.Seq[element] {
	return func(yield func(element) bool) {
		outer, ok := nextTag(doc, 0)
		for pos := outer.end; ok; {
			var first tag
			if first, ok = nextTag(doc, pos); !ok || first.closing {
				return
			}
			var last tag
			if last, ok = endOf(doc, first); !ok {
				return
			}
			if !yield(element{string(first.name), doc[first.start:last.end], doc[first.end:last.start]}) {
				return
			}
			pos = last.end
		}
	}
}

// endOf finds the tag that ends the element which first begins.
func endOf(doc []byte, first tag) (last tag, ok bool) {
	// The event is most of its message. Unless another of its name may begin inside, its end is
	// found by name, without a look at each tag between (BenchmarkTransmit).
	qualified := doc[first.start+1 : first.nameEnd]
	closing := append(append([]byte("</"), qualified...), '>')
	if n := bytes.Index(doc[first.end:], closing); n >= 0 &&
		!bytes.Contains(doc[first.end:first.end+n], append([]byte{'<'}, qualified...)) {
		return nextTag(doc, first.end+n)
	}
	last = first
	for depth := 1; depth > 0; {
		if last, ok = nextTag(doc, last.end); !ok {
			return last, false
		}
		if last.closing {
			depth--
		} else {
			depth++
		}
	}
	return last, true
}

// text gives the content of the first direct child with that name, empty if there is none.
func text(doc []byte, name string) string {
	for e := range children(doc) {
		if e.name == name {
			return unescape(e.content)
		}
	}
	return ""
}

// unescape undoes what canonical XML escapes in text (Canonical XML 1.0, section 2.3).
func unescape(content []byte) string {
	if bytes.IndexByte(content, '&') < 0 {
		return string(content)
	}
	return strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&#xD;", "\r").Replace(string(content))
}

// appendStandalone appends an element of the contract's namespace as a document of its own: no
// prefixes, no attributes (the schema has none), the namespace declared once on the root. Two
// requests with the same event, however prefixed, give the same bytes.
func appendStandalone(out, whole []byte) []byte {
	out = slices.Grow(out, len(whole)+len(namespace)+16)
	if first, ok := nextTag(whole, 0); ok && bytes.IndexByte(whole, ':') < 0 && bytes.IndexByte(whole, '"') < 0 {
		// Without a colon there is no prefix, without a quotation mark no attribute: all tags but
		// the first are as they shall be.
		out = append(out, whole[:first.nameEnd]...)
		out = append(out, ` xmlns="`+namespace+`"`...)
		return append(out, whole[first.nameEnd:]...)
	}
	for pos := 0; ; {
		t, ok := nextTag(whole, pos)
		if !ok {
			return out
		}
		out = append(out, whole[pos:t.start]...)
		out = append(out, '<')
		if t.closing {
			out = append(out, '/')
		}
		out = append(out, t.name...)
		if t.start == 0 {
			out = append(out, ` xmlns="`+namespace+`"`...)
		}
		out = append(out, '>')
		pos = t.end
	}
}

// typeOf gives the event's TipoEvento, wherever in the event it stands.
func typeOf(event []byte) string {
	for pos := 0; ; {
		t, ok := nextTag(event, pos)
		if !ok {
			return ""
		}
		if !t.closing && string(t.name) == "TipoEvento" {
			value, _, _ := bytes.Cut(event[t.end:], []byte("<"))
			return string(value)
		}
		pos = t.end
	}
}

package sinba

import (
	"fmt"
	"io"
	"strconv"
)

// Leaf is one value of a document. Its value may be content: it prints as a placeholder.
type Leaf struct {
	// Path is made of local names, positions from the second same-named sibling on as [n].
	Path string
	// Value is the text with its references resolved.
	Value string
}

// Format prints the path and a placeholder for the value.
func (l Leaf) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.Path+"="+redacted) }

// MarshalText gives the path and a placeholder for the value.
func (l Leaf) MarshalText() ([]byte, error) { return []byte(l.Path + "=" + redacted), nil }

// Document is a small canonical document of any kind, read leaf by leaf: a request that is no
// event, or an answer of SISS. It prints like its leaves.
type Document struct {
	// Root is the local name of the root element.
	Root string
	// Attributes are those of the root but namespace declarations, paths like @versione.
	Attributes []Leaf
	// Leaves are all elements without child elements, in document order. Their paths begin below
	// the root, like /Testata/IdEvento; a root that is itself a leaf has the empty path.
	Leaves []Leaf
}

// Value gives the value of the first leaf with this path, or of the root's attribute for a path
// like @versione.
func (d *Document) Value(path string) (string, bool) {
	for _, l := range d.Attributes {
		if l.Path == path {
			return l.Value, true
		}
	}
	for _, l := range d.Leaves {
		if l.Path == path {
			return l.Value, true
		}
	}
	return "", false
}

// maxDepth bounds the nesting of the documents read here; the contract's own need seven levels.
const maxDepth = 32

// level is one open element while a Document is read.
type level struct {
	raw []byte
	// path is the length of the path up to and with this element.
	path     int
	children bool
	// count has how often each child name occurred.
	count map[string]int
}

// Leaves reads any small canonical document (requests for a state or a summary, answers of SISS).
// For events use Catalogue.Read, which knows their structure and is much faster. The errors are
// defects: canonical bytes come from the validator.
func Leaves(canonical []byte) (*Document, error) {
	s := scanner{doc: canonical}
	if s.next() != tokenOpen {
		return nil, errNotCanonical
	}
	doc := &Document{Root: string(local(s.name))}
	for rest := s.attributes; ; {
		name, raw, left, ok := attribute(rest)
		if !ok {
			break
		}
		rest = left
		if string(name) == "xmlns" || len(name) > 6 && string(name[:6]) == "xmlns:" {
			continue
		}
		value, ok := decode(raw)
		if !ok {
			return nil, errNotCanonical
		}
		doc.Attributes = append(doc.Attributes, Leaf{Path: "@" + string(local(name)), Value: string(value)})
	}
	r := leafReader{scanner: s, doc: doc, stack: []level{{raw: s.name}}}
	if !r.run() {
		return nil, errNotCanonical
	}
	return doc, nil
}

// leafReader walks a document behind its root's open tag.
type leafReader struct {
	scanner

	doc   *Document
	stack []level
	path  []byte
	// text is the last text since the last tag.
	text []byte
}

// run reads up to the end and tells whether the document was well formed and canonical.
func (r *leafReader) run() bool {
	for len(r.stack) > 0 {
		switch r.next() {
		case tokenText:
			r.text = r.scanner.doc[r.from:r.to]
		case tokenOpen:
			if !r.enter() {
				return false
			}
		case tokenClose:
			if !r.leave() {
				return false
			}
		case tokenEnd, tokenBad:
			return false
		}
	}
	return r.next() == tokenEnd
}

// enter opens an element below the innermost one.
func (r *leafReader) enter() bool {
	top := &r.stack[len(r.stack)-1]
	if !blank(r.text) || len(r.stack) >= maxDepth {
		return false
	}
	r.text = nil
	if top.count == nil {
		top.count = make(map[string]int)
	}
	top.children = true
	name := string(local(r.name))
	top.count[name]++
	r.path = append(append(r.path, '/'), name...)
	if n := top.count[name]; n > 1 {
		r.path = appendPosition(r.path, n)
	}
	r.stack = append(r.stack, level{raw: r.name, path: len(r.path)})
	return true
}

// leave closes the innermost element, which is a leaf if it had no child.
func (r *leafReader) leave() bool {
	top := r.stack[len(r.stack)-1]
	if string(top.raw) != string(r.name) {
		return false
	}
	if top.children {
		if !blank(r.text) {
			return false
		}
	} else {
		value, ok := decode(r.text)
		if !ok {
			return false
		}
		r.doc.Leaves = append(r.doc.Leaves, Leaf{Path: string(r.path), Value: string(value)})
	}
	r.text = nil
	r.stack = r.stack[:len(r.stack)-1]
	if len(r.stack) > 0 {
		r.path = r.path[:r.stack[len(r.stack)-1].path]
	}
	return true
}

// appendPosition appends [n].
func appendPosition(to []byte, n int) []byte {
	return append(strconv.AppendInt(append(to, '['), int64(n), 10), ']')
}

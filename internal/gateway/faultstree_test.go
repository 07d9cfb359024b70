package gateway_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sinbahub/sinbahub/internal/contract"
)

// element is one of a document to be broken: its content is elements or a text, both raw.
type element struct {
	name, attrs string
	text        string
	kids        []*element
	parent      *element
}

// parseDocument reads one of this project's own documents.
func parseDocument(document []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(document))
	top := &element{}
	at := top
	for {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, parent: at}
			for _, a := range t.Attr {
				name := a.Name.Local
				if a.Name.Space == "xmlns" && a.Value == contract.Namespace {
					name = "xmlns" // names are kept without their prefix
				} else if a.Name.Space != "" {
					name = a.Name.Space + ":" + name
				}
				e.attrs += " " + name + `="` + a.Value + `"`
			}
			at.kids = append(at.kids, e)
			at = e
		case xml.EndElement:
			at = at.parent
		case xml.CharData:
			at.text += escaped(string(t))
		}
	}
	if len(top.kids) != 1 {
		return nil, fmt.Errorf("a document with %d roots", len(top.kids))
	}
	top.kids[0].clean()
	return top.kids[0], nil
}

// clean takes away the white space between elements.
func (e *element) clean() {
	if len(e.kids) > 0 {
		e.text = ""
	}
	for _, k := range e.kids {
		k.clean()
	}
}

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", "\r", "&#13;").Replace(s)
}

func (e *element) String() string {
	var b strings.Builder
	e.write(&b)
	return b.String()
}

// write puts the text before the children.
func (e *element) write(b *strings.Builder) {
	if e.name == "" {
		b.WriteString(e.text) // raw
		return
	}
	b.WriteString("<" + e.name + e.attrs + ">" + e.text)
	for _, k := range e.kids {
		k.write(b)
	}
	b.WriteString("</" + strings.Fields(e.name)[0] + ">")
}

// find gives the element of a path below the root; positions from 1 stand as [n].
func (e *element) find(path string) (*element, error) {
	at := e
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if step == "" {
			continue
		}
		name, number, _ := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		want, err := strconv.Atoi(number)
		if err != nil {
			want = 1
		}
		var next *element
		for _, k := range at.kids {
			if k.name == name {
				if want--; want == 0 {
					next = k
				}
			}
		}
		if next == nil {
			return nil, fmt.Errorf("no %s in %s", step, path)
		}
		at = next
	}
	return at, nil
}

// index is where the element stands among its siblings.
func (e *element) index() int {
	for i, k := range e.parent.kids {
		if k == e {
			return i
		}
	}
	return -1
}

func (e *element) clone(parent *element) *element {
	c := &element{name: e.name, attrs: e.attrs, text: e.text, parent: parent}
	for _, k := range e.kids {
		c.kids = append(c.kids, k.clone(c))
	}
	return c
}

// path is made of names and positions from 2, the root's name first, as an answer tells it.
func (e *element) path() string {
	if e.parent == nil || e.parent.name == "" {
		return "/" + e.name
	}
	n := 0
	for _, k := range e.parent.kids[:e.index()+1] {
		if k.name == e.name {
			n++
		}
	}
	if n > 1 {
		return e.parent.path() + "/" + e.name + "[" + strconv.Itoa(n) + "]"
	}
	return e.parent.path() + "/" + e.name
}

// leaves are the elements without children.
func (e *element) leaves() []*element {
	if len(e.kids) == 0 {
		return []*element{e}
	}
	var all []*element
	for _, k := range e.kids {
		all = append(all, k.leaves()...)
	}
	return all
}

// edit changes the document by one line of a case (testdata/faults/README.md).
func (e *element) edit(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	path, argument, _ := strings.Cut(rest, " ")
	if strings.HasPrefix(argument, `"`) {
		var err error
		if argument, err = strconv.Unquote(argument); err != nil {
			return fmt.Errorf("argument of %s: %w", line, err)
		}
	}
	at, err := e.find(path)
	if err != nil {
		return err
	}
	return at.change(verb, argument)
}

// change does what a verb says.
func (e *element) change(verb, argument string) error {
	var siblings []*element
	i := -1
	if e.parent != nil {
		siblings, i = e.parent.kids, e.index()
	}
	switch verb {
	case "set":
		e.text, e.kids = escaped(argument), nil
	case "raw":
		e.text, e.kids = argument, nil
	case "within":
		e.text = argument + e.text
	case "after":
		e.text += argument
	case "drop":
		e.parent.kids = slices.Delete(siblings, i, i+1)
	case "double":
		e.parent.kids = slices.Insert(siblings, i+1, e.clone(e.parent))
	case "repeat":
		n, err := strconv.Atoi(argument)
		for ; err == nil && n > 1; n-- {
			e.parent.kids = slices.Insert(e.parent.kids, i+1, e.clone(e.parent))
		}
		return err
	case "swap":
		other := i + 1
		if other == len(siblings) {
			other = i - 1
		}
		if other < 0 {
			return fmt.Errorf("%s has no sibling", e.name)
		}
		siblings[i], siblings[other] = siblings[other], siblings[i]
	case "before":
		e.parent.kids = slices.Insert(siblings, i, &element{text: argument, parent: e.parent})
	case "attribute":
		e.attrs += " " + argument
	case "rename":
		e.name = argument
	default:
		return fmt.Errorf("unknown verb %s", verb)
	}
	return nil
}

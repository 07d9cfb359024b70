package xmlschema

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
)

// ErrFiles is returned for schema files that are missing or cannot be read.
var ErrFiles = errors.New("schema files missing or unreadable")

// schemaNamespace is the namespace of XML Schema itself.
const schemaNamespace = "http://www.w3.org/2001/XMLSchema"

// Names are the names a schema gives to elements and attributes: the only ones that are
// repeated to a sender, because a stranger's own could be anything, a child's name included.
type Names struct {
	// Namespace is the schema's target namespace.
	Namespace string
	// Lot says which documents are lots; zero for none. It is not read from the schema.
	Lot Lot

	elements, attributes, globals map[string]string

	// What may stand where (model.go), by names.
	roots     map[string]modelElement
	complexes map[string]*complexType
	simples   map[string]*Simple
}

// Global tells whether the schema declares an element of that name at its top, so that a
// document may have it as its root.
func (n Names) Global(name string) bool { return n.globals[name] != "" }

// LotKnown tells whether the names of Lot are the schema's, or there is none.
func (n Names) LotKnown() bool {
	return n.Lot == Lot{} || n.Global(n.Lot.Root) && n.elements[n.Lot.Item] != "" && n.Global(n.Lot.As)
}

// element gives the schema's own copy of the name, "" if it has none.
func (n Names) element(name []byte) string { return n.elements[string(name)] }

// attribute gives the schema's own copy of "@name", "" if it has none.
func (n Names) attribute(name []byte) string { return n.attributes[string(name)] }

// ReadNames reads the names of the schema main and of what it includes from the files. These
// are the hub's own bytes, for which encoding/xml is good enough; no foreign bytes come here.
func ReadNames(main string, files map[string][]byte) (Names, error) {
	n := Names{
		elements: map[string]string{}, attributes: map[string]string{}, globals: map[string]string{},
		roots: map[string]modelElement{}, complexes: map[string]*complexType{}, simples: map[string]*Simple{},
	}
	seen := map[string]bool{}
	todo := []string{main}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		content, ok := files[name]
		if !ok {
			return Names{}, ErrFiles
		}
		more, err := n.read(content)
		if err != nil {
			return Names{}, err
		}
		n.readModel(content)
		if name == main {
			n.Namespace = more.namespace
		}
		for _, location := range more.locations {
			todo = append(todo, path.Join(path.Dir(name), location))
		}
	}
	return n, nil
}

// head is what a schema file says of itself and of others.
type head struct {
	namespace string
	locations []string // of the files it includes or imports
}

// read takes the names of one file.
func (n Names) read(content []byte) (h head, err error) {
	d := xml.NewDecoder(bytes.NewReader(content))
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return head{}, ErrFiles
		}
		switch t := token.(type) {
		case xml.StartElement:
			n.take(t, depth, &h)
			depth++
		case xml.EndElement:
			depth--
		}
	}
}

// take reads one element of a schema file: depth 0 is xs:schema, 1 what stands at its top.
func (n Names) take(t xml.StartElement, depth int, h *head) {
	if t.Name.Space != schemaNamespace {
		return // documentation may hold any markup
	}
	name := attributeOf(t, "name")
	switch t.Name.Local {
	case "schema":
		h.namespace = attributeOf(t, "targetNamespace")
	case "include", "import", "redefine":
		if location := attributeOf(t, "schemaLocation"); location != "" {
			h.locations = append(h.locations, location)
		}
	case "element":
		if name != "" {
			n.elements[name] = name
		}
		if name != "" && depth == 1 {
			n.globals[name] = name
		}
	case "attribute":
		if name != "" {
			n.attributes["@"+name] = "@" + name
		}
	}
}

func attributeOf(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

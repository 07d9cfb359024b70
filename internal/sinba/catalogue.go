package sinba

import (
	_ "embed"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // months are those of Europe/Rome, on machines without a zone database too
)

// leafTable is contract/foglie.tsv, mapping version 1.
//
//go:embed foglie.tsv
var leafTable []byte

// messageType is the complex type of an event (InviaEventoRichiesta, VerificaEventoRichiesta and
// the Evento of a lot).
const messageType = "MessaggioEventoType"

// Catalogue knows every element of an event: where it may stand, how its values compare, and what
// becomes of it in the regional and the national event. It is built once by Load, is never changed
// and serves any number of goroutines.
type Catalogue struct {
	schema *schema
	// nodes is the tree of the message; nodes[0] is its root, whatever the root's name.
	nodes []node
	// leaves are the indexes of all leaves in the schema's order, attributes last.
	leaves []int16
	at     places
	// roles has the role of each node.
	roles []role
	// traits has what the rules look for of each of nodes, close together.
	traits []trait
	// takes says what Facts takes from each of nodes.
	takes []take
	// items tells of each of nodes whether it is an item of Facts.
	items []bool
	ref   *reference
	rules []Rule
	rome  *time.Location
}

// node is one element of the message type at one place of the tree, or an attribute of the root.
type node struct {
	name string
	// path is made of local names from below the root: /Testata/IdEvento; the root's is empty.
	path     string
	parent   int16
	children []int16
	// choice: only one of the children may stand.
	choice bool
	// regionalOnly: not in the event schema, written by Regional.
	regionalOnly bool
	least, most  int
	// complex is the type of a container, typ that of a leaf; exactly one of them is set.
	complex string
	typ     *simpleType

	regional, national Class
	// outputs are the names in the national event.
	outputs []string
	reason  string
	// list holds the values that a kept free code may have.
	list list
	// look is the dated list it is held against.
	look look
	// code: BR-20 looks at it. content: it enters the content form.
	code, content bool
	// rekeyKind separates ids of different things under re-keying.
	rekeyKind string
	// The tags of the regional event, and those of the national one for outputs[0].
	open, close, nationalOpen, nationalClose string
}

// LeafInfo is a row of the leaf table with what the schema says about it.
type LeafInfo struct {
	// Path is made of local names from below the root; /@versione is the root's attribute.
	Path string
	// Type is the name of the simple type, Kind how its values compare: text, enumeration, uuid,
	// date, instant, int or decimal.
	Type, Kind string
	// Repeats tells whether the leaf or an element above it may stand more than once.
	Repeats bool
	// Optional tells whether the leaf or an element above it may be missing.
	Optional bool
	// Regional and National are the classes; Outputs the names in the national event.
	Regional, National Class
	Outputs            []string
	// Reason is the table's own.
	Reason string
}

// Load reads the event schema (xsd/sinba-eventi-v1.xsd), enumerates every leaf of an event and
// joins it with the leaf table. A leaf without a row, a row without a leaf, and a row that asks for
// something its type cannot give are errors naming the path; the hub must not start on one.
func Load(schemaFile []byte, ref Reference) (*Catalogue, error) {
	return LoadVersion(schemaFile, leafTable, ref)
}

// LoadVersion is Load for another version of the contract: its schema with its own leaf table. Any
// number of versions may stand beside each other.
func LoadVersion(schemaFile, table []byte, ref Reference) (*Catalogue, error) {
	parsed, err := parseSchema(schemaFile)
	if err != nil {
		return nil, err
	}
	compiled, err := ref.compile()
	if err != nil {
		return nil, err
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, &catalogueError{"time zone not found", "Europe/Rome"}
	}
	c := &Catalogue{schema: parsed, ref: compiled, rules: Rules(), rome: rome}
	root, known := parsed.complexes[messageType]
	if !known {
		return nil, &catalogueError{"complex type not found", messageType}
	}
	c.nodes = append(c.nodes, node{parent: -1, complex: messageType, least: 1, most: 1})
	if err := c.grow(0, root); err != nil {
		return nil, err
	}
	if err := c.attributes(root); err != nil {
		return nil, err
	}
	if err := c.locate(); err != nil {
		return nil, err
	}
	if err := c.assignTakes(); err != nil {
		return nil, err
	}
	return c.WithTable(table)
}

// WithTable gives the same catalogue with another leaf table (foglie.tsv), held against the schema
// as Load holds the embedded one.
func (c *Catalogue) WithTable(tsv []byte) (*Catalogue, error) {
	other := *c
	other.nodes = slices.Clone(c.nodes)
	if err := other.join(tsv); err != nil {
		return nil, err
	}
	other.traits = other.traitsOf()
	return &other, nil
}

// WithReference gives the same catalogue with other closed lists: the registry of participants
// changes while the hub runs, the schema does not.
func (c *Catalogue) WithReference(ref Reference) (*Catalogue, error) {
	compiled, err := ref.compile()
	if err != nil {
		return nil, err
	}
	other := *c
	other.ref = compiled
	return &other, nil
}

// ReferenceVersion names the dated lists that codes are held against, empty if there are none.
func (c *Catalogue) ReferenceVersion() string {
	if c.ref.data == nil {
		return ""
	}
	return c.ref.data.Version()
}

// Table lists every leaf of an event in the schema's order, attributes last.
func (c *Catalogue) Table() []LeafInfo {
	all := make([]LeafInfo, 0, len(c.leaves))
	for _, i := range c.leaves {
		n := &c.nodes[i]
		info := LeafInfo{
			Path: n.path, Type: n.typ.name, Kind: n.typ.kind.String(),
			Regional: n.regional, National: n.national, Outputs: slices.Clone(n.outputs), Reason: n.reason,
		}
		for up := i; up > 0; up = c.nodes[up].parent {
			info.Repeats = info.Repeats || c.nodes[up].most > 1
			info.Optional = info.Optional || c.nodes[up].least == 0 || c.nodes[c.nodes[up].parent].choice
		}
		all = append(all, info)
	}
	return all
}

// maxNodes keeps node indexes within int16, and ends a recursive type.
const maxNodes = 4096

// grow adds the children of nodes[at], whose type is t, depth first.
func (c *Catalogue) grow(at int16, t *xsdComplexType) error {
	elements, choice, err := t.model()
	if err != nil {
		return err
	}
	c.nodes[at].choice = choice
	for i := range elements {
		el := &elements[i]
		least, most, ok := el.occurs()
		if !ok {
			return &catalogueError{"occurrence not readable", t.Name + "/" + el.Name}
		}
		child, err := c.add(node{name: el.Name, parent: at, least: least, most: most})
		if err != nil {
			return err
		}
		c.nodes[at].children = append(c.nodes[at].children, child)
		if simple, ok := c.schema.simples[el.Type]; ok {
			c.nodes[child].typ = simple
			c.leaves = append(c.leaves, child)
			continue
		}
		inner, ok := c.schema.complexes[el.Type]
		if !ok {
			return &catalogueError{"element of an unknown type", t.Name + "/" + el.Name}
		}
		if len(inner.Attributes) > 0 {
			return &catalogueError{"attributes below the root", inner.Name}
		}
		c.nodes[child].complex = inner.Name
		if err := c.grow(child, inner); err != nil {
			return err
		}
	}
	return nil
}

// attributes adds the root's attributes as leaves named @name.
func (c *Catalogue) attributes(root *xsdComplexType) error {
	for _, a := range root.Attributes {
		simple, ok := c.schema.simples[a.Type]
		if !ok {
			return &catalogueError{"attribute of an unknown type", a.Name}
		}
		least := 0
		if a.Use == "required" {
			least = 1
		}
		at, err := c.add(node{name: "@" + a.Name, parent: 0, least: least, most: 1, typ: simple})
		if err != nil {
			return err
		}
		c.leaves = append(c.leaves, at)
	}
	return nil
}

// add appends a node and completes what follows from its name and place.
func (c *Catalogue) add(n node) (int16, error) {
	at := len(c.nodes)
	if at >= maxNodes {
		return 0, &catalogueError{"event schema too large or recursive", n.name}
	}
	n.path = c.nodes[n.parent].path + "/" + n.name
	n.open, n.close = "<"+n.name+">", "</"+n.name+">"
	c.nodes = append(c.nodes, n)
	return int16(at), nil
}

// join gives every leaf its row of the table and checks that both cover each other.
func (c *Catalogue) join(table []byte) error {
	rows, err := parseTable(table)
	if err != nil {
		return err
	}
	for _, i := range c.leaves {
		n := &c.nodes[i]
		row, ok := rows[n.path]
		if !ok {
			return &catalogueError{"leaf of the schema without a row in foglie.tsv", n.path}
		}
		delete(rows, n.path)
		n.regional, n.national, n.outputs, n.reason = row.regional, row.national, row.outputs, row.reason
		if err := n.decide(); err != nil {
			return err
		}
	}
	if len(rows) > 0 {
		left := make([]string, 0, len(rows))
		for path := range rows {
			left = append(left, path)
		}
		return &catalogueError{"row of foglie.tsv without a leaf in the schema", slices.Min(left)}
	}
	return nil
}

// decide checks that the leaf's type can give what its row asks for and derives how the leaf is
// treated.
func (n *node) decide() error {
	if !pairAllowed(n.regional, n.national) {
		return &catalogueError{"classes of foglie.tsv that do not go together", n.path}
	}
	if n.locates() {
		return &catalogueError{"leaf that could locate a protected child, and leaves", n.path}
	}
	k := n.typ.kind
	months := n.regional == ClassMonth || n.national == ClassMonth
	if months && k != kindDate && k != kindInstant {
		return &catalogueError{"month of what is neither a date nor an instant", n.path}
	}
	if n.regional == ClassMonth && k != kindDate {
		return &catalogueError{"year and band of what is not a date", n.path}
	}
	if n.regional == ClassRegion && n.typ.name != "CodiceIstatComuneType" {
		return &catalogueError{"region of what is no municipality", n.path}
	}
	if n.national == ClassGroup && n.typ.name != "CodiceNazioneType" {
		return &catalogueError{"group of what is no nation", n.path}
	}
	want := 1
	switch n.national {
	case ClassDrop:
		want = 0
	case ClassYearBand:
		want = 2
	case ClassKeep, ClassPseudonym, ClassRekey, ClassMonth, ClassRegion, ClassGroup, ClassRoute:
	}
	if len(n.outputs) != want {
		return &catalogueError{"wrong number of national names in foglie.tsv", n.path}
	}
	n.list = listNone
	if n.regional == ClassKeep && k == kindText {
		if n.list = listOf(n.name, n.typ.name); n.list == listNone {
			return &catalogueError{"kept free code without a closed list", n.path}
		}
	}
	if want > 0 {
		n.nationalOpen, n.nationalClose = "<"+n.outputs[0]+">", "</"+n.outputs[0]+">"
	}
	n.rekeyKind = n.name
	if n.name == "IdEventoRiferito" {
		n.rekeyKind = "IdEvento" // a reference must still meet the event it names
	}
	n.code = isCode(n)
	n.look = lookOf(n)
	n.content = inContent(n.path)
	return nil
}

// pairAllowed tells whether the classes of the two columns go together: what was dropped from the
// regional event cannot be in the national one, and a re-keyed id is never clear again.
func pairAllowed(regional, national Class) bool {
	switch regional {
	case ClassKeep:
		switch national {
		case ClassKeep, ClassDrop, ClassRekey, ClassMonth, ClassGroup, ClassRoute:
			return true
		case ClassPseudonym, ClassYearBand, ClassRegion:
		}
	case ClassMonth:
		return national == ClassYearBand
	case ClassDrop, ClassPseudonym, ClassRekey, ClassRegion:
		return regional == national
	case ClassYearBand, ClassGroup, ClassRoute:
	}
	return false
}

// isCode tells whether BR-20 looks at a leaf: every code and text a vendor fills freely, but not
// the leaves whose business is to say who the child is.
func isCode(n *node) bool {
	if n.typ.kind != kindText || strings.HasPrefix(n.path, "/Soggetto/Anagrafica/") {
		return false
	}
	return n.typ.name == "CodiceLocaleType" || n.typ.name == "CodicePrestazioneType" ||
		strings.HasPrefix(n.typ.name, "Testo")
}

// tableRow is one row of foglie.tsv.
type tableRow struct {
	regional, national Class
	outputs            []string
	reason             string
}

// tableHeader is the first line of foglie.tsv.
const tableHeader = "foglia\tregionale\tnazionale\tuscita_nazionale\tmotivo"

// parseTable reads foglie.tsv into rows by path.
func parseTable(tsv []byte) (map[string]tableRow, error) {
	lines := strings.Split(strings.TrimSuffix(string(tsv), "\n"), "\n")
	if lines[0] != tableHeader {
		return nil, &catalogueError{"foglie.tsv without its header", "line 1"}
	}
	rows := make(map[string]tableRow, len(lines)-1)
	for _, line := range lines[1:] {
		f := strings.Split(strings.TrimSuffix(line, "\r"), "\t")
		if len(f) != 5 {
			return nil, &catalogueError{"row of foglie.tsv without five columns", f[0]}
		}
		if _, twice := rows[f[0]]; twice {
			return nil, &catalogueError{"two rows of foglie.tsv for one leaf", f[0]}
		}
		row := tableRow{regional: Class(f[1]), national: Class(f[2]), reason: f[4]}
		if f[3] != "" {
			row.outputs = strings.Split(f[3], ", ")
		}
		rows[f[0]] = row
	}
	return rows, nil
}

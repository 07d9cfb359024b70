package hub

import (
	"fmt"
	"io"
)

// redacted is what every printer, logger and encoder sees of a sensitive value.
const redacted = "[redacted]"

// Identifier is a value that says who a child is: a code, a name, a local id. It prints as a
// placeholder in every verb and encoding, also inside other structs, because the text sits
// behind a pointer (a plain string type leaks through unexported fields under %v). Two identifiers
// cannot be compared by ==, which would compare the pointers: use Equal. Nothing remembers the text
// once the last of them is gone.
type Identifier struct {
	_    [0]func()
	text *string
}

// NewIdentifier wraps s.
func NewIdentifier(s string) Identifier { return Identifier{text: &s} }

// Reveal gives the text. Call it only to hash, seal or check the value; never to print it.
func (i Identifier) Reveal() string {
	if i.IsZero() {
		return ""
	}
	return *i.text
}

// IsZero tells whether nothing was wrapped.
func (i Identifier) IsZero() bool { return i.text == nil }

// Equal tells whether both wrap the same text, or neither any.
func (i Identifier) Equal(other Identifier) bool {
	return i.IsZero() == other.IsZero() && i.Reveal() == other.Reveal()
}

// Format prints a placeholder for every verb and flag.
func (Identifier) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String gives a placeholder.
func (Identifier) String() string { return redacted }

// MarshalText gives a placeholder, which also covers JSON and YAML.
func (Identifier) MarshalText() ([]byte, error) { return []byte(redacted), nil }

package config

import (
	"fmt"
	"io"
	"unique"

	"go.yaml.in/yaml/v3"
)

// Secret is a setting that must not be seen, such as a database URL with its password. It
// prints as a placeholder in every verb and encoding.
type Secret struct{ handle unique.Handle[string] }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{unique.Make(s)} }

// Reveal gives the text.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.handle.Value()
}

// IsZero tells whether nothing was set.
func (s Secret) IsZero() bool { return s == Secret{} || s.handle.Value() == "" }

// Format prints a placeholder for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// String gives a placeholder.
func (Secret) String() string { return "[secret]" }

// MarshalText gives a placeholder, which also covers JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// UnmarshalYAML reads the text.
func (s *Secret) UnmarshalYAML(node *yaml.Node) error {
	var text string
	if err := node.Decode(&text); err != nil {
		return errSecret
	}
	*s = NewSecret(text)
	return nil
}

package pseudonym

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
)

// redacted is what every printer, logger and encoder sees of a key, a secret or an identity.
const redacted = "[redacted]"

// secretSize is the length of every key and secret here: 256 bits.
const secretSize = 32

// Secret is 32 bytes that nobody may print. They sit behind a pointer: as an unexported field
// of another struct a plain array would show under %v, which never asks it for its Format.
type Secret struct{ bytes *[secretSize]byte }

// newSecret draws a secret. crypto/rand never fails on this platform.
func newSecret() Secret {
	s := Secret{new([secretSize]byte)}
	_, _ = rand.Read(s.bytes[:])
	return s
}

// secretOf copies b; ok is false if its length is not a secret's.
func secretOf(b []byte) (s Secret, ok bool) {
	if len(b) != secretSize {
		return Secret{}, false
	}
	s.bytes = new([secretSize]byte)
	copy(s.bytes[:], b)
	return s, true
}

// reveal gives the bytes themselves, to compute with and never to keep.
func (s Secret) reveal() []byte {
	if s.bytes == nil {
		return nil
	}
	return s.bytes[:]
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.bytes == nil }

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare(s.reveal(), other.reveal()) == 1
}

// Format prints a placeholder for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String gives a placeholder.
func (Secret) String() string { return redacted }

// MarshalText gives a placeholder, which also covers JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

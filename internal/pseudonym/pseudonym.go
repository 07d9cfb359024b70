// Package pseudonym replaces identities by codes and seals what must not be read.
//
// An identity (a codice fiscale, say) is known to the rest of the hub only by its link index, a
// keyed hash. The vault maps that to a subject: a random id and a random 32-byte secret. Every
// code that leaves derives from the subject's id under a key of the recipient's domain and of a
// recorded epoch, never from the identity: a corrected codice fiscale changes no code, and two
// recipients cannot join theirs. What the hub must keep but not read (messages, identities) is
// sealed: a message key comes from the epoch key of the current ten minutes and from the
// subject's secret; the epoch key itself is stored only sealed to the opener's public key
// (RFC 9180, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) and then forgotten. So who
// takes the database reads nothing, who takes this process reads at most the current ten
// minutes, and once a subject's secret is destroyed nobody reads what was sealed for it.
//
// The way of one event: Keys.LinkIndex names the identity, Vault.Reserve gives its subject (for an unknown
// one a new one, pending), Keys.Codes makes the codes, Sealer.Seal seals; after the acceptance
// Vault.Confirm makes the subject stay. Vault.Sweep removes what was reserved for events that never came.
//
// Primitives: HMAC-SHA-256 (RFC 2104) in keysets of Tink, HKDF-SHA-256 (RFC 5869), AES-256-GCM
// (NIST SP 800-38D), base32 (RFC 4648). Nothing here puts a value of a message, or a text that
// PostgreSQL made of one, into an error.
package pseudonym

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// separator stands between the parts of a canonical identity. XML 1.0 cannot carry it, so no
// value that came in a message holds one.
const separator = "\x1f"

// localKind is the kind of an identity that is known to one ente only (NonIdentificato).
const localKind = "NI"

// ErrNoSubject is returned when the vault does not hold a subject (any more).
var ErrNoSubject = errors.New("vault: no such subject")

// ErrSplit is returned by Confirm when the link of the confirmed subject is lost or points to
// another subject: two subjects may now stand for one person, which the privacy officer must
// know.
var ErrSplit = errors.New("vault: the link does not point to the confirmed subject")

// Identity is who an event is about, as the link index and the sealed copy know it. It prints
// as a placeholder.
type Identity struct {
	kind  string
	ente  string
	value hub.Identifier
}

// NewIdentity is the identity of an official identifier: kind is CF, CFP, STP or ENI (the words
// of the event's reader). The value is trimmed and put in capitals, ASCII only, and otherwise
// kept as written: an omocode is another person's code and never folded.
func NewIdentity(kind string, value hub.Identifier) Identity {
	return Identity{kind: kind, value: hub.NewIdentifier(canonical(value.Reveal()))}
}

// NewLocalIdentity is the identity of a person without an official identifier
// (NonIdentificato): known by the ente's code and its local id, at this ente only.
func NewLocalIdentity(enteCode string, localID hub.Identifier) Identity {
	return Identity{kind: localKind, ente: enteCode, value: localID}
}

// canonical trims blanks and puts a-z in capitals. Bytes above ASCII stay: no look-alike letter
// may become a Latin one.
func canonical(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, strings.Trim(s, " \t\r\n"))
}

// Bytes is the canonical form, type ‖ 0x1F ‖ value: what the link index is made of and what is
// sealed as the way back. For a local identity the value is the ente's code with its length,
// then the local id, so that no pair can be read in two ways.
func (i Identity) Bytes() []byte {
	if i.kind == localKind {
		return append([]byte(localKind+separator), frame(i.ente, i.value.Reveal())...)
	}
	return []byte(i.kind + separator + i.value.Reveal())
}

// Format prints a placeholder for every verb and flag.
func (Identity) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (Identity) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LinkIndex stands for an identity in the vault: keyed hashes that only Keys can make, one for each
// key of the link index that was held then, in the order of their epochs.
type LinkIndex struct{ of [mostLinkKeys]linkSum }

// linkSum is the hash under one key; epoch 0 says that there is none.
type linkSum struct {
	epoch int32
	sum   [32]byte
}

// Sum is the hash under the key of an epoch.
func (l LinkIndex) Sum(epoch int32) (sum [32]byte, ok bool) {
	for _, s := range l.of {
		if s.epoch == epoch && epoch != 0 {
			return s.sum, true
		}
	}
	return sum, false
}

// Format prints a placeholder for every verb and flag: who has the keys could compare.
func (LinkIndex) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Subject is a person as the vault knows it: a random id from which codes derive, and a secret
// on which everything sealed for the person depends. It prints as a placeholder.
type Subject struct {
	// ID is 128 random bits, made at first sight.
	ID uuid.UUID
	// Pending tells that the vault holds it without a confirmed event: a sweep may take it away ten minutes after
	// it was last reserved.
	Pending bool

	secret Secret
	// link and identity are kept so that Confirm can restore a subject swept too early.
	link     LinkIndex
	identity []byte
}

// NewSubject makes a subject that only this process knows.
func NewSubject() Subject {
	return Subject{ID: uuid.New(), secret: newSecret()}
}

// Secret is what sealing and salts depend on.
func (s Subject) Secret() Secret { return s.secret }

// Format prints a placeholder for every verb and flag.
func (Subject) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (Subject) MarshalText() ([]byte, error) { return []byte(redacted), nil }

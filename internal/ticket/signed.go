package ticket

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Why a ticket does not allow anything here.
var (
	ErrUnsigned   = errors.New("the ticket lacks a signature: one person requests (`ticket sign`), another one approves (`ticket approve`)")
	ErrSigned     = errors.New("the ticket has this signature already, or both that it needs")
	ErrSignature  = errors.New("the requester's signature, the first one, is not that person's over this text: the ticket was changed, or the key is another one")
	ErrApproval   = errors.New("the approver's signature, the second one, is not that person's over this text: the ticket was changed after the request, or the key is another one")
	ErrPerson     = errors.New("a signature is of somebody who is not registered, was retired, or is not trusted by the opener")
	ErrSamePerson = errors.New("one person alone signed: the request and the approval must be two persons', with a key each")
	ErrRole       = errors.New("a person who signed has no role that may do so for this purpose")
	ErrRequester  = errors.New("the first signature must be the requester's, whom the ticket names")
	ErrUsed       = errors.New("the ticket was used: each is good for one use, and a use that was interrupted is one")
	ErrRevoked    = errors.New("the ticket was revoked")
	ErrExpired    = errors.New("the ticket has expired, or was revoked in its course, or one of its people was retired")
	ErrEarly      = errors.New("the ticket does not hold yet: see its not-before")
	ErrHub        = errors.New("the ticket is for another hub or environment")
)

// Role is what a person is at this hub.
type Role string

// The roles.
const (
	Operator       Role = "operator"
	Auditor        Role = "auditor"
	PrivacyOfficer Role = "privacy-officer"
)

// Roles are all of them.
func Roles() []Role { return []Role{Operator, Auditor, PrivacyOfficer} }

// mayRequest are the roles whose request for a purpose counts.
func mayRequest(p Purpose) []Role {
	switch p {
	case Open, Reidentify:
		return []Role{Operator, Auditor, PrivacyOfficer}
	case Replay:
		return []Role{Operator, Auditor}
	case Rotate, Reseal:
		return []Role{Operator}
	case Erase, Report, Unjoin:
		return []Role{Operator, PrivacyOfficer}
	}
	return nil
}

// mayApprove are the roles whose approval counts: never an operator's, and for what touches one child's
// identity only a privacy officer's.
func mayApprove(p Purpose) []Role {
	switch p {
	case Open, Replay, Rotate, Reseal:
		return []Role{Auditor, PrivacyOfficer}
	case Reidentify, Erase, Report, Unjoin:
		return []Role{PrivacyOfficer}
	}
	return nil
}

// Person is who may sign.
type Person struct {
	// Name is a short name, and nobody else's ever.
	Name string
	// Roles are at least one.
	Roles []Role
	// Key is the person's alone.
	Key ed25519.PublicKey
}

// has tells whether a person has one of the roles.
func (p Person) has(roles []Role) bool {
	return slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// Signature is a line below a ticket.
type Signature struct {
	// Name is the person's.
	Name string
	// ID are the four bytes by which C2SP signed-note tells keys of one name apart.
	ID [4]byte
	// Bytes are the Ed25519 signature over the text.
	Bytes [ed25519.SignatureSize]byte
}

// Signed is a ticket with the signatures that it has so far: none, the requester's, and the approver's
// below it.
type Signed struct {
	Ticket

	Signatures []Signature
}

// dash begins a line of a signature (C2SP signed-note).
const dash = "\u2014 "

// line is the signature as it stands below what it signs.
func (g Signature) line() string {
	return dash + g.Name + " " + base64.StdEncoding.EncodeToString(slices.Concat(g.ID[:], g.Bytes[:])) + "\n"
}

// parseLine reads what line wrote, and more: who reads writes it again and compares.
func parseLine(line string) (g Signature, ok bool) {
	name, coded, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, dash), "\n"), " ")
	raw, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(raw) != len(g.ID)+ed25519.SignatureSize || !GoodName(name) {
		return g, false
	}
	g.Name = name
	copy(g.ID[:], raw)
	copy(g.Bytes[:], raw[len(g.ID):])
	return g, true
}

// good tells whether it is a person's own over a text.
func (g Signature) good(p Person, text string) bool {
	return g.Name == p.Name && len(p.Key) == ed25519.PublicKeySize && !weak(p.Key) && keyID(p.Name, p.Key) == g.ID &&
		ed25519.Verify(p.Key, []byte(text), g.Bytes[:])
}

// mostSignatures is how many a ticket needs, and may have.
const mostSignatures = 2

// Bytes is the whole file.
func (s Signed) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(s.Text() + "\n")
	for _, g := range s.Signatures {
		b.WriteString(g.line())
	}
	return b.Bytes()
}

// Digest is the SHA-256 of the whole file: the journal's Commitment of what the ticket allowed.
func (s Signed) Digest() [32]byte { return sha256.Sum256(s.Bytes()) }

// Parse reads what Bytes wrote, and nothing else. It says nothing of whether the signatures are good.
func Parse(file []byte) (Signed, error) {
	if len(file) > mostTicket {
		return Signed{}, ErrFormat
	}
	at := bytes.Index(file, []byte("\n\n"))
	if at < 0 {
		return Signed{}, ErrFormat
	}
	t, err := parseText(file[:at+1])
	if err != nil {
		return Signed{}, err
	}
	s := Signed{Ticket: t}
	for line := range strings.Lines(string(file[at+2:])) {
		g, ok := parseLine(line)
		if !ok || len(s.Signatures) == mostSignatures {
			return Signed{}, ErrFormat
		}
		s.Signatures = append(s.Signatures, g)
	}
	// Times, ids, the last bits of base64 and the end of a line can be written in several ways.
	if !bytes.Equal(s.Bytes(), file) {
		return Signed{}, ErrFormat
	}
	return s, nil
}

// keyID is how C2SP signed-note names an Ed25519 key of a name.
func keyID(name string, key ed25519.PublicKey) (id [4]byte) {
	const algorithm = 1
	sum := sha256.Sum256(slices.Concat([]byte(name+"\n"), []byte{algorithm}, key))
	copy(id[:], sum[:])
	return id
}

// Sign adds a person's signature. The requester's comes first.
func (s Signed) Sign(name string, key ed25519.PrivateKey) (Signed, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	switch {
	case !ok || !GoodName(name):
		return s, ErrKey
	case len(s.Signatures) == 0 && name != s.Requester:
		return s, ErrRequester
	case len(s.Signatures) == mostSignatures:
		return s, ErrSigned
	}
	for _, g := range s.Signatures {
		if g.Name == name || g.ID == keyID(g.Name, public) {
			return s, ErrSamePerson
		}
	}
	g := Signature{Name: name, ID: keyID(name, public)}
	copy(g.Bytes[:], ed25519.Sign(key, []byte(s.Text())))
	s.Signatures = append(slices.Clone(s.Signatures), g)
	return s, nil
}

// Verify checks everything but the time and that the ticket was not used: it is for this hub, the request
// and the approval are good signatures of two persons with two keys, and both have a role that suits. The
// persons are those that may sign now.
func (s Signed) Verify(origin string, env hub.Environment, persons []Person) error {
	if err := s.Check(); err != nil {
		return err
	}
	switch {
	case s.Hub != origin || s.Environment != env:
		return ErrHub
	case len(s.Signatures) != mostSignatures:
		return ErrUnsigned
	case s.Signatures[0].Name != s.Requester:
		return ErrRequester
	}
	var signed [mostSignatures]Person
	for i, g := range s.Signatures {
		at := slices.IndexFunc(persons, func(p Person) bool { return p.Name == g.Name })
		if at < 0 {
			return ErrPerson
		}
		signed[i] = persons[at]
		if !g.good(signed[i], s.Text()) {
			return [...]error{ErrSignature, ErrApproval}[i]
		}
	}
	switch requester, approver := signed[0], signed[1]; {
	case requester.Name == approver.Name || requester.Key.Equal(approver.Key):
		return ErrSamePerson
	case !requester.has(mayRequest(s.Purpose)) || !approver.has(mayApprove(s.Purpose)):
		return ErrRole
	}
	return nil
}

// Approver is who approved; the empty name if nobody did.
func (s Signed) Approver() string {
	if len(s.Signatures) < mostSignatures {
		return ""
	}
	return s.Signatures[1].Name
}

package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// codeLength is the length of every code and re-keyed id: 20 characters of 5 bits, of which the
// national schema allows no more (IDBeneficiario). Below 80 bits guessing would begin.
const codeLength = 20

// Domain is a recipient of codes. Two domains never share a key.
type Domain string

// The domains of this version.
const (
	// Region is the hub's own store: the regional event.
	Region Domain = "region"
	// Nation is SISS: the national event.
	Nation Domain = "nation"
)

// ErrUnknownEpoch is returned when no key of that domain and epoch was loaded.
var ErrUnknownEpoch = errors.New("keys: unknown domain or epoch")

// LinkIndex stands for an identity in the vault: HMAC(K_link, type ‖ 0x1F ‖ value) under each key
// of the link index that is held. A new canonical form would come with a new epoch of the key,
// which is stored beside each index.
func (k *Keys) LinkIndex(id Identity) LinkIndex {
	var index LinkIndex
	held := k.held.Load()
	text := id.Bytes()
	defer clear(text)
	for i, epoch := range held.linkEpochs {
		index.of[i] = linkSum{epoch, held.link[epoch].sum(text)}
	}
	return index
}

// CaseIndex stands for an ente's IdCartella, which is an identifier too.
func (k *Keys) CaseIndex(enteCode string, idCartella hub.Identifier) [32]byte {
	return k.held.Load().local.sumFrame("IdCartella", enteCode, idCartella.Reveal())
}

// LocalEpoch is the epoch of the key that makes CaseIndex.
func (k *Keys) LocalEpoch() int32 { return k.held.Load().localEpoch }

// ContentMAC compares the content of two messages with the same id (contract, "Duplicates").
func (k *Keys) ContentMAC(content []byte) [32]byte { return k.held.Load().content.sum(content) }

// cursorKey makes a key of its own for cursors: no file holds it, and no other purpose's sum is one
// of its.
func cursorKey(local macKey) macKey {
	derived := local.sumFrame("derive", "Cursore")
	return newMACKey(derived[:])
}

// CursorMAC proves that a cursor was given by this hub (riepilogoEventi). Each part goes with its
// length.
func (k *Keys) CursorMAC(parts ...string) [32]byte { return k.held.Load().cursor.sumFrame(parts...) }

// Epoch is the epoch under which a domain's codes are made now.
func (k *Keys) Epoch(d Domain) int32 { return k.held.Load().current[d] }

// Code is a subject's code for the recipients of a domain, 20 characters of [A-Z2-7]:
// base32(HMAC(K_domain and epoch, "v1|domain|subject")), cut.
func (k *Keys) Code(d Domain, epoch int32, subject uuid.UUID) (string, error) {
	codes, err := k.Codes(d, epoch, subject, uuid.Nil)
	if err != nil {
		return "", err
	}
	return codes.Pseudonym(), nil
}

// Rekey is the stand-in of a local id for the recipients of a domain, 20 characters of
// [A-Z2-7]: base32(HMAC(K_domain and epoch, "id" ‖ kind ‖ the case's random id ‖ value)), cut.
// Each part goes with its length. The case's random id keeps siblings, environments and the
// lives before and after an adoption from being joined through a local id.
func (k *Keys) Rekey(d Domain, epoch int32, kind string, caseID uuid.UUID, value string) (string, error) {
	codes, err := k.Codes(d, epoch, uuid.Nil, caseID)
	if err != nil {
		return "", err
	}
	return codes.Rekey(kind, value), nil
}

// Codes makes the codes of one subject and case for one domain and epoch. The gateway takes the
// Region's current epoch and records it; the delivery takes the Nation's recorded one.
type Codes struct {
	domain  Domain
	key     macKey
	subject uuid.UUID
	caseID  uuid.UUID
}

// Codes gives the maker of codes; ErrUnknownEpoch if that key was not loaded.
func (k *Keys) Codes(d Domain, epoch int32, subject, caseID uuid.UUID) (Codes, error) {
	key, ok := k.held.Load().codes[codeKey{d, epoch}]
	if !ok {
		return Codes{}, ErrUnknownEpoch
	}
	return Codes{domain: d, key: key, subject: subject, caseID: caseID}, nil
}

// Pseudonym is the subject's code (Keys.Code).
func (c Codes) Pseudonym() string {
	return short(c.key.sum([]byte("v1|" + string(c.domain) + "|" + c.subject.String())))
}

// Rekey is the stand-in of one local id of the case (Keys.Rekey).
func (c Codes) Rekey(kind, value string) string {
	return short(c.key.sumFrame("id", kind, string(c.caseID[:]), value))
}

// Format prints a placeholder for every verb and flag: a subject's id stands inside.
func (Codes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Commitment is the receipt's ImprontaMessaggio, SHA-256(salt ‖ content form).
func Commitment(salt [16]byte, content []byte) [32]byte {
	h := sha256.New()
	h.Write(salt[:])
	h.Write(content)
	return [32]byte(h.Sum(nil))
}

// saltKey makes a key of its own for salts: no file holds it, and no other purpose's sum is one of its.
func saltKey(local macKey) macKey {
	derived := local.sumFrame("derive", "SaleImpronta")
	return newMACKey(derived[:])
}

// Salt is the receipt's SaleImpronta: the first 16 bytes of HMAC(K, subject's secret ‖ IdRicevuta), each with
// its length. It dies with the secret. K keeps who has both databases, but no key, from trying codes against
// the commitment of an event of which all else is known.
func (k *Keys) Salt(secret Secret, receipt uuid.UUID) [16]byte {
	mac := k.held.Load().salt.sumFrame(string(secret.reveal()), string(receipt[:]))
	return [16]byte(mac[:16])
}

// SaltOf is the salt under which a commitment is of a content: Salt, or for receipts that were given before
// it had a key, the first 16 bytes of HMAC(subject's secret, IdRicevuta). It is Salt if neither is.
func (k *Keys) SaltOf(secret Secret, receipt uuid.UUID, content []byte, commitment [32]byte) [16]byte {
	salt := k.Salt(secret, receipt)
	if Commitment(salt, content) == commitment {
		return salt
	}
	h := hmac.New(sha256.New, secret.reveal())
	h.Write(receipt[:])
	if earlier := [16]byte(h.Sum(nil)); Commitment(earlier, content) == commitment {
		return earlier
	}
	return salt
}

// short is the text of a code.
func short(mac [32]byte) string {
	// Whole groups of five bytes, so that there is no padding.
	const groups = (codeLength + 7) / 8
	var text [groups * 8]byte
	base32.StdEncoding.Encode(text[:], mac[:groups*5])
	return string(text[:codeLength])
}

// frame joins parts so that no two lists give the same bytes: each with its length before it.
func frame(parts ...string) []byte {
	size := 0
	for _, p := range parts {
		size += 4 + len(p)
	}
	return appendFrame(make([]byte, 0, size), parts...)
}

// appendFrame appends what frame gives.
func appendFrame(b []byte, parts ...string) []byte {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // a part is a field of a message below 2 MiB
		b = append(b, p...)
	}
	return b
}

// macKey is one HMAC-SHA-256 key.
//
// An event takes some forty of these, so the key's two padded blocks are hashed once and not
// each time: a used hash, reset, starts from them. Tink's own PRF makes a new one for each call,
// which costs three times as much (BenchmarkCodes).
type macKey struct{ hashes *sync.Pool }

// macHash is one of a key's hashes, with the room it works in.
type macHash struct {
	hash hash.Hash
	text []byte
	out  [sha256.Size]byte
}

// newMACKey keeps key for as long as the process uses it.
func newMACKey(key []byte) macKey {
	return macKey{&sync.Pool{New: func() any { return &macHash{hash: hmac.New(sha256.New, key)} }}}
}

// sum is the whole HMAC.
func (m macKey) sum(data []byte) [32]byte {
	h := m.take()
	defer m.hashes.Put(h)
	return h.sum(data)
}

// sumFrame is the HMAC of what frame gives. The parts are identifiers, so the room is overwritten.
func (m macKey) sumFrame(parts ...string) [32]byte {
	h := m.take()
	defer m.hashes.Put(h)
	h.text = appendFrame(h.text[:0], parts...)
	defer clear(h.text)
	return h.sum(h.text)
}

func (m macKey) take() *macHash {
	h, ok := m.hashes.Get().(*macHash)
	if !ok {
		panic("pseudonym: the pool holds something else than hashes")
	}
	return h
}

func (h *macHash) sum(data []byte) [32]byte {
	h.hash.Reset()
	h.hash.Write(data)
	h.hash.Sum(h.out[:0])
	return h.out
}

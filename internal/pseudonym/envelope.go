package pseudonym

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// Kind is what was sealed. A number is never given another meaning.
type Kind uint8

// The kinds.
const (
	// SealedMessage is a message as received.
	SealedMessage Kind = 1
	// SealedIdentity is Identity.Bytes, the way back from a subject.
	SealedIdentity Kind = 2
	// SealedCase are an ente's local ids of a case and of its person.
	SealedCase Kind = 3
	// SealedOutbound is what was sent to a receiver, or came back.
	SealedOutbound Kind = 4
	// SealedOrigin is which subject and case an entry of the journal is about: their ids, 16 bytes each.
	SealedOrigin Kind = 5
)

// envelopeVersion begins everything sealed. Version 1 is
//
//	version u8 = 1 | kind u8 | packing u8 | n u8 | schema version, n bytes |
//	epoch id, 16 bytes | message id, 16 bytes | nonce, 12 bytes | ciphertext | tag, 16 bytes
//
// where everything up to the message id, then the environment (u8: 1 PROD, 2 TEST) and the
// subject's id (16 bytes), is the additional data of AES-256-GCM, and the key is
//
//	HKDF-SHA-256(ikm = epoch key, salt = subject's secret ‖ message id, info = keyInfo ‖ kind)
const envelopeVersion = 1

// keyInfo separates message keys from every other use of HKDF.
const keyInfo = "sinbahub/seal/v1/"

// maxSchema is the longest schema version a header can carry.
const maxSchema = 255

// ErrSealed is returned for everything that does not open: not an envelope, another subject,
// epoch, environment or secret, a changed bit. Which of them is not told.
var ErrSealed = errors.New("seal: does not open")

// Label says what is sealed. All of it is authenticated, none of it is secret.
type Label struct {
	// Kind of content.
	Kind Kind
	// Message is the id under which it is stored: IdRicevuta for a message.
	Message uuid.UUID
	// Schema is the version of the contract or form of the content, at most 255 bytes.
	Schema string
}

// Header is what an envelope says of itself before it is opened. Trust it only afterwards.
type Header struct {
	Label
	// Epoch is the id of the epoch key it was sealed under.
	Epoch uuid.UUID

	packing packing
	size    int
}

// Sealed is the result of Sealer.Seal.
type Sealed struct {
	// Epoch is the id of the epoch key, as in the header: recorded beside the bytes so that it
	// is known which epoch keys are still needed.
	Epoch uuid.UUID
	// Bytes is the whole envelope.
	Bytes []byte
}

// Digest is the SHA-256 of the envelope, which the journal keeps.
func (s Sealed) Digest() [32]byte { return sha256.Sum256(s.Bytes) }

// ParseHeader reads the beginning of an envelope.
func ParseHeader(envelope []byte) (Header, error) {
	const fixed = 4
	if len(envelope) < fixed || envelope[0] != envelopeVersion {
		return Header{}, ErrSealed
	}
	schema := int(envelope[3])
	h := Header{packing: packing(envelope[2]), size: fixed + schema + 32}
	if len(envelope) < h.size {
		return Header{}, ErrSealed
	}
	h.Kind = Kind(envelope[1])
	h.Schema = string(envelope[fixed : fixed+schema])
	h.Epoch = uuid.UUID(envelope[fixed+schema:])
	h.Message = uuid.UUID(envelope[fixed+schema+16:])
	return h, nil
}

// append writes the header after b.
func (h Header) append(b []byte) []byte {
	b = append(b, envelopeVersion, byte(h.Kind), byte(h.packing), byte(len(h.Schema))) //nolint:gosec // Seal bounds it
	b = append(b, h.Schema...)
	b = append(b, h.Epoch[:]...)
	return append(b, h.Message[:]...)
}

// additional is the additional authenticated data for a header.
func additional(header []byte, env hub.Environment, subject uuid.UUID) []byte {
	b := make([]byte, 0, len(header)+1+len(subject))
	b = append(b, header...)
	b = append(b, byte(env))
	return append(b, subject[:]...)
}

// epochSize is the length of an epoch key: one block of SHA-256, which is hashed where it lies.
// A shorter key would be copied into the hash's buffer and stay in memory after its time.
const epochSize = sha256.BlockSize

// epochBytes is an epoch key. It is only ever used through one pointer and overwritten there.
type epochBytes [epochSize]byte

// messageCipher is AES-256-GCM under the key of one message, which is derived in d and overwritten there.
func messageCipher(d *keyDeriver, epoch *epochBytes, subject Secret, label Label) (cipher.AEAD, error) {
	defer d.forget()
	block, err := aes.NewCipher(d.derive(epoch, subject, label))
	if err != nil {
		return nil, ErrSealed
	}
	// The nonce is drawn at random and stands before the ciphertext: the key is the message's
	// own, so even a second sealing under the same label cannot repeat one by plan or accident.
	return cipher.NewGCMWithRandomNonce(block)
}

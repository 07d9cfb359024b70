package pseudonym

import (
	"crypto/sha256"
	"hash"
	"strconv"
)

// keyDeriver derives the keys of messages. It is HKDF-SHA-256 (RFC 5869) for one key of the hash's own
// length and a salt of at most one block, the same that crypto/hkdf gives, in room of its own: every
// message has a key, and crypto/hkdf makes four hashes for each and leaves what they held to the
// collector. The epoch key is hashed where it lies, and all else is overwritten.
type keyDeriver struct {
	hash hash.Hash
	// pad is the padded key of the HMAC under way, sum its value once it has ended.
	pad [sha256.BlockSize]byte
	sum [sha256.Size]byte
	// info is the text of the second step.
	info []byte
}

func newKeyDeriver() *keyDeriver { return &keyDeriver{hash: sha256.New()} }

// The pads of an HMAC (RFC 2104).
const (
	innerPad = 0x36
	outerPad = 0x5c
)

// derive gives the key of one message, which is there until forget is called.
func (d *keyDeriver) derive(epoch *epochBytes, subject Secret, label Label) []byte {
	d.begin(subject.reveal(), label.Message[:])
	d.hash.Write(epoch[:])
	d.end()
	d.begin(d.sum[:])
	const firstAndLast = 1
	d.info = append(strconv.AppendUint(append(d.info[:0], keyInfo...), uint64(label.Kind), 10), firstAndLast)
	d.hash.Write(d.info)
	d.end()
	return d.sum[:]
}

// begin begins an HMAC under the parts of a key, which have at most one block together.
func (d *keyDeriver) begin(key ...[]byte) {
	n := 0
	for _, part := range key {
		n += copy(d.pad[n:], part)
	}
	clear(d.pad[n:])
	for i := range d.pad {
		d.pad[i] ^= innerPad
	}
	d.hash.Reset()
	d.hash.Write(d.pad[:])
}

// end ends the HMAC of what was written to the hash since begin.
func (d *keyDeriver) end() {
	d.hash.Sum(d.sum[:0])
	for i := range d.pad {
		d.pad[i] ^= innerPad ^ outerPad
	}
	d.hash.Reset()
	d.hash.Write(d.pad[:])
	d.hash.Write(d.sum[:])
	d.hash.Sum(d.sum[:0])
}

// forget overwrites what is left of a message, also what the hash holds of its last text.
func (d *keyDeriver) forget() {
	clear(d.pad[:])
	clear(d.sum[:])
	d.hash.Reset()
	d.hash.Write(d.pad[:len(d.pad)-1])
	d.hash.Reset()
}

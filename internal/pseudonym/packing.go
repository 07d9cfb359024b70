package pseudonym

import (
	_ "embed"
	"sync"

	"github.com/klauspost/compress/s2"
)

// packing tells how the plaintext was made smaller before it was sealed. A number is never
// given another meaning: what was sealed once must open for eighteen years and more.
type packing uint8

// The packings. The next dictionary gets the next number, and this one stays.
const (
	packedPlain packing = 0
	packedS2    packing = 1 // S2 block with dictionary/1.txt
)

// dictionary1 holds what messages have in common: the envelopes' and all elements' names with
// their usual codes, and no value that says who somebody is. Nobody may ever change the file.
//
//go:embed dictionary/1.txt
var dictionary1 []byte

const (
	// minPacked is the length below which nothing is gained.
	minPacked = 64
	// maxPlaintext bounds what is sealed and what an envelope may unpack to: four times the
	// largest request.
	maxPlaintext = 8 << 20
)

// packer packs and unpacks. Safe for concurrent use.
type packer struct {
	dictionary *s2.Dict
	scratch    sync.Pool
}

// newPacker prepares the dictionary.
func newPacker() *packer {
	return &packer{
		dictionary: s2.MakeDict(dictionary1, nil),
		scratch:    sync.Pool{New: func() any { return new([]byte) }},
	}
}

// packed calls use with b made smaller, if it can be. The bytes are overwritten afterwards.
func (p *packer) packed(b []byte, use func(packing, []byte)) {
	if len(b) < minPacked {
		use(packedPlain, b)
		return
	}
	buffer, ok := p.scratch.Get().(*[]byte)
	if n := s2.MaxEncodedLen(len(b)); !ok || cap(*buffer) < n {
		fresh := make([]byte, n)
		buffer = &fresh
	}
	out := p.dictionary.Encode((*buffer)[:cap(*buffer)], b)
	if len(out) < len(b) {
		use(packedS2, out)
	} else {
		use(packedPlain, b)
	}
	clear(out)
	p.scratch.Put(buffer)
}

// unpack is the inverse of packed.
func (p *packer) unpack(how packing, b []byte) ([]byte, error) {
	switch how {
	case packedPlain:
		return b, nil
	case packedS2:
		if size, err := s2.DecodedLen(b); err != nil || size > maxPlaintext {
			return nil, ErrSealed
		}
		out, err := p.dictionary.Decode(nil, b)
		if err != nil {
			return nil, ErrSealed
		}
		return out, nil
	}
	return nil, ErrSealed
}

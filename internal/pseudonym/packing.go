package pseudonym

import "github.com/klauspost/compress/s2"

// packing tells how the plaintext was made smaller before it was sealed. A number is never
// given another meaning, and a dictionary is never removed.
type packing uint8

// The packings.
const (
	packedPlain packing = 0
	packedS2    packing = 1
)

// maxPlaintext bounds what an envelope may unpack to: four times the largest request.
const maxPlaintext = 8 << 20

// pack makes b smaller if it can.
func pack(b []byte) (packing, []byte) {
	if out := s2.Encode(nil, b); len(out) < len(b) {
		return packedS2, out
	}
	return packedPlain, b
}

// unpack is the inverse of pack.
func (p packing) unpack(b []byte) ([]byte, error) {
	switch p {
	case packedPlain:
		return b, nil
	case packedS2:
		size, err := s2.DecodedLen(b)
		if err != nil || size > maxPlaintext {
			return nil, ErrSealed
		}
		out, err := s2.Decode(nil, b)
		if err != nil {
			return nil, ErrSealed
		}
		return out, nil
	}
	return nil, ErrSealed
}

package journal

import (
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"
)

// Pair is whose entries are counted together: a participant and the ente it spoke for, both 0 for what
// the hub did of itself.
type Pair struct {
	// Participant and Ente are the registry's rows.
	Participant, Ente int32
}

// Pair is whose sequence the entry stands in. Entries for the privacy officer count as the hub's own:
// a gap in its sequence would tell an ente that there is one about its event.
func (e Entry) Pair() Pair {
	if e.Kind.Internal() {
		return Pair{}
	}
	return Pair{Participant: e.Participant, Ente: e.Ente}
}

// Internal tells whether entries of this kind are for the privacy officer only.
func (k Kind) Internal() bool { return k == SubjectsJoined || k == OthersHistory }

// Leaf is an entry's place in the tree.
type Leaf struct {
	// Entry are the entry's bytes.
	Entry []byte
	// Pair and Seq say which of the pair's leaves this is, from 1 without a gap.
	Pair
	Seq int64
}

// LeafTrailer is how many bytes follow the entry's in a leaf's.
const LeafTrailer = 16

// Bytes are what is hashed: the entry's bytes, then Participant and Ente in four and Seq in eight bytes,
// big-endian.
func (l Leaf) Bytes() []byte {
	b := make([]byte, 0, len(l.Entry)+LeafTrailer)
	b = append(b, l.Entry...)
	b = binary.BigEndian.AppendUint32(b, uint32(l.Participant)) //nolint:gosec // two's complement
	b = binary.BigEndian.AppendUint32(b, uint32(l.Ente))        //nolint:gosec // two's complement
	return binary.BigEndian.AppendUint64(b, uint64(l.Seq))      //nolint:gosec // two's complement
}

// Hash is the leaf's hash (RFC 6962, 2.1).
func (l Leaf) Hash() tlog.Hash { return tlog.RecordHash(l.Bytes()) }

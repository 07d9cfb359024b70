package verify

import "hash/crc32"

// CanonicalEntry tells whether bytes are an entry's, for the comparison with the hub's own reader.
func CanonicalEntry(b []byte) bool { return parseEntry(b, new(entry)) == nil }

// The checks of proofs that the verifier uses, for the vectors, and the places of tiles.
var (
	CheckInclusion   = checkInclusion
	CheckConsistency = checkConsistency
	TilePath         = tilePath
	ParseTilePath    = parseTilePath
)

// Member is a file of a container.
type Member struct {
	Name    string
	Content []byte
}

// Container writes members as check expects them, the first one at that place of the file.
func Container(members []Member, offset int64) (file []byte) {
	var directory []byte
	for _, m := range members {
		at := offset + int64(len(file))
		crc := crc32.ChecksumIEEE(m.Content)
		file = append(append(file, localHeader(m.Name)...), m.Content...)
		file = append(file, descriptor(crc, uint64(len(m.Content)))...)
		directory = append(directory, directoryHeader(&member{name: m.Name, size: int64(len(m.Content)), crc: crc}, at)...)
	}
	start := offset + int64(len(file))
	return append(append(file, directory...), directoryEnd(len(members), start, int64(len(directory)))...)
}

// KindName is kindName.
func KindName(kind byte) string { return kindName(kind) }

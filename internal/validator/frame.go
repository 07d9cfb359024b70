package validator

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// What a request asks for (jail_serve.c).
const (
	opCheck = 0
	opFile  = 1
	opSeal  = 2
	opLot   = 3
)

// requestHead is the length of id, op, schema and mode, answerHead that of length and id.
const (
	requestHead = 7
	answerHead  = 8
)

// sealID is the id of the request that ends the schemas; documents count from 1.
const sealID = 0

// appendRequest appends one frame to b: u32 len | u32 id | u8 op | u8 schema | u8 mode | body.
func appendRequest(b []byte, id uint32, op byte, s Schema, m Mode, body ...[]byte) []byte {
	n := requestHead
	for _, part := range body {
		n += len(part)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, id)
	b = append(b, op, byte(s), byte(m))
	for _, part := range body {
		b = append(b, part...)
	}
	return b
}

// preamble is what every worker is told first: all files of all schemas and their lots, then the
// seal.
func preamble(schemas map[Schema]SchemaFiles) []byte {
	var b []byte
	for _, s := range slices.Sorted(maps.Keys(schemas)) {
		files := schemas[s]
		for _, name := range slices.Sorted(maps.Keys(files.Files)) {
			var isMain Mode
			if name == files.Main {
				isMain = 1
			}
			length := []byte{byte(len(name))} //nolint:gosec // addSchema refuses longer names
			b = appendRequest(b, sealID, opFile, s, isMain, length, []byte(name), files.Files[name])
		}
		if files.Lot != (xmlschema.Lot{}) {
			var names []byte
			for _, name := range []string{files.Lot.Root, files.Lot.Item, files.Lot.As} {
				names = append(append(names, byte(len(name))), name...) //nolint:gosec // the schema's own names are short
			}
			b = appendRequest(b, sealID, opLot, s, 0, names)
		}
	}
	return appendRequest(b, sealID, opSeal, 0, 0)
}

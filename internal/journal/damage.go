package journal

import (
	"fmt"

	"github.com/google/uuid"
)

// Part is a part of the journal as it is stored.
type Part uint8

// The parts that can be found changed.
const (
	// PartEntry is an entry that has neither a leaf nor waits for one.
	PartEntry Part = iota + 1
	// PartBody is an entry that waits for its leaf and whose row is gone.
	PartBody
	// PartLeaf is a leaf whose row is gone or is not what the tree says, or whose entry went too early.
	PartLeaf
	// PartPlace is a place of the tree, or of a pair's sequence, that is taken where the next leaf belongs.
	PartPlace
	// PartPair is the number of leaves of a participant and an ente.
	PartPair
	// PartTile is a tile of the tree's hashes.
	PartTile
	// PartHead is the size and root that the next leaf goes on from.
	PartHead
)

// Parts are all of them.
func Parts() []Part {
	return []Part{PartEntry, PartBody, PartLeaf, PartPlace, PartPair, PartTile, PartHead}
}

// String is a word for labels.
func (p Part) String() string {
	switch p {
	case PartEntry:
		return "entry"
	case PartBody:
		return "body"
	case PartLeaf:
		return "leaf"
	case PartPlace:
		return "place"
	case PartPair:
		return "pair"
	case PartTile:
		return "tile"
	case PartHead:
		return "head"
	}
	return "unknown"
}

// DamageError says what of the stored journal is not as the hub wrote it: somebody changed it, or a disk did.
// It is an ErrTree. It is comparable.
type DamageError struct {
	// Part tells what it is about.
	Part Part
	// Level and Number are the tile's. Number is the leaf's or the place's.
	Level  int
	Number int64
	// Entry is the id of the entry or of the leaf's entry, if it is known.
	Entry uuid.UUID
	// Pair is whose number of leaves it is.
	Pair Pair
}

// Error names what is damaged.
func (d DamageError) Error() string {
	switch d.Part {
	case PartEntry:
		return fmt.Sprintf("entry %s of the journal has no leaf and waits for none: its row in hub.journal_queue or hub.journal_leaf is gone", d.Entry)
	case PartBody:
		return fmt.Sprintf("entry %s of the journal waits for its leaf, and its row in hub.journal_entry is gone", d.Entry)
	case PartLeaf:
		return fmt.Sprintf("leaf %d of the journal (entry %s) is not what its tree says: its row in hub.journal_leaf or hub.journal_entry", d.Number, d.Entry)
	case PartPlace:
		return fmt.Sprintf("somebody stands where the journal's leaves from %d on belong: a row of hub.journal_leaf too many, or hub.journal_pair", d.Number)
	case PartPair:
		return fmt.Sprintf("the number of leaves of participant %d for ente %d is not what they are: hub.journal_pair, or hub.journal_leaf", d.Pair.Participant, d.Pair.Ente)
	case PartTile:
		return fmt.Sprintf("tile %d of level %d of the journal's tree is not what its root says: hub.journal_tile", d.Number, d.Level)
	case PartHead:
	}
	return "the head of the journal's tree is not what its tiles say: hub.journal_head"
}

// Unwrap makes it an ErrTree.
func (d DamageError) Unwrap() error { return ErrTree }

package casefile

import "github.com/sinbahub/sinbahub/internal/sinba"

// Turn is the number by which an accepted event takes its turn among those of its case that wait to
// be sent on, equal ones going in the order of acceptance; history are the events accepted before it.
// It is ProgressivoCartella, but an R never goes before its original, and an A not before the original
// nor any R of it, whatever numbers they were given: their receiver cannot correct or annul what it
// was not told.
func Turn(history []Event, e *Event) int32 {
	turn := e.Sequence
	if e.Operation == sinba.Inserimento {
		return turn
	}
	l := newLine(history)
	original, ok := l.root[e.RefersTo]
	if !ok {
		return turn
	}
	turn = max(turn, original.Sequence)
	if e.Operation == sinba.Annullamento {
		for i := range history {
			if h := &history[i]; l.root[h.ID] == original {
				turn = max(turn, h.Sequence)
			}
		}
	}
	return turn
}

package sinba

import "github.com/sinbahub/sinbahub/internal/hub"

// judgeReference is the part of BR-02 that needs no history: a correction and an annulment name the
// event they are about, which is another one; an insertion names none.
func judgeReference(j *judgement) {
	at := &j.cat.at
	i, names := j.find(at.refersTo)
	switch {
	case j.Operation() == Inserimento:
		if names {
			j.because("unexpected", hub.Grave, i)
		}
	case !names:
		if header, ok := j.find(j.cat.nodes[at.refersTo].parent); ok {
			j.lacking("needed", header, at.refersTo)
		}
	case j.refersTo == j.eventID:
		j.because("itself", hub.Grave, i)
	}
}

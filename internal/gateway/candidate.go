package gateway

import (
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// candidate is what a case must know of an event to judge it, with the stand-ins made for it: the
// regional event says them again.
type candidate struct {
	*postgres.Acceptance

	ids *standIns
}

// assumedCase is the case as it was found, or the one that this request opens.
func (g *Gateway) assumedCase(e *sent, openings map[[32]byte]*opening) postgres.AcceptedCase {
	file := postgres.AcceptedCase{
		Index: e.known.index, IndexEpoch: g.Keys.LocalEpoch(), FactsEpoch: g.Keys.Epoch(pseudonym.Region),
		NationEpoch: g.Keys.Epoch(pseudonym.Nation), New: true,
	}
	if found := e.known.found; found != nil {
		file.ID, file.FactsEpoch, file.NationEpoch, file.New = found.ID, found.FactsEpoch, found.NationEpoch, false
	} else if o := openings[file.Index]; o != nil {
		file.ID, file.FactsEpoch, file.NationEpoch = o.id, o.factsEpoch, o.nationEpoch
	}
	return file
}

// candidate makes the candidate of an event for a case.
func (g *Gateway) candidate(x *exchange, e *sent, file postgres.AcceptedCase) (candidate, error) {
	// Ids stay those of the case's first epoch: what an event refers to is found under the same one.
	codes, err := g.Keys.Codes(pseudonym.Region, file.FactsEpoch, uuid.Nil, file.ID)
	if err != nil {
		return candidate{}, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	ids := &standIns{codes: codes, made: make([]standIn, 0, usualIDs)}
	facts := x.catalogue().Facts(e.event, ids.rekey)
	facts.Identity = codes.Rekey(identityKind, string(e.named.Bytes()))
	if previous, ok := e.event.Previous(); ok {
		facts.Previous = codes.Rekey(identityKind, string(e.identityOf(previous).Bytes()))
	}
	refersTo, _ := e.event.RefersTo()
	return candidate{&postgres.Acceptance{
		Key: e.known.key, Case: file, Type: e.kind, Operation: e.event.Operation(), RefersTo: refersTo,
		Sequence: e.event.Sequence(), Facts: facts, Root: e.root, Rules: x.ruleContext(), Warnings: e.found,
	}, ids}, nil
}

// takeCandidate gives the candidate that the event's case was asked with, once: what is prepared again
// begins anew. For another case than that it makes one.
func (g *Gateway) takeCandidate(x *exchange, e *sent, file postgres.AcceptedCase) (candidate, error) {
	asked := e.asked
	e.asked = candidate{}
	if asked.Acceptance == nil || asked.Case.ID != file.ID || asked.Case.FactsEpoch != file.FactsEpoch {
		return g.candidate(x, e, file)
	}
	asked.Case = file
	return asked, nil
}

// identityKind separates the stand-ins of identifiers inside a case from those of its local ids.
const identityKind = "Identificativo"

// usualIDs is how many local ids most events have.
const usualIDs = 16

// standIns makes the stand-ins of a case's local ids and remembers them: an event has the same ids
// several times, and its facts and its regional form have them in the same order.
type standIns struct {
	codes pseudonym.Codes
	made  []standIn
	// next is where the last one stood, and one further.
	next int
}

// standIn is a local id with what stands for it.
type standIn struct{ kind, value, code string }

// rekey is Codes.Rekey.
func (s *standIns) rekey(kind, value string) string {
	for i := range s.made {
		at := (s.next + i) % len(s.made)
		if known := &s.made[at]; known.value == value && known.kind == kind {
			s.next = at + 1
			return known.code
		}
	}
	code := s.codes.Rekey(kind, value)
	s.made = append(s.made, standIn{kind, value, code})
	return code
}

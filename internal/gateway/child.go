package gateway

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// sameness says how the child that an event names is its case's (BR-25).
type sameness uint8

const (
	// ownChild: the identifier is one of the case's child, or there is no case yet.
	ownChild sameness = iota
	// joined: the identifier is that of another subject which was found to be the same child.
	joined
	// renamed: a VARIAZIONE_ANAGRAFICA gives the case's child this identifier.
	renamed
	// otherChild: somebody else.
	otherChild
)

// caseSubject is whose case the event is about, the nil id if it has none yet.
func (e *sent) caseSubject(openings map[[32]byte]*opening) uuid.UUID {
	if found := e.known.found; found != nil {
		return found.Subject
	}
	if o := openings[e.known.index]; o != nil {
		return o.child.subject.ID
	}
	return uuid.Nil
}

// compareChild holds the subject an event's identifier stands for against that of its case. The
// trips to the vault are the same whether anybody knows the identifier or not, so that neither
// answer nor time tells whether another ente does.
func (g *Gateway) compareChild(ctx context.Context, e *sent, of uuid.UUID) (sameness, error) {
	if of == uuid.Nil || of == e.child.subject.ID {
		return ownChild, nil
	}
	same, err := g.Vault.SamePerson(ctx, of, e.child.subject.ID)
	if err != nil {
		return 0, err
	}
	if same {
		return joined, nil
	}
	previous, ok := e.event.Previous()
	if !ok {
		return otherChild, nil
	}
	former, err := g.Vault.Resolve(ctx, g.Keys.LinkIndex(e.identityOf(previous)))
	if err != nil {
		return 0, err
	}
	if same, err = g.Vault.SamePerson(ctx, of, former.ID); err != nil {
		return 0, err
	}
	if same {
		return renamed, nil
	}
	return otherChild, nil
}

// joinCase brings an event and its case together: what is about another child, or gives the case's
// child another identifier, has to go alone; what cannot be the first event of a case ends here,
// before it reaches the vault.
func (g *Gateway) joinCase(ctx context.Context, x *exchange, e *sent, openings map[[32]byte]*opening) (alone bool, err error) {
	of := e.caseSubject(openings)
	if of == uuid.Nil {
		a, err := g.candidate(x, e, g.assumedCase(e, openings))
		if err != nil {
			return false, err
		}
		if found := a.JudgeAsFirst(); refuses(found) {
			return false, invalid(found)
		}
		openings[e.known.index] = &opening{uuid.New(), e.child}
		return false, nil
	}
	is, err := g.compareChild(ctx, e, of)
	if err == nil && is == joined {
		err = g.takeSubject(ctx, e, of)
	}
	return is == renamed || is == otherChild, err
}

// takeSubject makes an event one of its case's own subject.
func (g *Gateway) takeSubject(ctx context.Context, e *sent, of uuid.UUID) error {
	own, err := g.Vault.SubjectOf(ctx, of)
	e.child = &child{identity: e.child.identity, index: e.child.index, subject: own}
	return err
}

// settleAlone ends the way of an event that is refused, only asks, or renames the child of its case.
func (g *Gateway) settleAlone(ctx context.Context, x *exchange, e *sent, children []*child, openings map[[32]byte]*opening) {
	of := e.caseSubject(openings)
	is, err := g.compareChild(ctx, e, of)
	if err == nil && is == otherChild {
		e.found = append(e.found, hub.Violation{Code: hub.CodeRule25, Severity: hub.Grave, Rule: "BR-25", Path: e.root + "/Soggetto/Identificativo"})
	}
	found := e.found
	if err == nil && !slices.ContainsFunc(found, isUnclear) {
		found, err = g.askCase(ctx, x, e, openings)
	}
	dry := x.operation.Name == contract.VerificaEvento
	switch {
	case err != nil:
		e.refuse(err)
	case refuses(found):
		e.refusal = invalid(found)
	case dry:
		e.report = &report{outcomeOf(found).String(), found}
	default:
		if err := g.rename(ctx, e, of); err != nil {
			e.refuse(err)
			return
		}
		g.acceptTogether(ctx, x, children, []*sent{e}, openings)
	}
}

// isUnclear tells of an event that does not say what it is: its case could only guess, and tell a
// second time what is one mistake.
func isUnclear(v hub.Violation) bool {
	return v.Severity == hub.Grave && (v.Code == hub.CodeRule01 || v.Code == hub.CodeRule02)
}

// askCase gives all findings, those of the case included: what acceptance would say at this moment.
func (g *Gateway) askCase(ctx context.Context, x *exchange, e *sent, openings map[[32]byte]*opening) ([]hub.Violation, error) {
	defer g.metrics.step("case")()
	a, err := g.candidate(x, e, g.assumedCase(e, openings))
	if err != nil {
		return nil, err
	}
	return g.Store.Judge(ctx, a)
}

// rename links the new identifier to the case's child, before the event that says so is accepted and
// after its case was asked whether it will be: no link without such an event, but for a crash or a
// race in between.
func (g *Gateway) rename(ctx context.Context, e *sent, of uuid.UUID) error {
	if err := g.takeSubject(ctx, e, of); err != nil {
		return err
	}
	subject := e.child.subject
	label := pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: subject.ID, Schema: contract.SchemaVersion}
	sealed, err := g.Sealer.Seal(ctx, subject, label, e.child.identity.Bytes())
	if err != nil {
		return err
	}
	return g.Vault.Link(ctx, e.child.index, subject, sealed.Bytes)
}

// moved takes note that the event's case was opened by somebody else meanwhile. An event about
// another child than that case's is refused; any other is pseudonymised anew.
func (g *Gateway) moved(ctx context.Context, e *sent, to *postgres.Case) {
	e.known.found, e.prepared = to, nil
	is, err := g.compareChild(ctx, e, to.Subject)
	switch {
	case err != nil:
		e.refuse(err)
	case is == otherChild, is == renamed:
		e.refusal = inProgress("/") // it is judged whole when it comes again
	case is == joined:
		if err := g.takeSubject(ctx, e, to.Subject); err != nil {
			e.refuse(err)
		}
	}
}

// assumedCase is the case as it was found, or the one that this request opens.
func (g *Gateway) assumedCase(e *sent, openings map[[32]byte]*opening) postgres.AcceptedCase {
	file := postgres.AcceptedCase{Index: e.known.index, IndexEpoch: g.Keys.LocalEpoch(), FactsEpoch: g.Keys.Epoch(pseudonym.Region), New: true}
	if found := e.known.found; found != nil {
		file.ID, file.FactsEpoch, file.New = found.ID, found.FactsEpoch, false
	} else if o := openings[file.Index]; o != nil {
		file.ID = o.id
	}
	return file
}

// candidate is what the event's case must know to judge it.
func (g *Gateway) candidate(x *exchange, e *sent, file postgres.AcceptedCase) (*postgres.Acceptance, error) {
	codes, err := g.Keys.Codes(pseudonym.Region, file.FactsEpoch, uuid.Nil, file.ID)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	refersTo, _ := e.event.RefersTo()
	return &postgres.Acceptance{
		Key: e.known.key, Case: file, Type: e.kind, Operation: e.event.Operation(), RefersTo: refersTo,
		Sequence: e.event.Sequence(), Facts: x.reference.Events.Facts(e.event, codes.Rekey), Root: e.root,
		Rules: x.ruleContext(), Warnings: e.found,
	}, nil
}

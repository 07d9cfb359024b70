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

// child is who an event is about, held against the child of its case (BR-25).
type child struct {
	is sameness
	// subject is the case's, or that of the identifier if there is no case yet.
	subject pseudonym.Subject
}

// sameness says how the child named by an event is its case's.
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

// childOf holds the subject an event's identifier stands for against that of its case. The trips to
// the vault are the same whether anybody knows the identifier or not, so that neither answer nor
// time tells whether another ente does.
func (g *Gateway) childOf(ctx context.Context, x *exchange, k *known, subject pseudonym.Subject) (child, error) {
	if k.found == nil || k.found.Subject == subject.ID {
		return child{ownChild, subject}, nil
	}
	same, err := g.Vault.SamePerson(ctx, k.found.Subject, subject.ID)
	if err != nil {
		return child{}, err
	}
	is := otherChild
	if same {
		is = joined
	} else if previous, ok := x.event.Previous(); ok {
		former, err := g.Vault.Resolve(ctx, g.Keys.LinkIndex(identityOf(x, previous)))
		if err != nil {
			return child{}, err
		}
		if same, err = g.Vault.SamePerson(ctx, k.found.Subject, former.ID); err != nil {
			return child{}, err
		}
		if same {
			is = renamed
		}
	}
	if is == otherChild {
		return child{is: otherChild}, nil
	}
	own, err := g.Vault.SubjectOf(ctx, k.found.Subject)
	return child{is, own}, err
}

// rename links the new identifier to the case's child, before the event that says so is accepted and
// after its case was asked whether it will be: no link without such an event, but for a crash or a
// race in between.
func (g *Gateway) rename(ctx context.Context, x *exchange, a *postgres.Acceptance, subject pseudonym.Subject) error {
	found, err := g.Store.Judge(ctx, a)
	if err != nil {
		return err
	}
	if refuses(found) {
		return invalid(found)
	}
	id := identity(x)
	sealed, err := g.Sealer.Seal(ctx, subject, pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: subject.ID, Schema: contract.SchemaVersion}, id.Bytes())
	if err != nil {
		return err
	}
	return g.Vault.Link(ctx, g.Keys.LinkIndex(id), subject, sealed.Bytes)
}

// otherChildFound is BR-25.
func otherChildFound(x *exchange) hub.Violation {
	return hub.Violation{Code: hub.CodeRule25, Severity: hub.Grave, Rule: "BR-25", Path: "/" + x.operation.Request + "/Soggetto/Identificativo"}
}

// refuseOtherChild refuses an event about another child than its case's, with all else there is to say.
func (g *Gateway) refuseOtherChild(ctx context.Context, x *exchange, k *known, found []hub.Violation) error {
	a, err := g.candidate(x, k, assumedCase(k))
	if err != nil {
		return err
	}
	a.Warnings = append(slices.Clip(found), otherChildFound(x))
	if found, err = g.Store.Judge(ctx, a); err != nil {
		return err
	}
	return invalid(found)
}

// judgeInCase adds to what was found of an event what its case finds: all that acceptance would say
// at this moment.
func (g *Gateway) judgeInCase(ctx context.Context, x *exchange, k *known, found []hub.Violation) ([]hub.Violation, error) {
	defer g.metrics.step("case")()
	subject, err := g.resolve(ctx, x)
	if err != nil {
		return nil, err
	}
	who, err := g.childOf(ctx, x, k, subject)
	if err != nil {
		return nil, err
	}
	if who.is == otherChild {
		found = append(found, otherChildFound(x))
	}
	a, err := g.candidate(x, k, assumedCase(k))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(found, isUnclear) {
		return found, nil
	}
	a.Warnings = found
	return g.Store.Judge(ctx, a)
}

// isUnclear tells of an event that does not say what it is: its case could only guess, and tell a
// second time what is one mistake.
func isUnclear(v hub.Violation) bool {
	return v.Severity == hub.Grave && (v.Code == hub.CodeRule01 || v.Code == hub.CodeRule02)
}

// judgeAsFirst refuses what cannot be the first event of a case.
func (g *Gateway) judgeAsFirst(x *exchange, k *known, found []hub.Violation) error {
	a, err := g.candidate(x, k, assumedCase(k))
	if err != nil {
		return err
	}
	a.Warnings = found
	if found = a.JudgeAsFirst(); refuses(found) {
		return invalid(found)
	}
	return nil
}

// assumedCase is the case as it was found, or a new one.
func assumedCase(k *known) postgres.AcceptedCase {
	if k.found == nil {
		return postgres.AcceptedCase{ID: uuid.Nil, Index: k.index, New: true}
	}
	return postgres.AcceptedCase{ID: k.found.ID, Index: k.index, FactsEpoch: k.found.FactsEpoch}
}

// candidate is what the event's case must know to judge it.
func (g *Gateway) candidate(x *exchange, k *known, file postgres.AcceptedCase) (*postgres.Acceptance, error) {
	if file.FactsEpoch == 0 {
		file.FactsEpoch = g.Keys.Epoch(pseudonym.Region)
	}
	codes, err := g.Keys.Codes(pseudonym.Region, file.FactsEpoch, uuid.Nil, file.ID)
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
	}
	refersTo, _ := x.event.RefersTo()
	return &postgres.Acceptance{
		Key: k.key, Case: file, Type: x.event.Type(), Operation: x.event.Operation(), RefersTo: refersTo,
		Sequence: x.event.Sequence(), Facts: x.reference.Events.Facts(x.event, codes.Rekey), Root: "/" + x.operation.Request,
		Rules: x.ruleContext(),
	}, nil
}

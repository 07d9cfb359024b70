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

// joinCase brings an event and its case together. What gives the case's child another identifier has
// to go alone; what cannot be the first event of a case ends here, before it reaches the vault.
func (g *Gateway) joinCase(x *exchange, e *sent, openings map[[32]byte]*opening) (alone bool, err error) {
	_, replaces := e.event.Previous()
	if e.known.found != nil {
		return replaces, nil
	}
	if o := openings[e.known.index]; o != nil {
		e.child = o.child
		return replaces, nil
	}
	file := g.assumedCase(e, openings)
	file.ID = uuid.New()
	asked, err := g.candidate(x, e, file)
	if err != nil {
		return false, err
	}
	if found := asked.JudgeAsFirst(); refuses(found) {
		return false, invalid(found)
	}
	e.asked = asked
	openings[e.known.index] = &opening{file.ID, e.child, file.FactsEpoch, file.NationEpoch}
	return false, nil
}

// settleAlone ends the way of an event that is refused, only asks, or gives the child of its case
// another identifier.
func (g *Gateway) settleAlone(ctx context.Context, x *exchange, e *sent, openings map[[32]byte]*opening) {
	found, err := e.found, error(nil)
	if !slices.ContainsFunc(found, isUnclear) {
		found, err = g.askCase(ctx, x, e, openings)
	}
	switch {
	case err != nil:
		e.refuse(err)
	case refuses(found):
		e.refusal = x.refusalOf(e, found)
	case x.operation.Name == contract.VerificaEvento:
		e.report = &report{outcomeOf(found).String(), found}
	default:
		err := g.reserve(ctx, []*sent{e})
		if err == nil {
			err = g.rename(ctx, e)
		}
		if err != nil {
			x.drop(e, err)
			return
		}
		g.acceptTogether(ctx, x, []*sent{e}, openings)
	}
}

// drop refuses an event that could not be stored although nothing is wrong with it, and takes note of that.
func (x *exchange) drop(e *sent, err error) {
	e.refuse(err)
	if x.failed == nil {
		x.failed = map[[32]byte]*hub.Error{}
	}
	x.failed[e.known.index] = e.refusal
}

// refusalOf is the refusal of an event with all that was found; after another event of its case and
// lot could not be stored it says that, since what was found may be wrong for that alone.
func (x *exchange) refusalOf(e *sent, found []hub.Violation) *hub.Error {
	if failed := x.failed[e.known.index]; failed != nil && !refuses(e.found) {
		return failed
	}
	return invalid(found)
}

// isUnclear tells of an event that does not say what it is: its case could only guess, and tell a
// second time what is one mistake.
func isUnclear(v hub.Violation) bool {
	return v.Severity == hub.Grave && (v.Code == hub.CodeRule01 || v.Code == hub.CodeRule02)
}

// askCase gives all findings, those of the case included: what acceptance would say at this moment.
func (g *Gateway) askCase(ctx context.Context, x *exchange, e *sent, openings map[[32]byte]*opening) ([]hub.Violation, error) {
	defer g.metrics.step("case")()
	c, err := g.candidate(x, e, g.assumedCase(e, openings))
	if err != nil {
		return nil, err
	}
	return g.Store.Judge(ctx, c.Acceptance)
}

// rename links the new identifier to the case's child, before the event that says so is accepted and
// after its case was asked whether it will be: no link without such an event, but for a crash or a
// race in between. An identifier that stands for another subject already joins the two, behind the
// answer; no verdict reads either, so that no ente learns from its answers what another one told: nor that the
// child was adopted, when nothing is linked.
func (g *Gateway) rename(ctx context.Context, e *sent) error {
	subject := e.child.subject
	label := pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: subject.ID, Schema: contract.SchemaVersion}
	sealed, err := g.Sealer.Seal(ctx, subject, label, e.named.Bytes())
	if err != nil {
		return err
	}
	return g.Vault.Link(ctx, g.Keys.LinkIndex(e.named), subject, sealed.Bytes, e.receiptID, g.Joinable)
}

// moved takes note that the event's case was opened by somebody else meanwhile: it is pseudonymised
// anew, as an event of that case's child.
func (g *Gateway) moved(ctx context.Context, x *exchange, e *sent, to *postgres.Case, openings map[[32]byte]*opening) {
	own, err := g.Vault.SubjectOf(ctx, to.Subject)
	if err != nil {
		x.drop(e, err)
		return
	}
	e.known.found, e.prepared, e.child = to, nil, &child{subject: own, known: true}
	openings[e.known.index] = &opening{to.ID, e.child, to.FactsEpoch, to.NationEpoch}
}

package gateway

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/sinba"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// validatorPatience is above what the workers take for any document: it ends the waiting when none
// can be started.
const validatorPatience = time.Minute

// inspect is steps 2 and 3: what costs time by the will of the sender. The turn of a document that
// is found bad ends when it has been refused or, as a dry run, told what is wrong: by the caller. So
// does that of a lot, good or bad: otherwise the many lots of one sender would wait for the database
// a hundred events each, and all others behind them.
func (g *Gateway) inspect(ctx context.Context, x *exchange) error {
	if err := g.awaitTurn(ctx, x); err != nil {
		return err
	}
	// One linear pass over the bytes.
	if err := g.checkLimits(x); err != nil {
		return err
	}
	// No input can make the parser quadratic. It runs in the jail.
	if err := g.validate(ctx, x); err != nil {
		return err
	}
	x.conforms = x.verdict.Conforms()
	if x.conforms && x.verdict.Items == nil {
		x.turn.end(true)
	}
	return nil
}

// awaitTurn waits until the sender's others leave this one room. Whoever waits for longer than its
// patience has its share taken by its own: its place here may be of use to others.
func (g *Gateway) awaitTurn(ctx context.Context, x *exchange) error {
	defer g.metrics.step("turn")()
	var err error
	x.turn, err = g.turns.begin(ctx, x.participant.ID, len(x.body))
	if errors.Is(err, errImpatient) {
		return g.reject(x, rejectShare)
	}
	return err
}

// checkLimits is step 2. What the pass found becomes a code; the encoding it found stands in
// the rule's name, from a closed list.
func (g *Gateway) checkLimits(x *exchange) error {
	defer g.metrics.step("limits")()
	err := soap.Scan(x.body, g.limits)
	var limit *soap.LimitError
	if !errors.As(err, &limit) {
		return err
	}
	if limit.Reason == soap.TooManyBytes {
		return hub.NewError(hub.TooLarge, hub.CodeBodyTooLarge, nil)
	}
	code, special := map[soap.Reason]hub.Code{
		soap.NotUTF8: hub.CodeEncoding, soap.NullByte: hub.CodeEncoding, soap.Empty: hub.CodeMalformed, soap.Broken: hub.CodeMalformed,
		soap.Doctype: hub.CodeDoctype,
	}[limit.Reason]
	if !special {
		code = hub.CodeLimit
	}
	rule := "limit:" + limit.Reason.String()
	switch {
	case limit.Encoding != "":
		rule = "encoding:" + limit.Encoding
	case limit.Reason == soap.Broken:
		rule = "" // as the parser's own refusals
	}
	return &hub.Error{Kind: hub.Malformed, Public: []hub.Violation{{
		Code: code, Severity: hub.Grave, Rule: rule, Path: "/", Line: limit.Line,
	}}, Err: limit}
}

// validate is step 3. A schema-invalid document is no error yet: verificaEvento reports it.
func (g *Gateway) validate(ctx context.Context, x *exchange) error {
	defer g.metrics.step("validate")()
	// To its end even if the sender has gone: who hangs up must not get more of the workers than who
	// waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), validatorPatience)
	defer cancel()
	verdict, err := g.validateVersion(ctx, x)
	if verdict.SOAP != 0 {
		x.version = verdict.SOAP
	}
	if err != nil {
		return err
	}
	x.verdict = verdict
	return nil
}

// authoriseOperation is the first half of step 5: what is asked, and nothing asked that we
// would have to ignore.
func (g *Gateway) authoriseOperation(x *exchange) error {
	operation, ok := g.Contract.ByRequest(x.verdict.Root)
	if !ok {
		return hub.NewError(hub.UnknownOperation, hub.CodeUnknownOperation, nil)
	}
	x.operation = operation
	blocks, err := soap.ReadHeader(x.verdict.Header, x.version)
	if err != nil {
		// Names of XML 1.0's fifth edition, say: what cannot be read cannot be understood.
		return hub.NewError(hub.NotUnderstood, hub.CodeMustUnderstand, err)
	}
	for _, block := range blocks {
		if block.MustUnderstand && block.ForUs {
			return hub.NewError(hub.NotUnderstood, hub.CodeMustUnderstand, nil)
		}
		if block.Elsewhere {
			return hub.NewError(hub.Invalid, hub.CodeAnswerElsewhere, nil)
		}
	}
	if !operation.AgreesWith(x.action) {
		return hub.NewError(hub.UnknownOperation, hub.CodeActionMismatch, nil)
	}
	return x.serves(x.verdict.Version, "/"+operation.Request)
}

// answerWithoutEvents answers what carries no events: the questions, and what the schema says of
// them or of a lot's frame.
func (g *Gateway) answerWithoutEvents(ctx context.Context, x *exchange) (answer []byte, done bool, err error) {
	single := x.operation.Name == contract.InviaEvento || x.operation.Name == contract.VerificaEvento
	if len(x.verdict.Violations) > 0 && !single {
		return nil, true, &hub.Error{Kind: hub.Invalid, Public: x.verdict.Violations, Total: x.verdict.Total}
	}
	switch x.operation.Name {
	case contract.Echo:
		answer, err = g.answerEcho(x)
		return answer, true, err
	case contract.StatoEvento:
		answer, err = g.answerStato(ctx, x)
		return answer, true, err
	case contract.RiepilogoEventi:
		answer, err = g.answerRiepilogo(ctx, x)
		return answer, true, err
	case contract.InviaEvento, contract.VerificaEvento, contract.InviaLotto:
	}
	return nil, false, nil
}

// authoriseEvents is the second half of step 5, for every event that conforms to the schema.
func (g *Gateway) authoriseEvents(x *exchange) []*sent {
	x.open()
	for _, e := range x.events {
		if err := g.authoriseEvent(x, e); err != nil {
			e.refuse(err)
		}
	}
	if x.operation.Name != contract.InviaLotto {
		x.ente = x.events[0].ente
	}
	return standing(x.events)
}

// authoriseEvent judges whether the sender may speak for the ente in the event, in this
// environment, with this product. The duplicate look-up never answers these.
func (g *Gateway) authoriseEvent(x *exchange, e *sent) error {
	conforms := len(e.verdict.Violations) == 0
	if conforms {
		var err error
		if e.event, err = x.catalogue().Read(e.verdict.Payload); err != nil {
			return hub.NewError(hub.Internal, hub.CodeInternal, err)
		}
		e.id, e.kind = e.event.EventID(), e.event.Type()
	}
	if err := x.serves(e.verdict.Version, e.root); err != nil {
		return err
	}
	if !conforms {
		return &hub.Error{Kind: hub.Invalid, Public: e.verdict.Violations, Total: e.verdict.Total}
	}
	event, root := e.event, e.root
	if environment, ok := event.Environment(); ok && environment != g.cfg.Environment {
		return refuse(hub.Forbidden, hub.CodeEnvironment, root+"/Testata/Ambiente")
	}
	var violations []hub.Violation
	ente, ok := x.participant.Ente(event.EnteCode())
	if !ok {
		violations = append(violations, hub.Violation{Code: hub.CodeRule23, Severity: hub.Grave, Rule: "BR-23", Path: root + "/Mittente/Ente/CodiceEnte"})
	}
	if !x.certified(e) && g.cfg.Environment == hub.Prod {
		violations = append(violations, hub.Violation{Code: hub.CodeRule24, Severity: hub.Grave, Rule: "BR-24", Path: root + "/Mittente/Applicativo"})
	}
	if len(violations) > 0 {
		return &hub.Error{Kind: hub.Forbidden, Public: violations}
	}
	e.ente = ente
	return nil
}

// judge is step 7: the rules that need the event alone, all findings at once. Of an event that they
// refuse its case is still asked, in its turn, so that everything is told at once; a dry run is told
// what would be said. So nobody's way ends here.
func (g *Gateway) judge(x *exchange, events []*sent) {
	defer g.metrics.step("rules")()
	for _, e := range events {
		e.found = x.catalogue().Judge(e.event, x.ruleContext())
		if !x.certified(e) {
			e.found = append(e.found, hub.Violation{Code: hub.CodeRule24, Severity: hub.Lieve, Rule: "BR-24", Path: e.root + "/Mittente/Applicativo"})
		}
	}
}

// refuses tells whether any finding is GRAVE.
func refuses(found []hub.Violation) bool {
	return slices.ContainsFunc(found, func(v hub.Violation) bool { return v.Severity == hub.Grave })
}

// invalid is the refusal of an event with all that was found.
func invalid(found []hub.Violation) *hub.Error {
	return &hub.Error{Kind: hub.Invalid, Public: found, Total: len(found)}
}

// ruleContext is what the verdicts of all rules about this message depend on besides event and case.
func (x *exchange) ruleContext() sinba.RuleContext {
	return x.reference.Severities.Context(x.receivedAt, x.participant.Name)
}

// certified tells whether the message names a product certified for this contract (BR-24).
func (x *exchange) certified(e *sent) bool {
	product := e.event.Product()
	return x.reference.Certified(x.participant.ID, product.Vendor, product.Name)
}

// refuse makes an error with one violation at a path.
func refuse(kind hub.Kind, code hub.Code, path string) *hub.Error {
	return &hub.Error{Kind: kind, Public: []hub.Violation{{Code: code, Severity: hub.Grave, Path: path}}}
}

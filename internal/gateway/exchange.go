package gateway

import (
	"context"

	"github.com/sinbahub/sinbahub/internal/contract"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// Exchange is the way of a message. Each step is one call; what holds after it stands above the
// next. It returns the answer to send, or a *hub.Error; it writes no HTTP, logs nothing and
// counts nothing. Step 1, transport, was taken by the caller: the bytes are bounded and, in the
// profile with a channel credential, the peer is known.
func (g *Gateway) Exchange(ctx context.Context, x *exchange) ([]byte, error) {
	// 2 limits and 3 validator, in the sender's turn.
	if err := g.inspect(ctx, x); err != nil {
		return nil, err
	}

	// From here on the hub reads only canonical bytes that libxml2 wrote.
	// 4 authentication: message credentials come with their profile; the channel's stands.
	// 5 authorisation: the operation by the body's child, headers understood, version served.
	if err := g.authoriseOperation(x); err != nil {
		return nil, err
	}
	if answer, done, err := g.answerWithoutEvent(ctx, x); done || err != nil {
		return answer, err
	}
	if err := g.authoriseEvent(x); err != nil {
		return nil, err
	}

	// Who says what for whom is known.
	// 6 duplicate?
	known, err := g.lookUp(ctx, x)
	if err != nil {
		return g.answerInvalid(x, err)
	}
	if known.repeat != nil {
		return g.answerRepeat(ctx, x, known)
	}
	release, err := g.claim(x, known)
	if err != nil {
		return nil, err
	}
	defer release()

	// The event is new.
	// 7 rules that need the event alone.
	found, grave := g.judge(x)
	if grave || x.operation.Name == contract.VerificaEvento {
		// Its case is asked too: everything is told at once, and a dry run says what would be said.
		return g.answerJudged(ctx, x, known, found)
	}

	// The event makes sense by itself.
	// 8 pseudonymise, by looking up; 9 accept. Both again if another acceptance was first with
	// this child or case.
	receipt, err := g.accept(ctx, x, known, found)
	if err != nil {
		return nil, err
	}

	// The hub has taken responsibility: nothing after this may fail the sender.
	// 10 answer.
	return soap.AppendEnvelope(nil, x.version, g.receiptBody(x, receipt)), nil
}

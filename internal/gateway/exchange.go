package gateway

import "context"

// Exchange is the way of a message. Each step is one call; what holds after it stands above the
// next. It returns the answer to send, or a *hub.Error; it writes no HTTP, logs nothing and
// counts nothing. Step 1, transport, was taken by the caller: the bytes are bounded and, in the
// profile with a channel credential, the peer is known.
//
// A request brings one event, or as many as its lot has. Each is judged alone: a step hands on the
// events that still stand, and whatever ends the way of an event is kept with it for the answer.
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
	if answer, done, err := g.answerWithoutEvents(ctx, x); done || err != nil {
		return answer, err
	}
	if err := g.admitLot(x); err != nil {
		return nil, err
	}
	authorised := g.authoriseEvents(x)

	// Who says what for whom is known of each event.
	defer g.release(x)
	for events := range distinct(authorised) {
		// 6 duplicate?
		events = g.lookUp(ctx, x, events)
		events = g.answerRepeats(ctx, x, events)
		// A closed door takes nothing new.
		events = g.admit(x, events)
		events = g.claim(x, events)

		// The events are new.
		// 7 rules that need the event alone. Whom they refuse, and a dry run, ask their case and end.
		g.judge(x, events)

		// The events make sense by themselves.
		// 8 pseudonymise, by reserving; 9 accept. Both again if another acceptance was first with
		// this child or case.
		g.accept(ctx, x, events)
	}

	// The hub has taken responsibility for what it gives receipts for: nothing after this may fail
	// the sender.
	// 10 answer.
	return g.answerEvents(x)
}

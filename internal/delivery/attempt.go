package delivery

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// The reasons for which an attempt sends nothing.
const (
	reasonMapping   = "mapping_version"
	reasonKey       = "key_epoch"
	reasonUntold    = "code_untold"
	reasonEvent     = "national_event"
	reasonValidator = "validator"
)

// trial is what one attempt came to, before it becomes a settlement.
type trial struct {
	verdict Verdict
	status  int
	// called says that the endpoint was called, so that the verdict says something about it.
	called bool
	// after is the Retry-After of the answer, leave what of it is about everybody.
	after, leave time.Duration
	// digest is the SHA-256 of the national event, zero if none was sent.
	digest [sha256.Size]byte
	// sealed is the national event that may have reached SISS, sealed; zero if none was sent or kept.
	sealed postgres.Sealed
}

// attempt makes one attempt and says how to settle it.
func (d *Dispatcher) attempt(ctx context.Context, h held, leave pass) ended {
	started := d.now()
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Deadline)
	defer cancel()
	c := &h.Claimed
	t := d.try(ctx, h)
	if t.called {
		d.note(leave.done(d.now(), t.verdict.Answered, t.leave), t)
	} else {
		leave.drop(d.now())
	}
	d.metrics.attempts.WithLabelValues(string(t.verdict.Result)).Inc()
	return ended{
		settlement: d.settlement(c, t, started), result: t.verdict.Result, status: t.status, claimed: c,
	}
}

// try asks if the last attempt left a doubt, and sends if SISS does not have the event.
func (d *Dispatcher) try(ctx context.Context, h held) trial {
	c := &h.Claimed
	var t trial
	if c.Uncertain {
		a := d.client.call(ctx, statoTrasmissione, stateRequest(c), d.holds(h))
		t = trial{verdict: ClassifyState(c.ID, a), status: a.Status, after: a.RetryAfter, leave: d.leave(a), called: !a.Late}
		d.kept(a, c)
		if t.verdict.Result != Retry {
			return t
		}
		if t.leave > 0 || d.slots.take(ctx, h.over(d.cfg.Lease)) != nil {
			// SISS was asked and does not have it: due again, without a doubt.
			return t
		}
	}
	// From here on SISS is known not to have the event, or nothing was ever sent.
	out, unfit := d.prepare(ctx, c)
	if unfit != nil {
		t.verdict = *unfit
		t.called = false
		return t
	}
	a := d.client.send(ctx, trasmettiEvento, out.message, d.holds(h))
	t = trial{verdict: Classify(c.ID, a), status: a.Status, after: a.RetryAfter, leave: d.leave(a), called: !a.Late}
	d.kept(a, c)
	if a.Sent {
		t.digest = sha256.Sum256(out.national)
		if t.verdict.Result != Retry {
			t.sealed = d.seal(ctx, c, out.national)
		}
	}
	return t
}

// seal keeps what may have reached SISS. That it could not be kept does not hold the settlement up: its
// digest stands in the journal, and it can be made again from what is stored.
func (d *Dispatcher) seal(ctx context.Context, c *postgres.Claimed, national []byte) postgres.Sealed {
	if d.keep == nil {
		return postgres.Sealed{}
	}
	sealed, err := d.keep(ctx, c, national)
	if err != nil {
		d.log.Warn("what was sent is not kept", zap.Stringer("delivery_id", c.ID), zap.Error(err))
		return postgres.Sealed{}
	}
	return sealed
}

// holds tells whether the lease of a claim still holds, whenever it is asked.
func (d *Dispatcher) holds(h held) func() bool {
	return func() bool { return passed(h.since, d.now()) < d.cfg.Lease }
}

// kept counts a request that was kept back because its lease was over.
func (d *Dispatcher) kept(a Answer, c *postgres.Claimed) {
	if a.Late {
		d.metrics.late.WithLabelValues(lateBeforeSend).Inc()
		d.log.Warn("lease was over before the request was written; nothing more is sent under it", zap.Stringer("delivery_id", c.ID))
	}
}

// note logs that an attempt opened the circuit.
func (d *Dispatcher) note(opened bool, t trial) {
	switch {
	case opened && t.leave > 0:
		d.log.Warn("national endpoint asks to be left alone", zap.Duration("for", t.leave), zap.Strings("codes", t.verdict.Codes))
	case opened:
		d.log.Error("national endpoint does not answer as the contract says; asking by echo until it does",
			zap.Strings("codes", t.verdict.Codes))
	}
}

// patientAttempts is how many attempts a national event has on which validator workers ended before
// it is parked.
const patientAttempts = 3

// prepare makes the message with the national event and checks that against the national schema.
// unfit is what to settle instead of sending: nothing that does not conform ever leaves.
func (d *Dispatcher) prepare(ctx context.Context, c *postgres.Claimed) (out transmission, unfit *Verdict) {
	out, err := d.maker.transmission(c)
	switch {
	case errors.Is(err, pseudonym.ErrUnknownEpoch):
		// Not the event's fault: the key may come back.
		d.log.Error("key of the recorded epoch is not loaded", zap.Stringer("delivery_id", c.ID), zap.Int32("epoch", c.NationEpoch))
		return transmission{}, &Verdict{Result: Retry, Codes: []string{reasonKey}}
	case errors.Is(err, errMapping):
		return transmission{}, d.park(c, []string{reasonMapping}, nil)
	case err != nil:
		return transmission{}, d.park(c, []string{reasonEvent}, nil)
	}
	if may, err := d.maySend(ctx, c.Subject, c.NationEpoch); err != nil || !may {
		return transmission{}, &Verdict{Result: Retry, Codes: []string{reasonUntold}}
	}
	result, err := d.pool.Validate(ctx, validator.SissRicezione, validator.Judge, out.national)
	var refusal *hub.Error
	switch {
	case err != nil && (ctx.Err() != nil || errors.As(err, &refusal) && refusal.Kind == hub.Unavailable):
		return transmission{}, &Verdict{Result: Retry, Codes: []string{reasonValidator}}
	case err != nil && refusal != nil && refusal.Kind == hub.Internal && c.Spent < patientAttempts:
		// Two workers ended with it, which may be bad luck: a person is asked if it goes on.
		return transmission{}, &Verdict{Result: Retry, Codes: []string{reasonValidator}}
	case err != nil:
		codes := []string{reasonEvent}
		if refusal != nil && len(refusal.Public) > 0 {
			codes = append(codes, string(refusal.Public[0].Code))
		}
		return transmission{}, d.park(c, codes, nil)
	case len(result.Violations) > 0:
		return transmission{}, d.park(c, violationCodes(result.Violations), result.Violations)
	}
	return out, nil
}

// park sets a delivery aside for a person and raises the alarm. Paths are the schema's own
// names, so that the log holds no content.
func (d *Dispatcher) park(c *postgres.Claimed, codes []string, violations []hub.Violation) *Verdict {
	paths := make([]string, 0, len(violations))
	for _, v := range violations {
		paths = append(paths, v.Path)
	}
	d.log.Error("national event does not conform: delivery parked", zap.Stringer("delivery_id", c.ID),
		zap.Stringer("message_id", c.Message), zap.Strings("codes", codes), zap.Strings("paths", paths))
	return &Verdict{Result: Parked, Codes: codes}
}

func violationCodes(all []hub.Violation) []string {
	var codes []string
	for _, v := range all {
		if !slices.Contains(codes, string(v.Code)) && len(codes) < mostCodes {
			codes = append(codes, string(v.Code))
		}
	}
	return codes
}

// settlement says what the attempt makes of its delivery.
func (d *Dispatcher) settlement(c *postgres.Claimed, t trial, started time.Time) *postgres.Settlement {
	ended := d.now()
	s := &postgres.Settlement{
		Delivery: c.ID, Lease: c.Lease, Protocol: t.verdict.Protocol, Codes: t.verdict.Codes,
		StartedAt: started, Took: ended.Sub(started), Digest: t.digest, Sealed: t.sealed,
	}
	switch t.verdict.Result {
	case Delivered:
		s.State = hub.Delivered
	case Refused:
		s.State = hub.Refused
	case Parked:
		s.State = hub.Parked
	case Retry:
		s.State = hub.Retrying
	case Uncertain:
		s.State = hub.Uncertain
	}
	if s.State == hub.Retrying || s.State == hub.Uncertain {
		wait := backoff(c.Spent, d.cfg.FirstRetry, d.cfg.MostRetry, rand.Float64()) //nolint:gosec // jitter
		s.RetryIn = max(wait, min(t.after, d.cfg.MostRetry))
		if int(c.Spent) >= d.cfg.Attempts {
			s.State, s.RetryIn = hub.Dead, 0
		}
	}
	s.Entry = journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: ended, Kind: journal.AttemptSettled, Environment: c.Environment,
		Participant: c.Participant, Ente: c.Ente, Message: c.Message, Event: c.Event, Delivery: c.ID,
		Attempt: c.Attempt, Outcome: string(s.State), Sealed: t.sealed.Digest,
		Evidence: journal.Evidence{
			StartedAt: started.UTC().Truncate(time.Microsecond), Outbound: t.digest, Mapping: c.MappingVersion,
			NationEpoch: c.NationEpoch, Hub: d.version,
		},
	}
	for _, code := range t.verdict.Codes {
		s.Entry.Codes = append(s.Entry.Codes, hub.Code(code))
	}
	return s
}

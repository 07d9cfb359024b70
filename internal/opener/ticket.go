package opener

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// admit takes a ticket's text from a user: a good ticket for one of the purposes, signed by two people whom
// both the database and the opener's own list know. That it was not used, and its time, are seen when it is
// used. Every refusal but that of who asks too often is journalled.
func (o *Opener) admit(ctx context.Context, uid uint32, text string, purposes ...ticket.Purpose) (ticket.Signed, error) {
	if !o.rates.take(uid, o.Now()) {
		return ticket.Signed{}, ErrLimited
	}
	t, err := ticket.Parse([]byte(text))
	if err == nil {
		err = o.check(ctx, t, purposes)
	}
	if err != nil {
		return ticket.Signed{}, o.refused(ctx, uid, t, err)
	}
	return t, nil
}

func (o *Opener) check(ctx context.Context, t ticket.Signed, purposes []ticket.Purpose) error {
	if !slices.Contains(purposes, t.Purpose) {
		return ErrPurpose
	}
	if o.cfg.CheckReason(t.Reason) != nil {
		return ErrReason
	}
	registered, err := o.Store.Signers(ctx, o.cfg.Environment)
	if err != nil {
		o.tell(err)
		return ErrUnavailable
	}
	listed, err := o.Trusted()
	if err != nil {
		o.Logger.Error("no ticket is taken", zap.Error(err))
		return ErrTrust
	}
	if err := t.Verify(o.cfg.Hub, o.cfg.Environment, trusted(registered, listed)); err != nil {
		return err
	}
	if o.isSpent(t.ID) {
		return ticket.ErrUsed
	}
	return nil
}

// isSpent tells whether this process saw a ticket used. The database says so, too, unless it was restored
// or somebody took the row away.
func (o *Opener) isSpent(id uuid.UUID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, spent := o.spent[id]
	return spent
}

// spend remembers a ticket until a day behind its end, whatever clock says so.
func (o *Opener) spend(t ticket.Signed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.Now()
	maps.DeleteFunc(o.spent, func(_ uuid.UUID, end time.Time) bool { return now.After(end.AddDate(0, 0, 1)) })
	o.spent[t.ID] = t.Expires
}

// use takes a ticket and writes the entry of what it allows: nil says that both are durable, and nothing
// may be opened else.
func (o *Opener) use(ctx context.Context, uid uint32, t ticket.Signed, e journal.Entry) error {
	err := o.Store.UseTicket(ctx, t, e)
	if err == nil {
		o.spend(t)
		o.Logger.Info("ticket used", zap.String("outcome", e.Outcome), zap.Stringer("entry_id", e.ID), zap.Stringer("ticket_id", t.ID))
		return nil
	}
	// Whatever is not known to be a refusal may have used the ticket up, or not.
	if word, _ := wordOf(err); errors.Is(word.err, ErrUnavailable) {
		o.Logger.Error("use of a ticket not journalled, nothing was opened", zap.Error(err), zap.Stringer("entry_id", e.ID))
		return ErrUnavailable
	}
	return o.refused(ctx, uid, t, err)
}

// refused journals a try, as far as that can be done, and gives why it was refused. What an unproven ticket
// says of people and reasons is not repeated.
func (o *Opener) refused(ctx context.Context, uid uint32, t ticket.Signed, why error) error {
	said, _ := wordOf(why)
	if errors.Is(said.err, ErrUnavailable) {
		return ErrUnavailable
	}
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: o.Now().UTC().Truncate(time.Microsecond), Kind: journal.TicketRefused,
		Environment: o.cfg.Environment, Outcome: said.text, Codes: []hub.Code{uidCode(uid)},
	}
	if t.ID != uuid.Nil {
		e.Codes = append(e.Codes, hub.Code("ticket:"+t.ID.String()), hub.Code("purpose:"+string(t.Purpose)))
		e.Commitment = t.Digest()
	}
	if err := o.Store.JournalOpening(context.WithoutCancel(ctx), e); err != nil {
		o.Logger.Error("refusal of a ticket not journalled", zap.Error(err), zap.Stringer("entry_id", e.ID))
	}
	o.Logger.Warn("ticket refused", zap.String("why", said.text), zap.Stringer("entry_id", e.ID), zap.Uint32("uid", uid))
	return why
}

// uidCode is how an entry names the user that the kernel says.
func uidCode(uid uint32) hub.Code { return hub.Code("uid:" + strconv.FormatUint(uint64(uid), 10)) }

// entry is the journal's of what a ticket allows a user.
func (o *Opener) entry(uid uint32, t ticket.Signed, kind journal.Kind, outcome string) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: o.Now().UTC().Truncate(time.Microsecond), Kind: kind,
		Environment: o.cfg.Environment, Outcome: outcome, Actor: t.Requester, Reason: t.Reason, Commitment: t.Digest(),
		Codes: []hub.Code{uidCode(uid), hub.Code("ticket:" + t.ID.String()), hub.Code("approved:" + t.Approver())},
	}
}

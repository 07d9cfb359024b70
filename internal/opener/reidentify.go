package opener

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// OutcomeIdentities is the outcome of entries of kind SubjectReidentified.
const OutcomeIdentities = "identities"

// Reidentified is the way back from one pseudonym. It prints as placeholders.
type Reidentified struct {
	// Identities are all that stand for the subject.
	Identities []pseudonym.Identity
	// Closed is how many more there are that do not open.
	Closed int
}

// Reidentify gives the identities behind the pseudonym that a ticket names. The entry is durable before
// any is opened, and the ticket is used up then, whatever becomes of the answer.
func (o *Opener) Reidentify(ctx context.Context, uid uint32, text string) (*Reidentified, error) {
	t, err := o.admit(ctx, uid, text, ticket.Reidentify)
	if err != nil {
		return nil, err
	}
	subject, sealed, err := o.behind(ctx, t.Scope)
	if err != nil {
		return nil, o.refused(ctx, uid, t, err)
	}
	if err := o.use(ctx, uid, t, o.entry(uid, t, journal.SubjectReidentified, OutcomeIdentities)); err != nil {
		return nil, err
	}
	all := make([]found, len(sealed))
	for i, bytes := range sealed {
		all[i] = found{row: hub.SealedRow{Subject: subject, Bytes: bytes}, kind: pseudonym.SealedIdentity, label: subject}
	}
	o.unseal(ctx, all)
	answer := &Reidentified{}
	for _, f := range all {
		identity, err := pseudonym.ParseIdentity(f.plain)
		clear(f.plain)
		if f.err != nil || err != nil {
			answer.Closed++
			continue
		}
		answer.Identities = append(answer.Identities, identity)
	}
	if len(answer.Identities) == 0 {
		return nil, cmp.Or(all[0].err, ErrDamaged)
	}
	return answer, nil
}

// behind finds the subject of a pseudonym and its sealed identities. One search runs at a time: it looks at
// every subject.
func (o *Opener) behind(ctx context.Context, s ticket.Scope) (subject uuid.UUID, sealed [][]byte, err error) {
	if o.Codes == nil {
		return uuid.Nil, nil, ErrNoCodes
	}
	o.searching.Lock()
	defer o.searching.Unlock()
	subject, ok, err := o.Vault.SubjectOf(ctx, o.Codes, pseudonym.Domain(s.Domain), s.Code)
	switch {
	case errors.Is(err, pseudonym.ErrUnknownEpoch):
		return uuid.Nil, nil, ErrNoCodes
	case err == nil && !ok:
		return uuid.Nil, nil, ErrUnknown
	case err == nil:
		sealed, err = o.Vault.SealedIdentities(ctx, subject)
	}
	if err != nil {
		o.tell(err)
		return uuid.Nil, nil, ErrUnavailable
	}
	if len(sealed) == 0 {
		return uuid.Nil, nil, ErrErased
	}
	return subject, sealed, nil
}

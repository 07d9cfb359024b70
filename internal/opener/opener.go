// Package opener opens what was sealed. It is the other half of pseudonym and runs in a process of its
// own, under a user of its own: the only one that holds the private half of the sealing pair. It is asked
// over a Unix socket, by users that are named to it, and writes into the journal who asked, and why,
// before it opens anything. If that entry cannot be committed, nothing is opened.
//
// There are two ways to ask. A single id is an entry and an answer, so many a minute for each user. A
// session is for replay: an entry at its begin, with the range of time it may look into, one for each
// batch of at most MaxBatch ids, one at its end.
//
// A request has a place for a ticket, signed by two people. None is understood yet, and one that is given
// is refused, so that nobody believes that it was looked at.
//
// Client is the other side of the socket.
package opener

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// MaxBatch is the most ids of one batch, and so of one entry.
const MaxBatch = 1000

// Store is the database in the opener's role: postgres.Store.
type Store interface {
	// SealedMessages gives accepted messages by IdRicevuta.
	SealedMessages(ctx context.Context, env hub.Environment, ids []uuid.UUID) (map[uuid.UUID]hub.SealedRow, error)
	// SealedOrigins gives the same without the envelope.
	SealedOrigins(ctx context.Context, env hub.Environment, ids []uuid.UUID) (map[uuid.UUID]hub.SealedRow, error)
	// SealedSent gives what was sent for deliveries.
	SealedSent(ctx context.Context, env hub.Environment, asked []hub.SentKey) (map[hub.SentKey]hub.SealedRow, error)
	// JournalOpening returns nil only when the entry is durable.
	JournalOpening(ctx context.Context, e journal.Entry) error
}

// Vault is pseudonym.OpenerVault.
type Vault interface {
	// Secrets gives the secrets of subjects that were not erased.
	Secrets(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]pseudonym.Secret, error)
	// EpochKeys gives the sealed epoch keys that there are.
	EpochKeys(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]pseudonym.SealedEpochKey, error)
}

// Config says who may ask how much.
type Config struct {
	// Environment is whose messages are opened; those of the other one are unknown.
	Environment hub.Environment
	// UIDs and GIDs are the users and groups, as the kernel knows them, that may ask.
	UIDs, GIDs []int
	// Rate is how many single ids and beginnings of sessions a user has in a minute.
	Rate int
	// CheckReason refuses a text that must not stand in the journal.
	CheckReason func(string) error
}

// Parts are what an Opener works with.
type Parts struct {
	Keys   *pseudonym.OpenerKeys
	Store  Store
	Vault  Vault
	Logger *zap.Logger
	Now    func() time.Time
}

// Opener opens. It is safe for concurrent use.
type Opener struct {
	Parts

	cfg   Config
	rates *rates
	actor *regexp.Regexp

	mu       sync.Mutex
	sessions map[uuid.UUID]*session
}

// New makes an opener. Serve runs it.
func New(cfg Config, parts Parts) *Opener {
	return &Opener{
		Parts: parts, cfg: cfg, rates: newRates(cfg.Rate), sessions: map[uuid.UUID]*session{},
		actor: regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`),
	}
}

// Question asks for one thing that was sealed.
type Question struct {
	Who

	// ID is IdRicevuta, for the message as it came, or IdTrasmissione, for what was sent to SISS.
	ID uuid.UUID `json:"id"`
	// Attempt is the number of the attempt whose bytes are meant; 0 is the last one that was kept.
	Attempt int32 `json:"attempt,omitempty"`
}

// Who is who asks, and why.
type Who struct {
	// Actor is the name of the person's account. Besides it the entry has the user that the kernel says.
	Actor string `json:"actor"`
	// Reason is why, in the person's words.
	Reason string `json:"reason"`
	// Ticket is reserved; empty.
	Ticket string `json:"ticket,omitempty"`
}

// The outcomes of entries of kind MessageOpened: what was asked for.
const (
	// OutcomeMessage is one message, OutcomeOutbound the bytes sent for one delivery.
	OutcomeMessage  = "message"
	OutcomeOutbound = "outbound"
	// OutcomeBegin, OutcomeBatch and OutcomeEnd are a session's. A batch has the lowest and the highest of
	// its ids as Message and Other, how many as Count, and SHA-256 of them all, in their order, as
	// Commitment; the end has how many ids were asked for in all as Count.
	OutcomeBegin = "begin"
	OutcomeBatch = "batch"
	OutcomeEnd   = "end"
)

// Answer is one thing opened.
type Answer struct {
	// Outcome says which kind it is.
	Outcome string `json:"outcome"`
	// Message is IdRicevuta, Delivery IdTrasmissione where that was asked for.
	Message  uuid.UUID `json:"message"`
	Delivery uuid.UUID `json:"delivery"`
	// Attempt is the attempt's number.
	Attempt int32 `json:"attempt,omitempty"`
	// Schema is the version of the contract or form, as sealed.
	Schema string `json:"schema"`
	// Plain is what was sealed.
	Plain []byte `json:"plain"`
}

// Open answers one question of a user.
func (o *Opener) Open(ctx context.Context, uid uint32, q Question) (*Answer, error) {
	if err := o.admit(uid, q.Who); err != nil {
		return nil, err
	}
	if q.ID == uuid.Nil || q.Attempt < 0 {
		return nil, ErrMalformed
	}
	outcome, f, err := o.find(ctx, q)
	if err != nil {
		return nil, err
	}
	e := o.entry(uid, q.Who, outcome)
	e.Participant, e.Ente, e.Message, e.Delivery, e.Attempt = f.row.Participant, f.row.Ente, f.row.Message, f.row.Delivery, f.row.Attempt
	if err := o.journal(ctx, e); err != nil {
		return nil, err
	}
	one := []found{f}
	o.unseal(ctx, one)
	if one[0].err != nil {
		return nil, one[0].err
	}
	return &Answer{
		Outcome: outcome, Message: f.row.Message, Delivery: f.row.Delivery, Attempt: f.row.Attempt,
		Schema: one[0].schema, Plain: one[0].plain,
	}, nil
}

// find looks an id up as a receipt's, then as a delivery's.
func (o *Opener) find(ctx context.Context, q Question) (outcome string, f found, err error) {
	if q.Attempt == 0 {
		f = o.resolve(ctx, []Request{{Message: q.ID}})[0]
		if f.err != ErrUnknown { //nolint:errorlint // our own, never wrapped
			return OutcomeMessage, f, f.err
		}
	}
	f = o.resolve(ctx, []Request{{Delivery: q.ID, Attempt: q.Attempt}})[0]
	return OutcomeOutbound, f, f.err
}

// admit refuses who asks too often or does not say who and why.
func (o *Opener) admit(uid uint32, w Who) error {
	switch {
	case w.Ticket != "":
		return ErrTicket
	case !o.actor.MatchString(w.Actor) || o.cfg.CheckReason(w.Actor) != nil:
		return ErrActor
	case o.cfg.CheckReason(w.Reason) != nil:
		return ErrReason
	case !o.rates.take(uid, o.Now()):
		return ErrLimited
	}
	return nil
}

// allowed tells whether a user may ask.
func (o *Opener) allowed(uid, gid uint32) bool {
	return slices.Contains(o.cfg.UIDs, int(uid)) || slices.Contains(o.cfg.GIDs, int(gid))
}

// entry is the journal's, of a user who is also known as an actor.
func (o *Opener) entry(uid uint32, w Who, outcome string) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: o.Now().UTC().Truncate(time.Microsecond), Kind: journal.MessageOpened,
		Environment: o.cfg.Environment, Outcome: outcome, Actor: w.Actor, Reason: w.Reason,
		Codes: []hub.Code{hub.Code("uid:" + strconv.FormatUint(uint64(uid), 10))},
	}
}

// journal writes an entry, or says that nothing may be opened.
func (o *Opener) journal(ctx context.Context, e journal.Entry) error {
	if err := o.Store.JournalOpening(ctx, e); err != nil {
		o.Logger.Error("opening not journalled, nothing was opened", zap.Error(err), zap.Stringer("entry_id", e.ID))
		return ErrUnavailable
	}
	o.Logger.Info("opening journalled", zap.String("outcome", e.Outcome), zap.Stringer("entry_id", e.ID), zap.Int32("ids", e.Count))
	return nil
}

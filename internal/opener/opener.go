// Package opener opens what was sealed. It is the other half of pseudonym and runs in a process of its
// own, under a user of its own: the only one that holds the private half of the sealing pair. It is asked
// over a Unix socket, by users that are named to it, and opens nothing but what a ticket names that two
// people signed (package ticket). It verifies the ticket itself, against the people whom the database has
// and its own list repeats (Trust), and takes it in the same transaction that writes into the journal who
// asked, who approved, and why. If that cannot be committed, nothing is opened; once it is, the ticket is
// used up, whatever becomes of the answer.
//
// There are three things to have opened. A single message, or the identities behind one pseudonym, are an entry
// and an answer, so many a minute for each user. A session is for replay: an entry at its begin, with the
// range of time it may look into, one for each batch of at most MaxBatch ids, one at its end. It ends when
// its ticket expires, is revoked, or one of its people is retired. Take opens nothing: it takes a ticket for
// what a command does with the application's rights (a child's report, its erasure).
//
// Client is the other side of the socket.
package opener

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
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
	// Signers are the registered people who were not retired.
	Signers(ctx context.Context, env hub.Environment) ([]ticket.Person, error)
	// UseTicket takes a ticket with its entry: nil only when both are durable, an *hub.Error if that is
	// not known, another error if the ticket may not be used and nothing was written.
	UseTicket(ctx context.Context, t ticket.Signed, e journal.Entry) error
	// JournalUnderTicket is JournalOpening for as long as a used ticket holds, then ticket.ErrExpired.
	JournalUnderTicket(ctx context.Context, env hub.Environment, id uuid.UUID, e journal.Entry) error
}

// Vault is pseudonym.OpenerVault.
type Vault interface {
	// Secrets gives the secrets of subjects that were not erased.
	Secrets(ctx context.Context, subjects []uuid.UUID) (map[uuid.UUID]pseudonym.Secret, error)
	// EpochKeys gives the sealed epoch keys that there are.
	EpochKeys(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]pseudonym.SealedEpochKey, error)
	// SubjectOf finds the subject that has a code; ErrUnknownEpoch of package pseudonym if no key makes
	// codes of the domain.
	SubjectOf(ctx context.Context, keys *pseudonym.CodeKeys, d pseudonym.Domain, code string) (uuid.UUID, bool, error)
	// SealedIdentities gives a subject's.
	SealedIdentities(ctx context.Context, subject uuid.UUID) ([][]byte, error)
	KeyVault
}

// Config says who may ask how much.
type Config struct {
	// Environment is whose messages are opened; those of the other one are unknown.
	Environment hub.Environment
	// Hub is the origin of the hub's journal, which tickets name.
	Hub string
	// UIDs and GIDs are the users and groups, as the kernel knows them, that may ask.
	UIDs, GIDs []int
	// Rate is how many tickets a user may show in a minute, good or bad.
	Rate int
	// CheckReason refuses a text that must not stand in the journal.
	CheckReason func(string) error
}

// Parts are what an Opener works with.
type Parts struct {
	Keys *pseudonym.OpenerKeys
	// Codes find the subject of a pseudonym; nil if this opener re-identifies nobody.
	Codes *pseudonym.CodeKeys
	// Trusted reads the opener's own list of people.
	Trusted func() ([]ticket.Person, error)
	Store   Store
	Vault   Vault
	Logger  *zap.Logger
	Now     func() time.Time
}

// Opener opens. It is safe for concurrent use.
type Opener struct {
	Parts

	cfg   Config
	rates *rates
	// searching is held by the one search for a subject.
	searching sync.Mutex

	mu       sync.Mutex
	sessions map[uuid.UUID]*session
	// spent are the tickets that this process saw used, with their ends.
	spent map[uuid.UUID]time.Time
}

// New makes an opener. Serve runs it.
func New(cfg Config, parts Parts) *Opener {
	return &Opener{Parts: parts, cfg: cfg, rates: newRates(cfg.Rate), sessions: map[uuid.UUID]*session{}, spent: map[uuid.UUID]time.Time{}}
}

// Question asks for one thing that was sealed.
type Question struct {
	// Ticket is the signed ticket, whose scope is this id.
	Ticket string `json:"ticket"`
	// ID is IdRicevuta, for the message as it came, or IdTrasmissione, for what was sent to SISS.
	ID uuid.UUID `json:"id"`
	// Attempt is the number of the attempt whose bytes are meant; 0 is the last one that was kept.
	Attempt int32 `json:"attempt,omitempty"`
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
	t, err := o.admit(ctx, uid, q.Ticket, ticket.Open)
	if err != nil {
		return nil, err
	}
	if q.Attempt < 0 {
		return nil, ErrMalformed
	}
	if q.ID != t.Scope.ID {
		return nil, o.refused(ctx, uid, t, ErrPurpose)
	}
	outcome, f, err := o.find(ctx, q)
	if err != nil {
		return nil, o.refused(ctx, uid, t, err)
	}
	e := o.entry(uid, t, journal.MessageOpened, outcome)
	e.Participant, e.Ente, e.Message, e.Delivery, e.Attempt = f.row.Participant, f.row.Ente, f.row.Message, f.row.Delivery, f.row.Attempt
	if err := o.use(ctx, uid, t, e); err != nil {
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
	switch {
	case q.Attempt == 0:
	case f.err == ErrGone: //nolint:errorlint // as above
		f.err = ErrAttempt
	case f.err == ErrUnknown: //nolint:errorlint // as above
		if m := o.resolve(ctx, []Request{{Message: q.ID}})[0]; m.err == nil || m.err == ErrGone { //nolint:errorlint // as above
			f.err = ErrReceipt
		}
	}
	return OutcomeOutbound, f, f.err
}

// allowed tells whether a user may ask.
func (o *Opener) allowed(uid, gid uint32) bool {
	return slices.Contains(o.cfg.UIDs, int(uid)) || slices.Contains(o.cfg.GIDs, int(gid))
}

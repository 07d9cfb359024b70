package opener

import (
	"errors"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// Why something was not opened. None tells anything of its content. All of them pass the socket and are
// the same on its other side.
var (
	ErrUnknown     = errors.New("no message and no delivery has this id")
	ErrGone        = errors.New("nothing sealed is kept of it: it is past its time, or there never was any")
	ErrErased      = errors.New("its subject was erased: it does not open any more, for anybody")
	ErrNoKey       = errors.New("the opener lacks the key it was sealed under: the epoch key is gone, or the key pair of its time")
	ErrDamaged     = errors.New("what is stored does not open: it was changed, or sealed for another")
	ErrOutside     = errors.New("not in the session's range of time")
	ErrUnavailable = errors.New("the opener's database does not answer: nothing was opened")

	ErrMalformed = errors.New("the opener does not understand the request")
	ErrReason    = errors.New("the ticket's reason must be one line of at most 500 characters, without an identity")
	ErrPurpose   = errors.New("the ticket is for something else than what was asked for")
	ErrNoCodes   = errors.New("this opener has no keys of the domain's codes and re-identifies nobody (opener.codes)")
	ErrLimited   = errors.New("too many tickets in a minute: wait, or have the rate raised")
	ErrStranger  = errors.New("the opener does not answer this user")
	ErrSession   = errors.New("no such session: it ended, or another user began it")
	ErrCrowded   = errors.New("too many sessions at once")
	// ErrNotHeld says that work on keys is for an epoch that this opener started without.
	ErrNotHeld = errors.New("the opener does not hold that epoch of the key: see that it has the file and start it again; the ticket was not used")
	// ErrReceipt says that an attempt was named of what has none.
	ErrReceipt = errors.New("this is an IdRicevuta, and what came has no attempts: leave the attempt out, or name the IdTrasmissione whose attempt is meant")
	// ErrAttempt says that nothing is kept of that attempt.
	ErrAttempt = errors.New("nothing sealed is kept of an attempt of this number: only attempts that ended delivered, refused or uncertain and sent something are kept, until they are past their time; without a number the last one kept is opened")
)

// ErrUnreachable is the client's own.
var ErrUnreachable = errors.New("no opener answers on its socket, or this user may not enter its folder")

// word is how an error passes the socket.
type word struct {
	text   string
	status int
	err    error
}

// words are all that pass it. The first ones are an item's of a batch and go by their number, which is
// never given another meaning.
func words() []word {
	return []word{
		{"", 200, nil},
		{"unknown", 404, ErrUnknown},
		{"gone", 410, ErrGone},
		{"erased", 410, ErrErased},
		{"no_key", 409, ErrNoKey},
		{"damaged", 409, ErrDamaged},
		{"outside", 403, ErrOutside},
		{"unavailable", 503, ErrUnavailable},
		{"malformed", 400, ErrMalformed},
		{"reason", 400, ErrReason},
		{"limited", 429, ErrLimited},
		{"stranger", 403, ErrStranger},
		{"session", 404, ErrSession},
		{"crowded", 429, ErrCrowded},
		{"receipt", 400, ErrReceipt},
		{"no_attempt", 410, ErrAttempt},
		{"purpose", 403, ErrPurpose},
		{"no_codes", 409, ErrNoCodes},
		{"not_held", 409, ErrNotHeld},
		{"trust", 503, ErrTrust},
		{"ticket_format", 400, ticket.ErrFormat},
		{"ticket_scope", 400, ticket.ErrScope},
		{"ticket_life", 400, ticket.ErrLife},
		{"ticket_reason", 400, ticket.ErrReason},
		{"ticket_unsigned", 403, ticket.ErrUnsigned},
		{"ticket_signature", 403, ticket.ErrSignature},
		{"ticket_person", 403, ticket.ErrPerson},
		{"ticket_same_person", 403, ticket.ErrSamePerson},
		{"ticket_role", 403, ticket.ErrRole},
		{"ticket_requester", 403, ticket.ErrRequester},
		{"ticket_hub", 403, ticket.ErrHub},
		{"ticket_used", 403, ticket.ErrUsed},
		{"ticket_revoked", 403, ticket.ErrRevoked},
		{"ticket_expired", 403, ticket.ErrExpired},
		{"ticket_early", 403, ticket.ErrEarly},
		{"ticket_approval", 403, ticket.ErrApproval},
	}
}

// wordOf finds an error's word and number; one of nobody's is told as unavailable.
func wordOf(err error) (word, byte) {
	all := words()
	for i, w := range all {
		if errors.Is(err, w.err) {
			return w, byte(i)
		}
	}
	const unavailable = 7
	return all[unavailable], unavailable
}

// errorOf is the error of a word.
func errorOf(text string) error {
	for _, w := range words() {
		if w.text == text && w.err != nil {
			return w.err
		}
	}
	return ErrUnavailable
}

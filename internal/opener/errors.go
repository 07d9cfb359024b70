package opener

import "errors"

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
	ErrActor     = errors.New("the actor must be an account name: 1 to 64 letters, digits and signs of .@_-")
	ErrReason    = errors.New("the reason must be one line of at most 500 characters, without an identity")
	ErrTicket    = errors.New("tickets are not understood yet: ask without")
	ErrLimited   = errors.New("too many openings of single ids in a minute: wait, or have the rate raised")
	ErrStranger  = errors.New("the opener does not answer this user")
	ErrSession   = errors.New("no such session: it ended, or another user began it")
	ErrCrowded   = errors.New("too many sessions at once")
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
		{"actor", 400, ErrActor},
		{"reason", 400, ErrReason},
		{"ticket", 400, ErrTicket},
		{"limited", 429, ErrLimited},
		{"stranger", 403, ErrStranger},
		{"session", 404, ErrSession},
		{"crowded", 429, ErrCrowded},
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

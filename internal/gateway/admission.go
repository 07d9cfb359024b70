package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// The bounds of what requests may hold while they arrive. A body counts as its bytes come in, so
// that one that only announces itself costs nothing.
const (
	// bodiesTotal is how many bytes of bodies may be under way over all participants.
	bodiesTotal = 64 << 20
	// firstRead is the room a body gets before its first byte.
	firstRead = 16 << 10
)

// admission lets no participant take the whole door: at most a share of the exchanges, and a
// share of the bytes under way.
type admission struct {
	mu       sync.Mutex
	requests int   // most of one participant
	share    int64 // most bytes of one participant
	total    int64 // bytes left over all
	loads    map[int32]*load
}

// load is what one participant has under way.
type load struct {
	requests int
	bytes    int64
}

func newAdmission(exchanges int) *admission {
	return &admission{
		requests: max(1, exchanges/2), share: bodiesTotal / 2, total: bodiesTotal, loads: map[int32]*load{},
	}
}

// enter takes one request's place for a participant; ok is false if it has its share.
func (a *admission) enter(participant int32) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	if l == nil {
		l = &load{}
		a.loads[participant] = l
	}
	if l.requests >= a.requests {
		return false
	}
	l.requests++
	return true
}

// grow takes room for n more bytes of a body.
func (a *admission) grow(participant int32, n int64) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	if n > a.total || l.bytes+n > a.share {
		return false
	}
	a.total -= n
	l.bytes += n
	return true
}

// leave gives a request's place and its bytes back.
func (a *admission) leave(participant int32, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.loads[participant]
	l.requests--
	l.bytes -= bytes
	a.total += bytes
	if l.requests == 0 {
		delete(a.loads, participant)
	}
}

// overloaded refuses for now.
func overloaded(code hub.Code) *hub.Error {
	return &hub.Error{Kind: hub.Overloaded, RetryAfter: jittered(retryAfter), Public: []hub.Violation{{Code: code, Severity: hub.Grave, Path: "/"}}}
}

// readBody reads a body of a known length, or of an unknown one (-1), into a buffer that grows
// with what arrives. grow is asked before each growth. Errors are replaced: they may quote content.
func readBody(body io.Reader, length int64, grow func(n int64) bool) ([]byte, error) {
	size := int64(firstRead)
	if length >= 0 {
		size = min(size, length)
	}
	if !grow(size) {
		return nil, overloaded(hub.CodeOverloaded)
	}
	text := make([]byte, 0, size)
	for {
		if len(text) == cap(text) {
			if int64(len(text)) == length {
				return text, nil
			}
			more := int64(cap(text))
			if length >= 0 {
				more = min(more, length-int64(cap(text)))
			}
			if !grow(max(more, 1)) {
				return nil, overloaded(hub.CodeOverloaded)
			}
			text = append(make([]byte, 0, int64(cap(text))+max(more, 1)), text...)
		}
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) && (length < 0 || int64(len(text)) == length) {
			return text, nil
		}
		if err != nil {
			return nil, brokenBody(err)
		}
	}
}

// brokenBody says why a body did not arrive whole.
func brokenBody(err error) *hub.Error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return hub.NewError(hub.TooLarge, hub.CodeBodyTooLarge, nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return hub.NewError(hub.Malformed, hub.CodeSlowRequest, nil)
	}
	return hub.NewError(hub.Malformed, hub.CodeMalformed, errors.New("request body cut short"))
}

package validator

import (
	"slices"
	"sync"
)

// queue has the documents that wait for a worker of one lane. Senders take turns, document by
// document, so that whoever has many waiting lets the others wait for one of them, not for all.
type queue struct {
	// ready has a token when there may be something to take.
	ready chan struct{}

	mu       sync.Mutex
	backlogs map[Sender]*backlog
	// turns are the senders that have something waiting; the first is next.
	turns []*backlog
}

// backlog is what one sender has waiting, the first first.
type backlog struct {
	sender Sender
	calls  []*call
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), backlogs: map[Sender]*backlog{}}
}

// signal makes a worker's slot look.
func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// put appends a call to its sender's.
func (q *queue) put(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.backlogs[c.sender]
	if b == nil {
		b = &backlog{sender: c.sender}
		q.backlogs[c.sender] = b
		q.turns = append(q.turns, b)
	}
	b.calls = append(b.calls, c)
	q.signal()
}

// take appends at most n calls to into, by turns; a big one is the last.
func (q *queue) take(n int, into []*call) []*call {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; n > 0 && len(q.turns) > 0; n-- {
		b := q.turns[0]
		q.turns = q.turns[1:]
		c := b.calls[0]
		b.calls[0] = nil
		if b.calls = b.calls[1:]; len(b.calls) > 0 {
			q.turns = append(q.turns, b)
		} else {
			delete(q.backlogs, b.sender)
		}
		into = append(into, c)
		if c.isBig() {
			break
		}
	}
	if len(q.turns) > 0 {
		q.signal()
	}
	return into
}

// remove takes back a call that nobody has taken yet.
func (q *queue) remove(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.backlogs[c.sender]
	if b == nil {
		return false
	}
	at := slices.Index(b.calls, c)
	if at < 0 {
		return false
	}
	if b.calls = slices.Delete(b.calls, at, at+1); len(b.calls) == 0 {
		q.turns = slices.DeleteFunc(q.turns, func(other *backlog) bool { return other == b })
		delete(q.backlogs, b.sender)
	}
	return true
}

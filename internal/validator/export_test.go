package validator

import (
	"syscall"
	"time"
)

// SetWear changes when a worker is replaced. Only before Start.
func (p *Pool) SetWear(served int, age time.Duration) {
	p.maxServed, p.maxAge = served, age
}

// SetWays changes in which ways a worker may be started. Only before Start.
func (p *Pool) SetWays(ways ...syscall.SysProcAttr) { p.ways = ways }

// ProcessorTime is how long a process has had a processor.
var ProcessorTime = processorTime

// Queued is how many usual documents wait for a worker.
func (p *Pool) Queued() int {
	p.usual.mu.Lock()
	defer p.usual.mu.Unlock()
	n := 0
	for _, b := range p.usual.backlogs {
		n += len(b.calls)
	}
	return n
}

// TestQueue is a queue of documents, for tests.
type TestQueue struct {
	q     *queue
	calls map[int]*call
	ids   map[*call]int
}

// Taken is a document that came off a queue.
type Taken struct {
	Sender    Sender
	ID, Bytes int
}

// NewTestQueue makes one.
func NewTestQueue() *TestQueue {
	return &TestQueue{newQueue(), map[int]*call{}, map[*call]int{}}
}

// Put, Take, Remove and Ready are the queue's own.
func (q *TestQueue) Put(s Sender, id, bytes int) {
	c := &call{sender: s, doc: make([]byte, bytes)}
	q.calls[id], q.ids[c] = c, id
	q.q.put(c)
}

func (q *TestQueue) Take(n int) (all []Taken) {
	for _, c := range q.q.take(n, nil) {
		all = append(all, Taken{c.sender, q.ids[c], len(c.doc)})
	}
	return all
}
func (q *TestQueue) Remove(_ Sender, id int) bool { return q.q.remove(q.calls[id]) }
func (q *TestQueue) Ready() bool                  { return len(q.q.ready) > 0 }

// Window follows how many documents a worker gets at once, for tests.
type Window struct{ s session }

// Measure and Free are the session's own.
func (w *Window) Measure(n int, took time.Duration) { w.s.measure(n, took) }
func (w *Window) Free() int                         { return w.s.free() }

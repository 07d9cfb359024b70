package validator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sinbahub/sinbahub/pkg/xmlschema"
)

// How much is under way with one worker.
const (
	// window is how many documents may be unanswered at most; so many are sent again if it dies.
	window = 16
	// mostPerWrite is how many go into one write.
	mostPerWrite = 8
	// largeNiceness is how much that lane's worker gives way (setpriority(2)).
	largeNiceness = 5
	// largePatience is how many times the deadline that worker has for a document.
	largePatience = 5
	// windowTime is how much of a worker's time the documents under way may be worth, if more than
	// one is: a document that comes waits for no more than that.
	windowTime = 4 * time.Millisecond
	// keepBuffer is the largest write buffer that is kept for the next write.
	keepBuffer = 1 << 20
	// readBuffer holds many answers, so that one read brings what the worker wrote at once.
	readBuffer = 128 << 10
)

// reason says why a worker ended; the label of hub_validator_restarts_total.
type reason string

// The reasons. A worker that ends with its pool has none.
const (
	crashed  reason = "crash"
	overdue  reason = "deadline"
	misspoke reason = "protocol"
	worn     reason = "age"
)

// session is the conversation with one worker, from its first document to its end. One
// goroutine writes (the slot's), one reads.
type session struct {
	child    *child
	names    map[Schema]xmlschema.Names
	deadline time.Duration

	// answered has a token after an answer has come, for a writer that waits for room.
	answered chan struct{}
	// dead is closed when the reader has ended; why and waiting are settled before.
	dead chan struct{}
	why  reason

	mu      sync.Mutex
	waiting []*call       // under way, in the order sent
	cost    time.Duration // of a document, as the last ones were
	hungUp  bool
	ending  reason // why the worker was told to end

	sent int
	buf  []byte
}

func newSession(p *Pool, c *child, deadline time.Duration) *session {
	s := &session{
		child: c, names: p.names, deadline: deadline,
		answered: make(chan struct{}, 1),
		dead:     make(chan struct{}),
	}
	go s.read()
	return s
}

// push notes that calls are under way. The worker's one deadline runs from the moment
// something is under way, and anew after every answer.
func (s *session) push(calls []*call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		_ = s.child.conn.SetReadDeadline(time.Now().Add(s.deadline))
	}
	s.waiting = append(s.waiting, calls...)
}

// head gives the call whose answer comes next, nil if none is under way.
func (s *session) head() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	return s.waiting[0]
}

// free is how many documents may be sent now: none behind a big one.
func (s *session) free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	if n > 0 && s.waiting[n-1].isBig() {
		return 0
	}
	most := window
	if s.cost > 0 {
		most = int(min(window, max(1, windowTime/s.cost)))
	}
	return max(0, most-n)
}

// measure notes what n documents cost the worker. It believes in more sooner than in less.
func (s *session) measure(n int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change := took/time.Duration(n) - s.cost
	if change > 0 {
		s.cost += change / 2
	} else {
		s.cost += change / 8
	}
}

func (s *session) isDead() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// pop takes the head away, whose answer has come.
func (s *session) pop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting[:0], s.waiting[1:]...)
	var next time.Time
	if len(s.waiting) > 0 || s.hungUp {
		next = time.Now().Add(s.deadline)
	}
	_ = s.child.conn.SetReadDeadline(next)
	select {
	case s.answered <- struct{}{}:
	default:
	}
}

// send writes the calls, for which there must be room. If the worker is gone they are among
// waiting once the session is dead.
func (s *session) send(calls ...*call) {
	b := s.buf[:0]
	for _, c := range calls {
		s.sent++
		b = appendRequest(b, uint32(s.sent), opCheck, c.schema, c.mode, c.doc) //nolint:gosec // a worker lives for a thousand documents
	}
	// Not sooner: an answered document is its caller's again, and a worker could answer what it has not got.
	s.push(calls)
	if _, err := s.child.conn.Write(b); err != nil {
		s.child.kill() // so that the reader ends as well
	}
	if cap(b) <= keepBuffer {
		s.buf = b
	}
}

// read takes answers until the worker has ended, or must end.
func (s *session) read() {
	defer close(s.dead)
	in := bufio.NewReaderSize(s.child.conn, readBuffer)
	used, measured := processorTime(s.child.process.Pid), uint32(0)
	for id := uint32(1); ; id++ {
		c, v, err := s.readAnswer(in, id)
		if err != nil {
			s.why = s.reasonOf(err)
			s.child.release()
			return
		}
		if in.Buffered() == 0 { // what one read brought is measured together
			now := processorTime(s.child.process.Pid)
			s.measure(int(id-measured), now-used)
			used, measured = now, id
		}
		s.pop()
		c.answer <- outcome{verdict: v}
	}
}

// readAnswer reads the next answer, which must be to the call that was sent first among those
// under way, and believes nothing of it.
func (s *session) readAnswer(in *bufio.Reader, id uint32) (*call, xmlschema.Verdict, error) {
	var head [answerHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, xmlschema.Verdict{}, err
	}
	c := s.head()
	n := int(binary.LittleEndian.Uint32(head[:])) - 4
	if c == nil || binary.LittleEndian.Uint32(head[4:]) != id || n < 0 || n > xmlschema.AnswerRoom(len(c.doc)) {
		return nil, xmlschema.Verdict{}, xmlschema.ErrAnswer
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, xmlschema.Verdict{}, err
	}
	v, err := xmlschema.Decode(body, xmlschema.Mode(c.mode), s.names[c.schema])
	if err == nil && (!fits(c.mode, v) || !itemsFit(v, s.names[c.schema].Lot, c.doc)) {
		err = xmlschema.ErrAnswer
	}
	bound(&v, c.doc)
	return c, v, err
}

// reasonOf says why the worker ended: what it was told to end for, if it owes nothing.
func (s *session) reasonOf(err error) reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return overdue
	case errors.Is(err, xmlschema.ErrAnswer):
		return misspoke
	case s.hungUp && len(s.waiting) == 0:
		return s.ending
	}
	return crashed
}

// hangUp tells the worker that nothing more comes. It answers what it has and ends.
func (s *session) hangUp(why reason) {
	s.mu.Lock()
	s.hungUp, s.ending = true, why
	_ = s.child.conn.SetReadDeadline(time.Now().Add(s.deadline)) // also to end takes time
	s.mu.Unlock()
	if err := s.child.conn.CloseWrite(); err != nil {
		s.child.kill()
	}
}

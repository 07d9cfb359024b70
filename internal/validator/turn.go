package validator

import (
	"runtime"
	"time"

	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
)

// turn is what a slot does with one worker.
type turn struct {
	pool    *Pool
	queue   *queue
	session *session

	// age fires when the worker has become too old, counted from its first document.
	age *time.Timer
	// spare brings the worker that takes over; nil while none is being started.
	spare     chan spawned
	successor *child
	// resting is set when that did not work, until the timer fires again.
	resting bool
}

// spawned is a worker, or why there is none.
type spawned struct {
	child *child
	err   error
}

func newTurn(p *Pool, c *child, l lane) *turn {
	age := time.NewTimer(p.maxAge)
	age.Stop()
	return &turn{pool: p, queue: l.queue, session: newSession(p, c, l.deadline), age: age}
}

// run serves with one worker until it has ended, and gives the calls it left unanswered. First
// go those that an earlier worker left, one by one, because one of them may have ended it.
func (t *turn) run(left []*call) []*call {
	defer t.age.Stop()
	for len(left) > 0 {
		if t.session.isDead() {
			return left
		}
		t.retry(left[0])
		left = left[1:]
	}
	if t.session.isDead() {
		return nil // what waits with it is the retried call, which has its answer
	}
	t.serve()
	<-t.session.dead
	if t.spare != nil && t.successor == nil {
		t.successor = (<-t.spare).child
	}
	return t.session.waiting
}

// retry sends a call that was unanswered when a worker ended, and waits. If this worker ends
// too, while it has nothing else to do, the call is the reason and is refused.
func (t *turn) retry(c *call) {
	s := t.session
	t.ages()
	again := *c
	again.answer = make(chan outcome, 1)
	s.send(&again)
	select {
	case o := <-again.answer:
		c.answer <- o
		return
	case <-s.dead:
	}
	select {
	case o := <-again.answer: // it ended only after that
		c.answer <- o
	default:
		t.pool.log.Error("document ended two validator workers and is refused",
			zap.String("reason", string(s.why)), zap.Int("bytes", len(c.doc)))
		c.answer <- outcome{err: hub.NewError(hub.Internal, hub.CodeValidatorDied, errPoison)}
	}
}

// serve takes calls off the queue until the worker is dead or has been told to end.
func (t *turn) serve() {
	s := t.session
	calls := make([]*call, 0, mostPerWrite)
	for {
		ready, free := t.queue.ready, s.free()
		var roomy <-chan struct{}
		if free == 0 {
			ready, roomy = nil, s.answered
		}
		select {
		case <-ready:
			runtime.Gosched() // whoever is ready to ask as well comes into the same write
			if calls = t.queue.take(min(free, mostPerWrite), calls[:0]); len(calls) > 0 {
				t.send(calls)
			}
		case <-roomy:
		case <-s.dead:
			return
		case <-t.age.C:
			t.callSpare()
		case next := <-t.spare:
			if t.handOver(next) {
				return
			}
		case <-t.pool.closed:
			s.hangUp("")
			return
		}
	}
}

// ages starts the worker's clock before its first document.
func (t *turn) ages() {
	if t.session.sent == 0 {
		t.age.Reset(t.pool.maxAge)
	}
}

func (t *turn) send(calls []*call) {
	s := t.session
	t.ages()
	s.send(calls...)
	if s.sent >= t.pool.maxServed && t.spare == nil && !t.resting {
		t.callSpare()
	}
}

// callSpare starts the next worker while this one goes on, so that nobody waits for it.
func (t *turn) callSpare() {
	spare := make(chan spawned, 1)
	t.spare, t.resting = spare, false
	go func() {
		c, err := t.pool.spawn()
		spare <- spawned{c, err}
	}()
}

// handOver lets this worker end in favour of the next. If there is none it goes on for a
// while, because an old worker is better than no worker.
func (t *turn) handOver(next spawned) bool {
	if next.err != nil {
		t.pool.log.Error("start validator worker", zap.Error(next.err))
		t.spare, t.resting = nil, true
		t.age.Reset(longPause)
		return false
	}
	t.successor = next.child
	t.session.hangUp(worn)
	return true
}

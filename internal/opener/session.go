package opener

import (
	"bytes"
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

const (
	// mostSessions is how many there are at once, of all users.
	mostSessions = 16
	// idleSession is how long one lasts that nobody uses. A replay that paused longer begins another.
	idleSession = 30 * time.Minute
	// chunk is how many of a batch are read and opened at a time: messages can be large.
	chunk = 64
)

// PurposeReplay is the only purpose of a session so far.
const PurposeReplay = "replay"

// Scope says what a session is for.
type Scope struct {
	Who

	// Purpose is PurposeReplay.
	Purpose string `json:"purpose"`
	// From and To bound when the events were accepted; To does not belong to it.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// session is one user's right to open batches.
type session struct {
	Scope

	id  uuid.UUID
	uid uint32

	// mu is held for reading by batches, so that the end comes behind them.
	mu    sync.RWMutex
	ended bool
	asked atomic.Int64
	// used is when it was last used, in nanoseconds since 1970.
	used atomic.Int64
}

// entry is the journal's for a session.
func (o *Opener) sessionEntry(s *session, outcome string) journal.Entry {
	e := o.entry(s.uid, s.Who, outcome)
	e.Codes = append(e.Codes, hub.Code("session:"+s.id.String()), hub.Code("purpose:"+s.Purpose),
		hub.Code("from:"+s.From.UTC().Format(time.RFC3339Nano)), hub.Code("to:"+s.To.UTC().Format(time.RFC3339Nano)))
	return e
}

// Begin begins a session.
func (o *Opener) Begin(ctx context.Context, uid uint32, scope Scope) (uuid.UUID, error) {
	if scope.Purpose != PurposeReplay || scope.From.IsZero() || !scope.To.After(scope.From) {
		return uuid.Nil, ErrMalformed
	}
	if err := o.admit(uid, scope.Who); err != nil {
		return uuid.Nil, err
	}
	s := &session{Scope: scope, id: uuid.New(), uid: uid}
	s.used.Store(o.Now().UnixNano())
	// Held until it is in the journal: no batch can come before.
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.keep(s) {
		return uuid.Nil, ErrCrowded
	}
	if err := o.journal(ctx, o.sessionEntry(s, OutcomeBegin)); err != nil {
		s.ended = true
		o.drop(s)
		return uuid.Nil, err
	}
	return s.id, nil
}

// keep takes a session in, if there is room.
func (o *Opener) keep(s *session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.sessions) >= mostSessions {
		return false
	}
	o.sessions[s.id] = s
	return true
}

func (o *Opener) drop(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sessions, s.id)
}

// session finds a user's session.
func (o *Opener) session(uid uint32, id uuid.UUID) (*session, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.sessions[id]
	if !ok || s.uid != uid {
		return nil, ErrSession
	}
	return s, nil
}

// OpenBatch opens at most MaxBatch things and gives each to answer, in the order asked. An error means that
// nothing was opened.
func (o *Opener) OpenBatch(ctx context.Context, uid uint32, id uuid.UUID, asked []Request, answer func(Opened) error) error {
	if len(asked) == 0 || len(asked) > MaxBatch {
		return ErrMalformed
	}
	s, err := o.session(uid, id)
	if err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ended {
		return ErrSession
	}
	s.used.Store(o.Now().UnixNano())
	defer func() { s.used.Store(o.Now().UnixNano()) }()
	if err := o.journal(ctx, o.batchEntry(s, asked)); err != nil {
		return err
	}
	s.asked.Add(int64(len(asked)))
	for begin := 0; begin < len(asked); begin += chunk {
		part := o.resolve(ctx, asked[begin:min(begin+chunk, len(asked))])
		for i := range part {
			if f := &part[i]; f.err == nil && (f.row.ReceivedAt.Before(s.From) || !f.row.ReceivedAt.Before(s.To)) {
				f.err = ErrOutside
			}
		}
		o.unseal(ctx, part)
		for i := range part {
			if err := answer(Opened{Plain: part[i].plain, Err: part[i].err}); err != nil {
				return nil // who asked has gone; the entry stands
			}
		}
	}
	return nil
}

// batchEntry says which ids a batch asks for.
func (o *Opener) batchEntry(s *session, asked []Request) journal.Entry {
	e := o.sessionEntry(s, OutcomeBatch)
	e.Count = int32(len(asked)) //nolint:gosec // at most MaxBatch
	hash := sha256.New()
	for i, r := range asked {
		if settled, err := r.settle(); err == nil {
			r = settled
		}
		id := r.id()
		hash.Write(id[:])
		if i == 0 || bytes.Compare(id[:], e.Message[:]) < 0 {
			e.Message = id
		}
		if bytes.Compare(id[:], e.Other[:]) > 0 {
			e.Other = id
		}
	}
	e.Commitment = [sha256.Size]byte(hash.Sum(nil))
	return e
}

// End ends a user's session.
func (o *Opener) End(ctx context.Context, uid uint32, id uuid.UUID) error {
	s, err := o.session(uid, id)
	if err != nil {
		return err
	}
	return o.end(ctx, s)
}

// end writes a session's last entry behind its batches. If that cannot be committed, the session has ended
// all the same.
func (o *Opener) end(ctx context.Context, s *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrSession
	}
	s.ended = true
	o.drop(s)
	e := o.sessionEntry(s, OutcomeEnd)
	e.Count = int32(min(s.asked.Load(), 1<<31-1)) //nolint:gosec // bounded
	return o.journal(ctx, e)
}

// watch ends sessions that nobody uses, until ctx is done.
func (o *Opener) watch(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			o.endAll(ctx, func(s *session) bool { return o.Now().Sub(time.Unix(0, s.used.Load())) > idleSession })
		}
	}
}

// endAll ends the sessions that are meant.
func (o *Opener) endAll(ctx context.Context, meant func(*session) bool) {
	o.mu.Lock()
	var all []*session
	for _, s := range o.sessions {
		if meant(s) {
			all = append(all, s)
		}
	}
	o.mu.Unlock()
	for _, s := range all {
		if err := o.end(ctx, s); err != nil {
			o.Logger.Warn("end of a session not journalled", zap.Stringer("session_id", s.id))
		}
	}
}

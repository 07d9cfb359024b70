package opener

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

const (
	// mostSessions is how many there are at once, of all users.
	mostSessions = 16
	// idleSession is how long one lasts that nobody uses or holds. It cannot be begun again: its ticket is used.
	idleSession = 30 * time.Minute
	// chunk is how many of a batch are read and opened at a time: messages can be large.
	chunk = 64
)

// Begun is the answer to the beginning of a session.
type Begun struct {
	// Session names it.
	Session uuid.UUID `json:"session"`
	// From and To bound when the events were accepted that it may open; To does not belong to it. Zero for
	// work on keys.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// session is one user's right to open batches.
type session struct {
	ticket   ticket.Signed
	from, to time.Time

	id  uuid.UUID
	uid uint32

	// mu is held for reading by batches, so that the end comes behind them.
	mu    sync.RWMutex
	ended bool
	asked atomic.Int64
	// used is when it was last used, in nanoseconds since 1970.
	used atomic.Int64
}

// sessionEntry is the journal's for a session.
func (o *Opener) sessionEntry(s *session, outcome string) journal.Entry {
	e := o.entry(s.uid, s.ticket, journal.MessageOpened, outcome)
	e.Codes = append(e.Codes, hub.Code("session:"+s.id.String()), hub.Code("purpose:"+string(s.ticket.Purpose)))
	if s.works() {
		e.Codes = append(e.Codes, hub.Code("key:"+s.ticket.Scope.Key), hub.Code("epoch:"+strconv.Itoa(int(s.ticket.Scope.Epoch))))
		return e
	}
	e.Codes = append(e.Codes, hub.Code("from:"+s.from.Format(time.RFC3339Nano)), hub.Code("to:"+s.to.Format(time.RFC3339Nano)))
	return e
}

// Begin begins a session for a ticket of a range, or of the epoch of a key. It is the one run that the ticket
// allows.
func (o *Opener) Begin(ctx context.Context, uid uint32, text string) (*Begun, error) {
	t, err := o.admit(ctx, uid, text, ticket.Replay, ticket.Rotate, ticket.Reseal)
	if err != nil {
		return nil, err
	}
	if !startable(t) {
		return nil, o.refused(ctx, uid, t, ErrPurpose)
	}
	if !o.holds(t) {
		return nil, ErrNotHeld
	}
	s := &session{ticket: t, from: t.Scope.From, to: t.Scope.To, id: uuid.New(), uid: uid}
	s.used.Store(o.Now().UnixNano())
	// Held until it is in the journal: no batch can come before.
	s.mu.Lock()
	defer s.mu.Unlock()
	if !o.keep(s) {
		return nil, ErrCrowded
	}
	if err := o.use(ctx, uid, t, o.sessionEntry(s, OutcomeBegin)); err != nil {
		s.ended = true
		o.drop(s)
		return nil, err
	}
	return &Begun{s.id, s.from, s.to}, nil
}

// Hold keeps a user's session that rests.
func (o *Opener) Hold(uid uint32, id uuid.UUID) error {
	s, err := o.session(uid, id)
	if err != nil {
		return err
	}
	s.used.Store(o.Now().UnixNano())
	return nil
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
	if s.ended || s.works() {
		return ErrSession
	}
	s.used.Store(o.Now().UnixNano())
	defer func() { s.used.Store(o.Now().UnixNano()) }()
	if err := o.journalBatch(ctx, s, o.batchEntry(s, asked)); err != nil {
		return err
	}
	s.asked.Add(int64(len(asked)))
	for begin := 0; begin < len(asked); begin += chunk {
		part := o.resolve(ctx, asked[begin:min(begin+chunk, len(asked))])
		for i := range part {
			if f := &part[i]; f.err == nil && (f.row.ReceivedAt.Before(s.from) || !f.row.ReceivedAt.Before(s.to)) {
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

// journalBatch writes a batch's entry, or says that nothing may be opened.
func (o *Opener) journalBatch(ctx context.Context, s *session, e journal.Entry) error {
	err := o.Store.JournalUnderTicket(ctx, o.cfg.Environment, s.ticket.ID, e)
	switch {
	case errors.Is(err, ticket.ErrExpired):
		o.Logger.Warn("ticket of a session holds no more", zap.Stringer("session_id", s.id), zap.Stringer("ticket_id", s.ticket.ID))
		return ticket.ErrExpired
	case err != nil:
		o.Logger.Error("opening not journalled, nothing was opened", zap.Error(err), zap.Stringer("entry_id", e.ID))
		return ErrUnavailable
	}
	o.Logger.Info("opening journalled", zap.String("outcome", e.Outcome), zap.Stringer("entry_id", e.ID), zap.Int32("ids", e.Count))
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
	if err := o.Store.JournalOpening(ctx, e); err != nil {
		o.Logger.Error("end of a session not journalled", zap.Error(err), zap.Stringer("entry_id", e.ID))
		return ErrUnavailable
	}
	o.Logger.Info("opening journalled", zap.String("outcome", e.Outcome), zap.Stringer("entry_id", e.ID), zap.Int32("ids", e.Count))
	return nil
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

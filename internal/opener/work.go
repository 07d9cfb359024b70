package opener

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// worked is the answer to one piece of work.
type worked struct {
	Done int  `json:"done"`
	More bool `json:"more"`
}

// pathWork does one piece of a session's work.
const pathWork = pathSessions + "/{session}/work"

// KeyVault is what work on keys needs of the vault: pseudonym.OpenerVault.
type KeyVault interface {
	// BeginReindex has identities that come from now on indexed under an epoch, too; done says that there
	// is nothing left to do.
	BeginReindex(ctx context.Context, epoch int32) (done bool, err error)
	// LinksToIndex gives links that lack the index of an epoch, at most so many.
	LinksToIndex(ctx context.Context, most int) ([]pseudonym.SealedLink, error)
	// IndexLinks writes the new index of links, and says of how many: others are locked at the moment.
	IndexLinks(ctx context.Context, epoch int32, links []pseudonym.SealedLink) (done int, err error)
	// EndReindex makes the epoch the one that decides.
	EndReindex(ctx context.Context, epoch int32) error
	// KeysToSeal gives epoch keys that are sealed to an earlier epoch of the pair, at most so many.
	KeysToSeal(ctx context.Context, epoch int32, most int) ([]pseudonym.SealedEpochKey, error)
	// SealKeys replaces them.
	SealKeys(ctx context.Context, keys []pseudonym.Resealed) error
}

// works tells whether a session works on keys: then it gives nothing out.
func (s *session) works() bool { return s.ticket.Purpose != ticket.Replay }

// startable tells whether a ticket is of something that a session does: with rotate, indexing the known
// identities under a new key of the link index, and with reseal, sealing the epoch keys to a new pair.
func startable(t ticket.Signed) bool {
	switch t.Purpose {
	case ticket.Replay:
		return true
	case ticket.Rotate:
		return t.Scope.Key == string(pseudonym.PurposeLink) && t.Scope.Epoch > 1
	case ticket.Reseal:
		return t.Scope.Key == string(pseudonym.PurposeSeal) && t.Scope.Epoch > 1
	case ticket.Open, ticket.Reidentify, ticket.Erase, ticket.Report, ticket.Unjoin:
	}
	return false
}

// holds tells whether the keys are there that a ticket's work needs.
func (o *Opener) holds(t ticket.Signed) bool {
	switch t.Purpose {
	case ticket.Rotate:
		return o.Keys.Indexes(t.Scope.Epoch)
	case ticket.Reseal:
		return o.Keys.Opens(t.Scope.Epoch)
	case ticket.Open, ticket.Reidentify, ticket.Replay, ticket.Erase, ticket.Report, ticket.Unjoin:
	}
	return true
}

// Work does one piece of a user's session: at most MaxBatch identities or epoch keys, with an entry before.
// more says that there may be further ones; with none done, that somebody else has them locked, and to ask
// again after a moment. What is done stays done, whatever ends the session.
func (o *Opener) Work(ctx context.Context, uid uint32, id uuid.UUID) (done int, more bool, err error) {
	s, err := o.session(uid, id)
	if err != nil {
		return 0, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ended || !s.works() {
		return 0, false, ErrSession
	}
	s.used.Store(o.Now().UnixNano())
	defer func() { s.used.Store(o.Now().UnixNano()) }()
	if s.ticket.Purpose == ticket.Rotate {
		done, more, err = o.reindex(ctx, s)
	} else {
		done, more, err = o.reseal(ctx, s)
	}
	s.asked.Add(int64(done))
	return done, more, err
}

// workEntry says how many rows a piece of work is about.
func (o *Opener) workEntry(ctx context.Context, s *session, n int) error {
	e := o.sessionEntry(s, OutcomeBatch)
	e.Count = int32(n) //nolint:gosec // at most MaxBatch
	return o.journalBatch(ctx, s, e)
}

// reindex does one piece.
func (o *Opener) reindex(ctx context.Context, s *session) (done int, more bool, err error) {
	ready, err := o.Vault.BeginReindex(ctx, s.ticket.Scope.Epoch)
	if err != nil || ready {
		return 0, false, o.failed(err)
	}
	links, err := o.Vault.LinksToIndex(ctx, MaxBatch)
	if err != nil {
		return 0, false, o.failed(err)
	}
	if len(links) == 0 {
		err := o.Vault.EndReindex(ctx, s.ticket.Scope.Epoch)
		return 0, false, o.failed(err)
	}
	if err := o.workEntry(ctx, s, len(links)); err != nil {
		return 0, false, err
	}
	if err := o.index(ctx, s.ticket.Scope.Epoch, links); err != nil {
		return 0, false, err
	}
	done, err = o.Vault.IndexLinks(ctx, s.ticket.Scope.Epoch, links)
	return done, true, o.failed(err)
}

// index opens identities and makes their new index; they leave this function as nothing else.
func (o *Opener) index(ctx context.Context, epoch int32, links []pseudonym.SealedLink) error {
	needed := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for i := range links {
		head, err := pseudonym.ParseHeader(links[i].Identity)
		if err != nil {
			o.Logger.Error("sealed identity cannot be read", zap.Stringer("subject_id", links[i].Subject))
			return ErrDamaged
		}
		if !needed[head.Epoch] {
			needed[head.Epoch] = true
			ids = append(ids, head.Epoch)
		}
		links[i].Epoch = head.Epoch
	}
	keys, err := o.epochKeys(ctx, ids)
	if err != nil {
		return ErrUnavailable
	}
	defer func() {
		for _, key := range keys {
			key.Forget()
		}
	}()
	for i := range links {
		key, ok := keys[links[i].Epoch]
		if !ok {
			return ErrNoKey
		}
		_, plain, err := key.Open(links[i].Subject, links[i].Secret, links[i].Identity)
		if err != nil {
			o.Logger.Error("sealed identity does not open", zap.Stringer("subject_id", links[i].Subject))
			return ErrDamaged
		}
		links[i].Index = o.Keys.Index(epoch, plain)
		clear(plain)
	}
	return nil
}

// reseal does one piece.
func (o *Opener) reseal(ctx context.Context, s *session) (done int, more bool, err error) {
	sealed, err := o.Vault.KeysToSeal(ctx, s.ticket.Scope.Epoch, MaxBatch)
	if err != nil || len(sealed) == 0 {
		return 0, false, o.failed(err)
	}
	if err := o.workEntry(ctx, s, len(sealed)); err != nil {
		return 0, false, err
	}
	again := make([]pseudonym.Resealed, len(sealed))
	for i := range sealed {
		if again[i], err = o.Keys.Reseal(sealed[i], s.ticket.Scope.Epoch); err != nil {
			o.Logger.Error("epoch key does not open", zap.Stringer("epoch_id", sealed[i].ID))
			return 0, false, ErrNoKey
		}
	}
	return len(again), true, o.failed(o.Vault.SealKeys(ctx, again))
}

// failed is an error of the vault in the words of the socket.
func (o *Opener) failed(err error) error {
	if err == nil {
		return nil
	}
	o.Logger.Error("work on keys failed", zap.Error(err))
	return ErrUnavailable
}

func (o *Opener) serveWork(w http.ResponseWriter, r *http.Request) {
	session, err := uuid.Parse(r.PathValue("session"))
	if err != nil {
		refuse(w, ErrMalformed)
		return
	}
	done, more, err := o.Work(r.Context(), uidOf(r), session)
	if err != nil {
		refuse(w, err)
		return
	}
	write(w, worked{done, more})
}

// Work does one piece of the session's work, and tells how much it was and whether there may be more.
func (s *Session) Work(ctx context.Context) (done int, more bool, err error) {
	answer, err := ask[worked](ctx, s.client, strings.Replace(pathWork, "{session}", s.Session.String(), 1), struct{}{})
	if err != nil {
		return 0, false, err
	}
	return answer.Done, answer.More, nil
}

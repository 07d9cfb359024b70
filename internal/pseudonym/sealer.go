package pseudonym

import (
	"context"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/sinbahub/sinbahub/internal/hub"
)

const (
	// EpochLength is how long one epoch key is used: who takes over the process reads at most
	// what was sealed since it began.
	EpochLength = 10 * time.Minute
	// patience bounds a statement of the vault.
	patience = 5 * time.Second
	// epochInfo separates sealed epoch keys from every other use of the opener's key.
	epochInfo = "sinbahub/epoch/v1/"
)

// SealedEpochKey is an epoch key as it is stored: only the opener can open it.
type SealedEpochKey struct {
	// ID names the epoch in every envelope.
	ID uuid.UUID
	// Opener is the epoch of the opener's key pair it is sealed to.
	Opener int32
	// Bytes are HPKE's encapsulated key and ciphertext.
	Bytes []byte
}

// Recorder stores a sealed epoch key. It returns nil only when the row is committed.
// Vault.RecordEpoch is one.
type Recorder func(context.Context, SealedEpochKey) error

// Sealer seals for the opener. It holds the epoch key of the current ten minutes and nothing
// that opens what was sealed before; several processes each have their own. Safe for concurrent
// use; prints as a placeholder.
type Sealer struct {
	environment hub.Environment
	keys        *Keys
	record      Recorder
	now         func() time.Time
	rolls       singleflight.Group
	packer      *packer
	// derivers are those at rest, which hold nothing of a message.
	derivers sync.Pool

	mu      sync.RWMutex
	current epoch
}

// epoch is one epoch key in use.
type epoch struct {
	id      uuid.UUID
	key     *epochBytes
	beganAt time.Time
}

// forget overwrites the key. Nobody may be using it.
func (e epoch) forget() {
	if e.key != nil {
		clear(e.key[:])
	}
}

// NewSealer makes a sealer without an epoch key: the first Seal draws one.
func NewSealer(keys *Keys, record Recorder, now func() time.Time) *Sealer {
	return &Sealer{environment: keys.environment, keys: keys, record: record, now: now, packer: newPacker(), derivers: sync.Pool{New: func() any { return newKeyDeriver() }}}
}

// Seal seals plaintext for subject. It may wait for the record of a new epoch key; while that
// cannot be committed it answers Unavailable, and no unrecorded or expired key is ever used.
func (s *Sealer) Seal(ctx context.Context, subject Subject, label Label, plaintext []byte) (Sealed, error) {
	if subject.secret.IsZero() || len(label.Schema) > maxSchema || len(plaintext) > maxPlaintext {
		return Sealed{}, hub.NewError(hub.Internal, hub.CodeInternal, errors.New("seal: no secret, or label or content too long"))
	}
	id, aead, err := s.cipher(ctx, subject.secret, label)
	if err != nil {
		return Sealed{}, err
	}
	h := Header{Label: label, Epoch: id}
	sealed := Sealed{Epoch: id}
	s.packer.packed(plaintext, func(how packing, packed []byte) {
		h.packing = how
		head := h.append(make([]byte, 0, 64+len(label.Schema)+len(packed)+aead.Overhead()))
		aad := additional(head, s.environment, subject.ID)
		sealed.Bytes = aead.Seal(head, nil, packed, aad) //nolint:gosec // the cipher draws the nonce itself
	})
	return sealed, nil
}

// cipher gives the cipher of one message under the current epoch, beginning one if need be.
func (s *Sealer) cipher(ctx context.Context, subject Secret, label Label) (uuid.UUID, cipher.AEAD, error) {
	for {
		s.mu.RLock()
		if s.current.fresh(s.now()) {
			// The epoch key is read under the lock, so it cannot be overwritten meanwhile; the
			// message's own key lives on until its seal is done.
			defer s.mu.RUnlock()
			deriver, ok := s.derivers.Get().(*keyDeriver)
			if !ok {
				panic("pseudonym: the pool holds something else than derivers of keys")
			}
			defer s.derivers.Put(deriver)
			aead, err := messageCipher(deriver, s.current.key, subject, label)
			if err != nil {
				return uuid.Nil, nil, hub.NewError(hub.Internal, hub.CodeInternal, err)
			}
			return s.current.id, aead, nil
		}
		s.mu.RUnlock()
		if err := s.roll(ctx); err != nil {
			return uuid.Nil, nil, err
		}
	}
}

// fresh tells whether the epoch may still be used. A clock that was set back ends it too.
func (e epoch) fresh(now time.Time) bool {
	age := now.Sub(e.beganAt)
	return e.key != nil && age >= 0 && age < EpochLength
}

// roll forgets an expired epoch key and begins the next one, once for all who wait.
func (s *Sealer) roll(ctx context.Context) error {
	done := s.rolls.DoChan("", func() (any, error) {
		s.forgetExpired()
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return nil, s.begin(own)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// begin draws an epoch key, has it recorded sealed, and only then puts it to use.
func (s *Sealer) begin(ctx context.Context) error {
	s.mu.RLock()
	fresh := s.current.fresh(s.now())
	s.mu.RUnlock()
	if fresh {
		return nil
	}
	next := epoch{id: uuid.New(), key: new(epochBytes), beganAt: s.now()}
	_, _ = rand.Read(next.key[:]) // never fails
	opener := s.keys.held.Load().opener
	info := epochKeyInfo(s.environment, opener.epoch, next.id)
	sealed, err := hpke.Seal(opener.key, hpke.HKDFSHA256(), hpke.AES256GCM(), info, next.key[:])
	if err != nil {
		next.forget()
		return hub.NewError(hub.Internal, hub.CodeInternal, errors.New("seal: epoch key could not be sealed"))
	}
	if err := s.record(ctx, SealedEpochKey{ID: next.id, Opener: opener.epoch, Bytes: sealed}); err != nil {
		next.forget()
		return unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.forget()
	s.current = next
	return nil
}

// forgetExpired overwrites an epoch key whose time is over.
func (s *Sealer) forgetExpired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.current.fresh(s.now()) {
		s.current.forget()
		s.current = epoch{}
	}
}

// Run overwrites an epoch key when its time is over, also when nothing more is sealed, and at
// the end, when ctx is done.
func (s *Sealer) Run(ctx context.Context) {
	timer := time.NewTimer(EpochLength)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.current.forget()
			s.current = epoch{}
			return
		case <-timer.C:
			s.forgetExpired()
			timer.Reset(s.remaining())
		}
	}
}

// Holding tells whether an epoch key is held now: for readiness and metrics.
func (s *Sealer) Holding() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current.key != nil
}

// remaining is how long the current epoch lasts, or a whole one if there is none.
func (s *Sealer) remaining() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.current.key == nil {
		return EpochLength
	}
	return max(time.Millisecond, s.current.beganAt.Add(EpochLength).Sub(s.now()))
}

// Format prints a placeholder for every verb and flag.
func (*Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText gives a placeholder, which also covers JSON.
func (*Sealer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// epochKeyInfo binds a sealed epoch key to its environment, opener's key and id.
func epochKeyInfo(env hub.Environment, opener int32, id uuid.UUID) []byte {
	return append([]byte(epochInfo), frame(env.String(), strconv.Itoa(int(opener)), id.String())...)
}

package pseudonym_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// records takes epoch keys as the vault would, and can be away.
type records struct {
	mu   sync.Mutex
	keys map[uuid.UUID]pseudonym.SealedEpochKey
	away error
	hook func()
}

func (r *records) record(_ context.Context, k pseudonym.SealedEpochKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hook != nil {
		r.hook()
	}
	if r.away != nil {
		return r.away
	}
	if r.keys == nil {
		r.keys = map[uuid.UUID]pseudonym.SealedEpochKey{}
	}
	r.keys[k.ID] = k
	return nil
}

func (r *records) set(away error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *records) get(id uuid.UUID) (pseudonym.SealedEpochKey, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[id]
	return k, ok
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// sealing is a sealer with its opener.
type sealing struct {
	*records
	*clock
	sealer *pseudonym.Sealer
	opener *pseudonym.OpenerKeys
	dir    string
}

func newSealing(tb testing.TB, env hub.Environment) *sealing {
	tb.Helper()
	s := &sealing{records: &records{}, clock: &clock{at: made}, dir: keyDir(tb, env)}
	var err error
	if s.opener, err = pseudonym.LoadOpenerKeys(filepath.Join(s.dir, "opener"), env); err != nil {
		tb.Fatal(err)
	}
	s.sealer = pseudonym.NewSealer(loadKeys(tb, s.dir, env), s.record, s.now)
	return s
}

func (s *sealing) seal(tb testing.TB, subject pseudonym.Subject, label pseudonym.Label, plaintext string) pseudonym.Sealed {
	tb.Helper()
	sealed, err := s.sealer.Seal(tb.Context(), subject, label, []byte(plaintext))
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

// epochKey opens the recorded epoch key of an envelope.
func (s *sealing) epochKey(tb testing.TB, envelope []byte) pseudonym.EpochKey {
	tb.Helper()
	h, err := pseudonym.ParseHeader(envelope)
	if err != nil {
		tb.Fatal(err)
	}
	record, ok := s.get(h.Epoch)
	if !ok {
		tb.Fatal("sealed under an epoch key that was not recorded")
	}
	key, err := s.opener.EpochKey(record)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// label is one of a message.
func label() pseudonym.Label {
	return pseudonym.Label{Kind: pseudonym.SealedMessage, Message: uuid.New(), Schema: "1.0"}
}

func TestSealedOpensWithTheRightKeys(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	rapid.Check(t, func(rt *rapid.T) {
		subject := pseudonym.NewSubject()
		want := pseudonym.Label{
			Kind:    pseudonym.Kind(rapid.Uint8Range(1, 4).Draw(rt, "kind")),
			Message: uuid.New(),
			Schema:  rapid.StringMatching(`[0-9.]{0,20}`).Draw(rt, "schema"),
		}
		plaintext := strings.Repeat(rapid.String().Draw(rt, "text"), rapid.IntRange(0, 300).Draw(rt, "times"))
		sealed := s.seal(t, subject, want, plaintext)
		if h, err := pseudonym.ParseHeader(sealed.Bytes); err != nil || h.Label != want || h.Epoch != sealed.Epoch {
			rt.Fatal("header", err)
		}
		got, plain, err := s.epochKey(t, sealed.Bytes).Open(subject.ID, subject.Secret(), sealed.Bytes)
		if err != nil || got != want || string(plain) != plaintext {
			rt.Fatal("does not open", err)
		}
		if len(plaintext) > 16 && bytes.Contains(sealed.Bytes, []byte(plaintext[:16])) {
			rt.Fatal("plaintext shows")
		}
	})
	if len(s.keys) != 1 {
		t.Errorf("%d epoch keys for one epoch", len(s.keys))
	}
}

func TestSealingTwiceGivesOtherBytes(t *testing.T) {
	t.Parallel()
	s, subject, l := newSealing(t, hub.Prod), pseudonym.NewSubject(), label()
	a, b := s.seal(t, subject, l, "same"), s.seal(t, subject, l, "same")
	if bytes.Equal(a.Bytes, b.Bytes) || a.Digest() == b.Digest() {
		t.Error("a nonce was used twice")
	}
}

func TestSealedDoesNotOpenOtherwise(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	subject, other := pseudonym.NewSubject(), pseudonym.NewSubject()
	sealed := s.seal(t, subject, label(), "<Cognome>Bianchi</Cognome>")
	key := s.epochKey(t, sealed.Bytes)
	if _, _, err := key.Open(subject.ID, subject.Secret(), sealed.Bytes); err != nil {
		t.Fatal(err)
	}
	s.add(pseudonym.EpochLength)
	next := s.seal(t, subject, label(), "next epoch")
	nextKey := s.epochKey(t, next.Bytes)
	if next.Epoch == sealed.Epoch {
		t.Fatal("the epoch did not change")
	}
	// The header of the old envelope with the next epoch's id, opened with the next epoch's key.
	moved := bytes.Clone(sealed.Bytes)
	i := bytes.Index(moved, sealed.Epoch[:])
	copy(moved[i:], next.Epoch[:])
	for name, open := range map[string]func() error{
		"another subject's secret": func() error { _, _, err := key.Open(subject.ID, other.Secret(), sealed.Bytes); return err },
		"another subject's id":     func() error { _, _, err := key.Open(other.ID, subject.Secret(), sealed.Bytes); return err },
		"no secret (erased)":       func() error { _, _, err := key.Open(subject.ID, pseudonym.Secret{}, sealed.Bytes); return err },
		"another epoch's key":      func() error { _, _, err := nextKey.Open(subject.ID, subject.Secret(), sealed.Bytes); return err },
		"moved to another epoch":   func() error { _, _, err := nextKey.Open(subject.ID, subject.Secret(), moved); return err },
		"no key": func() error {
			_, _, err := (pseudonym.EpochKey{}).Open(subject.ID, subject.Secret(), sealed.Bytes)
			return err
		},
		"nothing": func() error { _, _, err := key.Open(subject.ID, subject.Secret(), nil); return err },
	} {
		if err := open(); !errors.Is(err, pseudonym.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for bit := range len(sealed.Bytes) * 8 {
		flipped := bytes.Clone(sealed.Bytes)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, _, err := key.Open(subject.ID, subject.Secret(), flipped); !errors.Is(err, pseudonym.ErrSealed) {
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	for n := range sealed.Bytes {
		if _, _, err := key.Open(subject.ID, subject.Secret(), sealed.Bytes[:n]); !errors.Is(err, pseudonym.ErrSealed) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestEpochKeyOpensOnlyForItsOpener(t *testing.T) {
	t.Parallel()
	s, stranger := newSealing(t, hub.Prod), newSealing(t, hub.Prod)
	sealed := s.seal(t, pseudonym.NewSubject(), label(), "x")
	record, _ := s.get(sealed.Epoch)
	if _, err := stranger.opener.EpochKey(record); !errors.Is(err, pseudonym.ErrSealed) {
		t.Errorf("another opener: %v", err)
	}
	other := record
	other.ID = uuid.New()
	if _, err := s.opener.EpochKey(other); !errors.Is(err, pseudonym.ErrSealed) {
		t.Errorf("another id: %v", err)
	}
	other = record
	other.Opener = 2
	if _, err := s.opener.EpochKey(other); !errors.Is(err, pseudonym.ErrUnknownEpoch) {
		t.Errorf("another epoch of the opener: %v", err)
	}
	for bit := range len(record.Bytes) * 8 {
		flipped := record
		flipped.Bytes = bytes.Clone(record.Bytes)
		flipped.Bytes[bit/8] ^= 1 << (bit % 8)
		if _, err := s.opener.EpochKey(flipped); !errors.Is(err, pseudonym.ErrSealed) {
			// X25519 ignores the top bit of the encapsulated key, but HPKE authenticates its bytes.
			t.Errorf("bit %d flipped: %v", bit, err)
		}
	}
	if n := len(record.Bytes); n != 32+64+16 {
		t.Errorf("sealed epoch key has %d bytes", n)
	}
}

func TestEnvironmentsDoNotOpenEachOther(t *testing.T) {
	t.Parallel()
	// The same opener's pair in both environments, as if somebody had copied the files.
	s := newSealing(t, hub.Prod)
	sealed := s.seal(t, pseudonym.NewSubject(), label(), "x")
	record, _ := s.get(sealed.Epoch)
	edit(t, filepath.Join(s.dir, "opener", "seal-1.json"), func(f map[string]any) { f["environment"] = "TEST" })
	opener, err := pseudonym.LoadOpenerKeys(filepath.Join(s.dir, "opener"), hub.Test)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opener.EpochKey(record); !errors.Is(err, pseudonym.ErrSealed) {
		t.Error(err)
	}
}

func TestOpenerOpensWhatAnOlderPairSealed(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	subject := pseudonym.NewSubject()
	old := s.seal(t, subject, label(), "old")
	if _, err := pseudonym.AddEpoch(s.dir, hub.Prod, pseudonym.PurposeSeal, "", made); err != nil {
		t.Fatal(err)
	}
	s.sealer = pseudonym.NewSealer(loadKeys(t, s.dir, hub.Prod), s.record, s.now)
	var err error
	if s.opener, err = pseudonym.LoadOpenerKeys(filepath.Join(s.dir, "opener"), hub.Prod); err != nil {
		t.Fatal(err)
	}
	fresh := s.seal(t, subject, label(), "new")
	if record, _ := s.get(fresh.Epoch); record.Opener != 2 {
		t.Errorf("sealed to the opener's epoch %d", record.Opener)
	}
	for _, sealed := range []pseudonym.Sealed{old, fresh} {
		if _, _, err := s.epochKey(t, sealed.Bytes).Open(subject.ID, subject.Secret(), sealed.Bytes); err != nil {
			t.Error(err)
		}
	}
}

func TestTwoSealersHaveTheirOwnEpochKeys(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	second := pseudonym.NewSealer(loadKeys(t, s.dir, hub.Prod), s.record, s.now)
	subject := pseudonym.NewSubject()
	a := s.seal(t, subject, label(), "a")
	b, err := second.Seal(t.Context(), subject, label(), []byte("b"))
	if err != nil || a.Epoch == b.Epoch {
		t.Fatal("two processes share an epoch key", err)
	}
	for _, sealed := range []pseudonym.Sealed{a, b} {
		if _, _, err := s.epochKey(t, sealed.Bytes).Open(subject.ID, subject.Secret(), sealed.Bytes); err != nil {
			t.Error(err)
		}
	}
}

func TestEpochKeyRollsAfterTenMinutes(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	subject := pseudonym.NewSubject()
	first := s.seal(t, subject, label(), "").Epoch
	s.add(pseudonym.EpochLength - 1)
	if s.seal(t, subject, label(), "").Epoch != first {
		t.Error("rolled too early")
	}
	s.add(1)
	second := s.seal(t, subject, label(), "").Epoch
	if second == first {
		t.Error("did not roll")
	}
	s.add(-time.Hour)
	if s.seal(t, subject, label(), "").Epoch == second {
		t.Error("a clock that was set back keeps an epoch key for longer")
	}
}

func TestSealIsUnavailableWhileNoEpochKeyCanBeRecorded(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	subject := pseudonym.NewSubject()
	seal := func() error {
		_, err := s.sealer.Seal(t.Context(), subject, label(), []byte("x"))
		return err
	}
	refused := func(what string, err error) {
		t.Helper()
		if own := (*hub.Error)(nil); !errors.As(err, &own) || own.Kind != hub.Unavailable || own.Public[0].Code != hub.CodeUnavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.set(errors.New("connection refused: canary"))
	err := seal()
	refused("at the start", err)
	if strings.Contains(fmt.Sprint(err), "canary") {
		t.Error("the database's text shows")
	}
	s.set(nil)
	first := s.seal(t, subject, label(), "")
	s.set(errors.New("away"))
	if err := seal(); err != nil {
		t.Errorf("within the epoch no database is needed: %v", err)
	}
	s.add(pseudonym.EpochLength)
	refused("at the roll", seal())
	s.add(-time.Minute)
	refused("with the clock set back into the expired epoch", seal())
	s.set(nil)
	if again := s.seal(t, subject, label(), ""); again.Epoch == first.Epoch {
		t.Error("an expired epoch key was used again")
	}
	if len(s.keys) != 2 {
		t.Errorf("%d epoch keys recorded, want 2", len(s.keys))
	}
}

func TestSealWaitsForTheRecordAndNotBeyondItsContext(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	entered, release := make(chan struct{}), make(chan struct{})
	s.hook = sync.OnceFunc(func() { close(entered); <-release })
	subject := pseudonym.NewSubject()
	done := make(chan error, 2)
	go func() {
		sealed, err := s.sealer.Seal(t.Context(), subject, label(), nil)
		if _, ok := s.get(sealed.Epoch); err == nil && !ok {
			err = errors.New("sealed before the record")
		}
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.sealer.Seal(ctx, subject, label(), nil)
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("a seal came before its epoch key's record")
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSealRacesWithTheRoll(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	subject := pseudonym.NewSubject()
	var wg sync.WaitGroup
	results := make(chan pseudonym.Sealed, 16*60)
	for range 16 {
		wg.Go(func() {
			for range 60 {
				sealed, err := s.sealer.Seal(t.Context(), subject, label(), []byte("content"))
				if err != nil {
					t.Error(err)
					return
				}
				results <- sealed
				s.add(10 * time.Second)
			}
		})
	}
	wg.Wait()
	close(results)
	opened := 0
	for sealed := range results {
		_, plain, err := s.epochKey(t, sealed.Bytes).Open(subject.ID, subject.Secret(), sealed.Bytes)
		if err != nil || string(plain) != "content" {
			t.Fatal("sealed under a key that was being overwritten", err)
		}
		opened++
	}
	if opened != 16*60 || len(s.keys) < 10 {
		t.Errorf("%d opened, %d epochs", opened, len(s.keys))
	}
}

// pass lets the time of a bubble pass.
func pass(d time.Duration) { <-time.After(d) }

// TestRunForgetsTheKeyInTime runs in a bubble with its own time: the first epoch ends although
// nothing more is sealed, and the record of a later one does not hold the first one's key.
func TestRunForgetsTheKeyInTime(t *testing.T) {
	t.Parallel()
	dir := keyDir(t, hub.Prod)
	keys := loadKeys(t, dir, hub.Prod)
	synctest.Test(t, func(t *testing.T) {
		r := &records{}
		sealer := pseudonym.NewSealer(keys, r.record, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { sealer.Run(ctx) })
		if sealer.Holding() {
			t.Error("holds a key before the first seal")
		}
		pass(time.Minute)
		seal := func() {
			if _, err := sealer.Seal(ctx, pseudonym.NewSubject(), label(), nil); err != nil {
				t.Error(err)
			}
		}
		seal()
		pass(pseudonym.EpochLength - time.Second)
		synctest.Wait()
		if !sealer.Holding() {
			t.Error("forgot the key too early")
		}
		pass(2 * time.Second)
		synctest.Wait()
		if sealer.Holding() {
			t.Error("an expired key is still held")
		}
		seal()
		cancel()
		running.Wait()
		if sealer.Holding() {
			t.Error("a key is held after the end")
		}
	})
}

func TestSealRefusesWhatItCannotCarry(t *testing.T) {
	t.Parallel()
	s := newSealing(t, hub.Prod)
	for name, c := range map[string]struct {
		subject pseudonym.Subject
		label   pseudonym.Label
		size    int
	}{
		"no secret":   {pseudonym.Subject{ID: uuid.New()}, label(), 1},
		"long schema": {pseudonym.NewSubject(), pseudonym.Label{Schema: strings.Repeat("1", 256)}, 1},
		"too large":   {pseudonym.NewSubject(), label(), 9 << 20},
	} {
		if _, err := s.sealer.Seal(t.Context(), c.subject, c.label, make([]byte, c.size)); err == nil {
			t.Errorf("%s was sealed", name)
		}
	}
}

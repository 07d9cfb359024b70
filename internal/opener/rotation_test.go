package opener_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/opener"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// errCut is what a vault says whose process is ended.
var errCut = errors.New("ended")

// cut is a vault that ends its opener before or after every few changes.
type cut struct {
	opener.Vault

	every int32
	calls *atomic.Int32
}

// step runs a change, or not, and then says that everything has ended.
func (c cut) step(do func() error) error {
	n := c.calls.Add(1)
	switch {
	case c.every == 0 || n%c.every != 0:
		return do()
	case n/c.every%2 == 0:
		return errCut
	}
	_ = do()
	return errCut
}

func (c cut) BeginReindex(ctx context.Context, epoch int32) (done bool, err error) {
	err = c.step(func() (err error) { done, err = c.Vault.BeginReindex(ctx, epoch); return err })
	return done, err
}

func (c cut) IndexLinks(ctx context.Context, epoch int32, links []pseudonym.SealedLink) (done int, err error) {
	err = c.step(func() (err error) { done, err = c.Vault.IndexLinks(ctx, epoch, links); return err })
	return done, err
}

func (c cut) EndReindex(ctx context.Context, epoch int32) error {
	return c.step(func() error { return c.Vault.EndReindex(ctx, epoch) })
}

func (c cut) SealKeys(ctx context.Context, keys []pseudonym.Resealed) error {
	return c.step(func() error { return c.Vault.SealKeys(ctx, keys) })
}

// person is an identity and whose it is.
type person struct {
	identity pseudonym.Identity
	subject  uuid.UUID
}

// populate makes so many known people.
func (w *world) populate(n int) []person {
	w.tb.Helper()
	const page = 128
	people := make([]person, n)
	pages := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for begin := range pages {
				var asked []pseudonym.Reservation
				for i := begin; i < min(n, begin+page); i++ {
					people[i].identity = pseudonym.NewIdentity("CF", hub.NewIdentifier(fmt.Sprintf("PERSONA%09d", i)))
					asked = append(asked, w.reservation(w.keys, people[i].identity))
				}
				subjects, err := w.vault.ReserveAll(w.tb.Context(), asked)
				for i := range subjects {
					people[begin+i].subject = subjects[i].ID
				}
				if err == nil {
					err = errors.Join(w.vault.ConfirmAll(w.tb.Context(), subjects)...)
				}
				if err != nil {
					w.tb.Error(err)
				}
			}
		})
	}
	for begin := 0; begin < n; begin += page {
		pages <- begin
	}
	close(pages)
	workers.Wait()
	return people
}

// reservation asks for a new subject of an identity, which is sealed as the gateway does.
func (w *world) reservation(keys *pseudonym.Keys, identity pseudonym.Identity) pseudonym.Reservation {
	w.tb.Helper()
	s := pseudonym.NewSubject()
	sealed, err := w.sealer.Seal(w.tb.Context(), s, pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: s.ID, Schema: "1.0"}, identity.Bytes())
	if err != nil {
		w.tb.Error(err)
	}
	return pseudonym.Reservation{Index: keys.LinkIndex(identity), Subject: s, SealedIdentity: sealed.Bytes}
}

// traffic asks for known people and brings new ones by several vaults at once, until it is ended.
type traffic struct {
	w              *world
	vaults         []*pseudonym.Vault
	keys           []*pseudonym.Keys
	known          []person
	asked, refused atomic.Int64
	stop           chan struct{}
	senders        sync.WaitGroup

	mu   sync.Mutex
	came []person
}

// run begins.
func (f *traffic) run() {
	f.stop = make(chan struct{})
	for s := range 4 {
		f.senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-f.stop:
					return
				default:
				}
				f.look(f.known[(n*7919+s)%len(f.known)], n%len(f.vaults))
				if n%4 == 0 {
					f.bring(pseudonym.NewIdentity("CF", hub.NewIdentifier(fmt.Sprintf("NUOVA%d-%d", s, n))))
				}
			}
		})
	}
}

func (f *traffic) end() {
	close(f.stop)
	f.senders.Wait()
}

// look asks for somebody known.
func (f *traffic) look(p person, by int) {
	f.asked.Add(1)
	s, err := f.vaults[by].ReserveAll(f.w.tb.Context(), []pseudonym.Reservation{f.w.reservation(f.keys[by], p.identity)})
	if err != nil || s[0].ID != p.subject {
		f.refused.Add(1)
		f.w.tb.Errorf("%v: a known person is another subject", err)
	}
}

// bring has all vaults reserve one new person at the same time, each for a subject of its own.
func (f *traffic) bring(identity pseudonym.Identity) {
	found := make([]uuid.UUID, len(f.vaults))
	var racers sync.WaitGroup
	for v := range f.vaults {
		racers.Go(func() {
			f.asked.Add(1)
			s, err := f.vaults[v].ReserveAll(f.w.tb.Context(), []pseudonym.Reservation{f.w.reservation(f.keys[v], identity)})
			if err == nil {
				err = f.vaults[v].Confirm(f.w.tb.Context(), s[0])
			}
			if err != nil {
				f.refused.Add(1)
				f.w.tb.Errorf("new person refused: %v", err)
				return
			}
			found[v] = s[0].ID
		})
	}
	racers.Wait()
	for _, id := range found {
		if id != found[0] {
			f.w.tb.Errorf("one person became two subjects")
		}
	}
	f.mu.Lock()
	f.came = append(f.came, person{identity, found[0]})
	f.mu.Unlock()
}

// keyScope is the epoch that a purpose works on.
func keyScope(p ticket.Purpose, epoch int32) ticket.Scope {
	key := pseudonym.PurposeLink
	if p == ticket.Reseal {
		key = pseudonym.PurposeSeal
	}
	return ticket.Scope{Kind: ticket.KeyEpoch, Key: string(key), Epoch: epoch}
}

// work has the opener work on keys until it is done, beginning again whenever it ended.
func (w *world) work(o options, purpose ticket.Purpose, epoch int32, beside func(done int)) (ends int) {
	w.tb.Helper()
	done := 0
	for {
		s, err := w.client.Begin(w.tb.Context(), sign(w.tb, draft(purpose, keyScope(purpose, epoch))))
		if err != nil {
			w.tb.Fatal(err)
		}
		more := true
		for more && err == nil {
			var n int
			n, more, err = s.Work(w.tb.Context())
			done += n
			beside(done)
		}
		if err == nil {
			if err := s.End(w.tb.Context()); err != nil {
				w.tb.Fatal(err)
			}
			return ends
		}
		if !errors.Is(err, opener.ErrUnavailable) {
			w.tb.Fatal(err)
		}
		ends++
		w.stop()
		w.run(o)
	}
}

// count is from the environment for a campaign.
func count(tb testing.TB, small int) int {
	tb.Helper()
	text := os.Getenv("SINBAHUB_ROTATE")
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// second is another process with a folder of keys of its own.
func (w *world) second() (dir string, keys *pseudonym.Keys, vault *pseudonym.Vault) {
	w.tb.Helper()
	dir = filepath.Join(w.tb.TempDir(), "keys2")
	if err := os.CopyFS(dir, os.DirFS(w.keysDir)); err != nil {
		w.tb.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range append(names, dir) {
		mode := os.FileMode(0o600)
		if name == dir {
			mode = 0o700
		}
		if err := os.Chmod(name, mode); err != nil {
			w.tb.Fatal(err)
		}
	}
	keys, err := pseudonym.LoadKeys(dir, hub.Prod)
	if err != nil {
		w.tb.Fatal(err)
	}
	vault = pseudonym.NewVault(pool(w.tb, w.vaultDSN), keys)
	background(w.tb, vault.Run)
	return dir, keys, vault
}

// reload reads a folder of keys again.
func reload(tb testing.TB, keys *pseudonym.Keys, dir string) {
	tb.Helper()
	if _, err := keys.Reload(dir, func(map[string][32]byte) error { return nil }); err != nil {
		tb.Error(err)
	}
}

// TestReindexingUnderLoadKeepsEverySubject indexes all known people under a new key while two processes, of
// which one holds the new key later, ask for them and bring new ones, and the opener is ended again and again.
// SINBAHUB_ROTATE people make it the campaign (make bench-rotate).
func TestReindexingUnderLoadKeepsEverySubject(t *testing.T) {
	t.Parallel()
	people := count(t, 2500)
	cuts := cut{every: 3, calls: new(atomic.Int32)}
	if people > 10_000 {
		cuts.every = 0 // the figure is without ends
	}
	o := options{vault: func(v opener.Vault) opener.Vault { cuts.Vault = v; return cuts }}
	w := newWorld(t, o)
	known := w.populate(people)
	dir, keys, vault := w.second()
	f := &traffic{w: w, vaults: []*pseudonym.Vault{w.vault, vault}, keys: []*pseudonym.Keys{w.keys, keys}, known: known}
	f.run()
	epoch, err := pseudonym.AddNamed(w.keysDir, hub.Prod, pseudonym.NameLink, time.Now())
	if err != nil || epoch != 2 {
		t.Fatal(epoch, err)
	}
	reload(t, w.keys, w.keysDir)
	w.stop()
	w.run(o)
	late := sync.OnceFunc(func() {
		text, err := os.ReadFile(filepath.Join(w.keysDir, "link-2.json"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "link-2.json"), text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		reload(t, keys, dir)
	})
	began := time.Now()
	ends := w.work(o, ticket.Rotate, epoch, func(done int) {
		if done >= people/4 {
			late()
		}
	})
	took := time.Since(began)
	f.look(known[0], 1)
	f.end()
	if f.refused.Load() > 0 || people <= 10_000 && ends < 2 {
		t.Errorf("%d refused, %d ends", f.refused.Load(), ends)
	}
	t.Logf("%d people indexed anew in %.1f s beside %d look-ups and reservations, %d refused; %d new people came; the opener ended %d times",
		people, took.Seconds(), f.asked.Load(), f.refused.Load(), len(f.came), ends)
	if n, err := pseudonym.LinkDependents(t.Context(), pool(t, w.vaultDSN), hub.Prod, 1); err != nil || n != 0 {
		t.Fatalf("%d rows need the old key: %v", n, err)
	}
	if err := pseudonym.DeleteLinks(t.Context(), pool(t, w.vaultDSN), hub.Prod, 1); err != nil {
		t.Fatal(err)
	}
	if err := pseudonym.DestroyFile(w.keysDir, pseudonym.NameLink, 1); err != nil {
		t.Fatal(err)
	}
	reload(t, w.keys, w.keysDir)
	f.vaults, f.keys = f.vaults[:1], f.keys[:1]
	for _, p := range append(known, f.came...) {
		f.look(p, 0)
	}
	var rows, subjects int
	err = w.super.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM vault.subject_link WHERE key_epoch = 2), (SELECT count(*) FROM vault.subject)").Scan(&rows, &subjects)
	if err != nil || rows != people+len(f.came) || subjects != rows {
		t.Errorf("%v: %d links of the new key, %d subjects for %d people", err, rows, subjects, people+len(f.came))
	}
}

// TestResealingOpensAsBefore seals the epoch keys to a new pair, with ends on the way, and destroys the old
// one: what was sealed before opens, and no message was touched.
func TestResealingOpensAsBefore(t *testing.T) {
	t.Parallel()
	cuts := cut{every: 2, calls: new(atomic.Int32)}
	o := options{vault: func(v opener.Vault) opener.Vault { cuts.Vault = v; return cuts }}
	w := newWorld(t, o)
	child := w.child()
	message := w.message(child, "prima")
	epoch, err := pseudonym.AddNamed(w.keysDir, hub.Prod, pseudonym.NameSeal, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	reload(t, w.keys, w.keysDir)
	w.stop()
	w.run(o)
	w.work(o, ticket.Reseal, epoch, func(int) {})
	n, err := pseudonym.SealDependents(t.Context(), w.super, hub.Prod, 1)
	if err != nil || n != 0 {
		t.Fatalf("%d epoch keys need the old pair: %v", n, err)
	}
	if err := w.keys.Use(map[string]int32{pseudonym.NameSeal: epoch}); err != nil {
		t.Fatal(err)
	}
	if err := pseudonym.DestroyFile(w.keysDir, pseudonym.NameSeal, 1); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.run(options{})
	w.sealer = pseudonym.NewSealer(w.keys, w.vault.RecordEpoch, time.Now)
	after := w.message(child, "dopo")
	for id, want := range map[uuid.UUID]string{message: "prima", after: "dopo"} {
		if a, err := w.open(id, 0); err != nil || string(a.Plain) != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestNothingIsLostWithAPairThatSomebodyStillUses: a process that has not noticed the new pair goes on under
// the old one, with an epoch key from before and with another that it records behind the sealing anew. The
// old pair cannot be closed before that one is sealed anew, too, and once it is nothing comes under it.
func TestNothingIsLostWithAPairThatSomebodyStillUses(t *testing.T) {
	t.Parallel()
	o := options{}
	w := newWorld(t, o)
	child := w.child()
	messages := map[uuid.UUID]string{w.message(child, "prima"): "prima"}
	epoch, err := pseudonym.AddNamed(w.keysDir, hub.Prod, pseudonym.NameSeal, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	reload(t, w.keys, w.keysDir)
	w.stop()
	w.run(o)
	w.work(o, ticket.Reseal, epoch, func(int) {})
	messages[w.message(child, "con la chiave di prima")] = "con la chiave di prima"
	slow := func() { w.sealer = pseudonym.NewSealer(w.keys, w.vault.RecordEpoch, time.Now) }
	slow()
	messages[w.message(child, "tardi")] = "tardi"
	if err := pseudonym.ClosePair(t.Context(), pool(t, w.vaultDSN), hub.Prod, 1); !errors.Is(err, pseudonym.ErrPairNeeded) {
		t.Fatalf("a pair was closed that an epoch key is sealed to: %v", err)
	}
	w.work(o, ticket.Reseal, epoch, func(int) {})
	if err := pseudonym.ClosePair(t.Context(), pool(t, w.vaultDSN), hub.Prod, 1); err != nil {
		t.Fatal(err)
	}
	slow()
	label := pseudonym.Label{Kind: pseudonym.SealedIdentity, Message: child.ID, Schema: "1.0"}
	_, err = w.sealer.Seal(t.Context(), child, label, []byte("x"))
	if refusal, ok := errors.AsType[*hub.Error](err); !ok || refusal.Kind != hub.Unavailable {
		t.Errorf("sealed under a pair that is closed: %v", err)
	}
	if err := w.keys.Use(map[string]int32{pseudonym.NameSeal: epoch}); err != nil {
		t.Fatal(err)
	}
	messages[w.message(child, "dopo")] = "dopo"
	if err := pseudonym.DestroyFile(w.keysDir, pseudonym.NameSeal, 1); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.run(o)
	for id, want := range messages {
		if a, err := w.open(id, 0); err != nil || string(a.Plain) != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestALockedLinkIsNotCounted: somebody holds a link for long. The work goes on with the others, counts what
// it did, and says that there is more; the other key does not come to decide before.
func TestALockedLinkIsNotCounted(t *testing.T) {
	t.Parallel()
	o := options{}
	w := newWorld(t, o)
	const people = 5
	w.populate(people)
	epoch, err := pseudonym.AddNamed(w.keysDir, hub.Prod, pseudonym.NameLink, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	reload(t, w.keys, w.keysDir)
	w.stop()
	w.run(o)
	held, err := w.super.Begin(t.Context())
	if err == nil {
		_, err = held.Exec(t.Context(), "SELECT FROM vault.subject_link ORDER BY link_index LIMIT 1 FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.client.Begin(t.Context(), sign(t, draft(ticket.Rotate, keyScope(ticket.Rotate, epoch))))
	if err != nil {
		t.Fatal(err)
	}
	work := func(want int, further bool) {
		t.Helper()
		if done, more, err := s.Work(t.Context()); err != nil || done != want || more != further {
			t.Errorf("%d done, more: %t, %v; want %d, %t", done, more, err, want, further)
		}
	}
	if _, err := s.Open(t.Context(), []opener.Request{{Message: uuid.New()}}); !errors.Is(err, opener.ErrSession) {
		t.Errorf("a session that indexes opened a message: %v", err)
	}
	work(people-1, true)
	work(0, true)
	if state, err := pseudonym.ReadLinkState(t.Context(), w.super, hub.Prod); err != nil || state.Active != 1 {
		t.Errorf("%v: %+v", err, state)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	work(1, true)
	work(0, false)
	if state, err := pseudonym.ReadLinkState(t.Context(), w.super, hub.Prod); err != nil || state.Active != epoch {
		t.Errorf("%v: %+v", err, state)
	}
	if err := s.End(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWorkOnKeysIsRefusedWithoutTheKey: an opener that does not have the key changes nothing and does not use the
// ticket, and a ticket of one purpose serves no other.
func TestWorkOnKeysIsRefusedWithoutTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for _, purpose := range []ticket.Purpose{ticket.Rotate, ticket.Reseal} {
		signed := sign(t, draft(purpose, keyScope(purpose, 2)))
		for range 2 {
			if _, err := w.client.Begin(t.Context(), signed); !errors.Is(err, opener.ErrNotHeld) {
				t.Errorf("%s: %v", purpose, err)
			}
		}
		other := map[ticket.Purpose]ticket.Purpose{ticket.Rotate: ticket.Reseal, ticket.Reseal: ticket.Rotate}[purpose]
		for _, scope := range []ticket.Scope{keyScope(purpose, 1), keyScope(other, 2)} {
			if _, err := w.client.Begin(t.Context(), sign(t, draft(purpose, scope))); err == nil {
				t.Errorf("%s began with %s %d", purpose, scope.Key, scope.Epoch)
			}
		}
	}
	replay := w.begin()
	if _, _, err := replay.Work(t.Context()); !errors.Is(err, opener.ErrSession) {
		t.Errorf("a replay worked on keys: %v", err)
	}
	state, err := pseudonym.ReadLinkState(t.Context(), w.super, hub.Prod)
	if err != nil || state != (pseudonym.LinkState{Active: 1}) {
		t.Errorf("%v: %+v", err, state)
	}
}

package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// keyringEvery is how often a running serve looks for keys that came and for what the database says of
// them. It is far below delivery.HolderTime, after which an instance that says nothing has ended.
const keyringEvery = time.Second

// settling is how long an epoch must have been in use here before the database is told so: what began under
// the one before, an acceptance or the record of an epoch key (pseudonym.Sealer, 5 s), is over by then. What
// comes next, sealing anew or the last codes to tell, so finds all of it.
const settling = 6 * time.Second

// keyring keeps the keys of a running serve what the folder and the database say. A rotation has two
// phases: first every instance holds the new key, then a row makes it the one in use. So at no moment
// does one instance meet what another made with a key that it lacks.
type keyring struct {
	dir      string
	env      hub.Environment
	keys     *pseudonym.Keys
	store    *postgres.Store
	log      *zap.Logger
	instance uuid.UUID
	// changed is when the folder last changed of those that were read.
	changed time.Time
	// told is the epoch of SISS's codes up to which it knows all codes.
	told atomic.Int32
	// said is when the last look began after which the database knew what this instance uses; nil before.
	said atomic.Pointer[time.Time]
	now  func() time.Time
	// refused is the last fault that was logged.
	refused string
	// signer is the journal's key, nil before there is one.
	signer *journal.Key
	// settled has of each key what the database is told.
	settled map[string]usage
}

// usage is the epoch of a key in use here since a moment, and the one that the database is told until what
// began under it is over.
type usage struct {
	epoch, told int32
	since       time.Time
}

// nameJournal is the name of the journal's signing key.
const nameJournal = "journal"

// newKeyring takes part in rotations with keys that were just loaded.
func newKeyring(cfg config.Config, keys *pseudonym.Keys, store *postgres.Store, log *zap.Logger) *keyring {
	return &keyring{dir: cfg.Keys.Dir, env: cfg.Env(), keys: keys, store: store, log: log.Named("keys"), instance: uuid.New(), now: time.Now}
}

// sign takes the journal's key in.
func (k *keyring) sign(key *journal.Key) { k.signer = key }

// run looks until ctx ends, then says that this instance holds nothing any more.
func (k *keyring) run(ctx context.Context) error {
	ticker := time.NewTicker(keyringEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyringEvery)
			defer cancel()
			_ = k.store.HoldKeys(ending, postgres.Held{Environment: k.env, Instance: k.instance})
			return nil
		case <-ticker.C:
		}
		if err := k.look(ctx); err != nil && ctx.Err() == nil && err.Error() != k.refused {
			k.refused = err.Error()
			k.log.Error("keys could not be brought up to date; those that are held stay", zap.Error(err))
		}
	}
}

// look does it once.
func (k *keyring) look(ctx context.Context) error {
	began := k.now()
	// What is used is said whatever failed: who cannot follow still makes codes of the epoch before.
	failed := errors.Join(k.reload(ctx), k.follow(ctx))
	held, used := k.keys.Held(), k.keys.InUse()
	if k.signer != nil {
		held[nameJournal], used[nameJournal] = k.signer.Held(), k.signer.InUse()
	}
	k.settled = settle(k.settled, used, began)
	for name, u := range k.settled {
		used[name] = u.told
	}
	if err := k.store.HoldKeys(ctx, postgres.Held{Environment: k.env, Instance: k.instance, Epochs: held, InUse: used}); err != nil {
		return errors.Join(failed, err)
	}
	k.said.Store(&began)
	return failed
}

// current tells whether the database was told so lately what this instance uses that it still counts as running
// for all others: who tells codes waits for it, and so finds every event that was accepted here until now.
func (k *keyring) current() bool {
	said, now := k.said.Load(), k.now()
	if said == nil {
		return false
	}
	// By both clocks: each may stand still or be set.
	byWall := now.Round(0).Sub(said.Round(0))
	return now.Sub(*said) < delivery.HolderTime/2 && byWall < delivery.HolderTime/2 && byWall >= 0
}

// settle follows what is in use at a moment. What is in use at the first look is from the start, before which
// nothing began.
func settle(before map[string]usage, used map[string]int32, now time.Time) map[string]usage {
	after := make(map[string]usage, len(used))
	for name, epoch := range used {
		u, known := before[name]
		switch {
		case !known:
			u = usage{epoch: epoch, told: epoch}
		case u.epoch != epoch:
			u.epoch, u.since = epoch, now
		case now.Sub(u.since) >= settling:
			u.told = epoch
		}
		after[name] = u
	}
	return after
}

// reload takes keys in that came into the folder.
func (k *keyring) reload(ctx context.Context) error {
	if k.signer != nil {
		if err := k.signer.Look(); err != nil {
			return err
		}
	}
	info, err := os.Stat(k.dir)
	if err != nil {
		return fmt.Errorf("look at the folder of keys: %w", err)
	}
	if info.ModTime().Equal(k.changed) {
		return nil
	}
	came, err := k.keys.Reload(k.dir, func(prints map[string][32]byte) error { return k.store.CheckKeys(ctx, k.env, prints) })
	if err != nil {
		return fmt.Errorf("read keys again: %w", err)
	}
	k.changed, k.refused = info.ModTime(), ""
	if len(came) > 0 {
		k.log.Info("new keys are held", zap.Strings("keys", came))
	}
	return nil
}

// follow puts to use what the database says.
func (k *keyring) follow(ctx context.Context) error {
	rows, err := k.store.KeyEpochs(ctx, k.env)
	if err != nil {
		return err
	}
	use, told := epochsInUse(k.keys, rows)
	before := k.keys.InUse()
	if err := k.keys.Use(use); err != nil {
		return fmt.Errorf("use the keys that the database says: %w", err)
	}
	if after := k.keys.InUse(); !maps.Equal(before, after) {
		for name, epoch := range after {
			if before[name] != epoch {
				k.log.Info("another epoch of a key is in use", zap.String("key", name), zap.Int32("epoch", epoch))
			}
		}
	}
	k.told.Store(told)
	if k.signer == nil {
		return nil
	}
	return useJournalKey(ctx, k.signer, k.store, k.env)
}

// epochsInUse is what the database's rows say: a key without a row is in the first epoch that is held. told
// is the epoch up to which SISS knows all codes.
func epochsInUse(keys *pseudonym.Keys, rows []postgres.KeyEpoch) (use map[string]int32, told int32) {
	use = map[string]int32{}
	for name, epochs := range keys.Held() {
		use[name] = slices.Min(epochs)
	}
	told = use[pseudonym.NameOfCodes(pseudonym.Nation)]
	for _, r := range rows {
		if r.State == postgres.KeyActive {
			use[r.Name] = r.Epoch
		}
		if r.Name == pseudonym.NameOfCodes(pseudonym.Nation) && !r.ToldAt.IsZero() {
			told = max(told, r.Epoch)
		}
	}
	return use, told
}

// useEpochs puts those epochs to use that the database says, for a command.
func useEpochs(ctx context.Context, keys *pseudonym.Keys, store *postgres.Store, env hub.Environment) error {
	rows, err := store.KeyEpochs(ctx, env)
	if err != nil {
		return err
	}
	use, _ := epochsInUse(keys, rows)
	if err := keys.Use(use); err != nil {
		return fmt.Errorf("use the keys that the database says: %w", err)
	}
	return nil
}

// maySend tells whether an event with a code of an epoch may leave (delivery.Parts.MaySend). One with an
// earlier code than the one in use may, once it stands in a communication which code continues it: somebody
// may have accepted it after all others were told. An instance that stood still does not know what is in use, and
// the event that leaves may be the one that it accepted just now: none leaves before it has looked.
func (k *keyring) maySend(ctx context.Context, subject uuid.UUID, epoch int32) (bool, error) {
	if !k.current() {
		return false, nil
	}
	if epoch < k.keys.InUse()[pseudonym.NameOfCodes(pseudonym.Nation)] {
		err := k.store.PlanCode(ctx, k.env, subject, epoch)
		return err == nil, err
	}
	if epoch <= k.told.Load() {
		return true, nil
	}
	return k.store.CodeTold(ctx, k.env, subject, epoch, delivery.HolderTime)
}

// buildTeller makes what tells SISS of changed codes.
func (s *server) buildTeller() error {
	var err error
	s.teller, err = delivery.NewTeller(delivery.TellConfig{
		Environment: s.cfg.Env(), URL: s.cfg.SISS.URL, CAFile: s.cfg.SISS.CAFile, Rate: func() int { return s.config().SISS.Rate },
		Deadline: s.cfg.SISS.Deadline, Lease: s.cfg.SISS.Lease,
	}, delivery.Parts{Store: s.stores.store, Keys: s.keys, Validator: s.pool, Logger: s.log, Now: time.Now})
	if err != nil {
		return fmt.Errorf("build what tells codes: %w", err)
	}
	return nil
}

// tellCodes tells SISS of changed codes until ctx ends.
func (s *server) tellCodes(ctx context.Context) error {
	if s.teller == nil {
		return nil
	}
	return s.teller.Run(ctx)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/pseudonym"
)

// How often entries get their leaves, how many at once, and from when on a journal that could not be
// sealed is said.
const (
	sequenceEvery = time.Second
	sequenceMost  = 4096
	staleAlarm    = time.Minute
)

// errForked says that the journal in the database is not the one that was published.
var errForked = errors.New("the journal in the database contradicts a checkpoint that was published: it was restored or changed; " +
	"if an operator restored it, sinbahub accept-database says so and goes on")

// errDamaged says that what is stored of the journal is damaged; the place is named behind it.
var errDamaged = errors.New("the journal in the database was changed, by somebody or by a disk: keep everything as it is and call the auditors, " +
	"and then put what is named back from a backup")

// damaged is errDamaged with the place.
func damaged(d journal.DamageError) error { return fmt.Errorf("%w: %w", errDamaged, d) }

// What two databases of which one was restored say of each other.
var (
	errJournalBehind = errors.New("the vault knows a checkpoint that the journal does not: the hub's database was restored to an earlier point than the vault; " +
		"if an operator did so, sinbahub accept-database says so and goes on")
	errVaultBehind = errors.New("events were accepted of which the vault knows nothing: it was restored to an earlier point than the hub's database, and children would get other subjects; " +
		"if an operator did so, sinbahub accept-database says so and goes on")
)

// notary gives entries their leaves and signs checkpoints, beside the exchanges and never in them. Every
// instance has one; the database lets one at a time work, and each follows what the others sign, so that
// each is a witness of them all.
type notary struct {
	store   *postgres.Store
	key     *journal.Key
	witness *journal.Witness
	vault   *pgxpool.Pool
	env     hub.Environment
	cfg     config.Journal
	now     func() time.Time
	log     *zap.Logger

	// marked is the last checkpoint that the vault was told.
	marked string
	// known is the last checkpoint seen; published is known once it stands in the witness.
	known     journal.Checkpoint
	published atomic.Pointer[journal.Checkpoint]
	// sealedAt is when all entries of that moment were under a published checkpoint.
	sealedAt atomic.Pointer[time.Time]
	// forked says that the database contradicts what is known; unwitnessed that nothing was known at
	// the start.
	forked, unwitnessed atomic.Bool
	said                string

	leaves, checkpoints prometheus.Counter
	// patrol looks at what is stored of it.
	patrol *patrol
}

// buildNotary checks the journal against what this machine has seen of it and seals what waits. A
// journal that contradicts it refuses the start.
func (s *server) buildNotary(ctx context.Context) error {
	key, err := loadJournalKey(ctx, s.cfg, s.stores.store)
	if err != nil {
		return err
	}
	n := &notary{
		store: s.stores.store, vault: s.vaultPool, env: s.cfg.Env(), key: key, cfg: s.cfg.Journal, now: time.Now,
		log: s.log.Named("journal"),
	}
	if n.witness, err = journal.OpenWitness(s.cfg.JournalWitness()); err != nil {
		return err
	}
	if n.known, err = lastSeen(n.witness, key); err != nil {
		return err
	}
	n.unwitnessed.Store(n.known.Note == "")
	// Before it is compared with anything: a tile that was changed makes it look like another journal.
	if err := checkEdge(ctx, n.store); err != nil {
		return err
	}
	if err := checkMark(ctx, n.store, n.vault, n.env); err != nil {
		return err
	}
	n.register(s.registry)
	n.published.Store(&journal.Checkpoint{})
	now := n.now()
	n.sealedAt.Store(&now)
	if err := n.step(ctx, true); err != nil {
		return fmt.Errorf("seal the journal: %w", err)
	}
	n.patrol = newPatrol(n.store, n.now, n.log, s.registry)
	if err := n.patrol.start(ctx); err != nil {
		return fmt.Errorf("look at the journal: %w", err)
	}
	s.notary = n
	s.keyring.sign(key)
	return nil
}

// checkEdge refuses a tree that the next leaf cannot go on from.
func checkEdge(ctx context.Context, store *postgres.Store) error {
	found, err := store.CheckEdge(ctx)
	for _, d := range found {
		if d.Part == journal.PartTile || d.Part == journal.PartHead {
			return damaged(d)
		}
	}
	return err
}

// loadJournalKey reads the journal's key. One is made for a journal that has no checkpoint; a journal
// that has, and no key, lost it.
func loadJournalKey(ctx context.Context, cfg config.Config, store *postgres.Store) (*journal.Key, error) {
	dir := cfg.JournalKeys()
	if !journal.HasKey(dir) {
		signed, err := store.HasCheckpoint(ctx)
		if err != nil {
			return nil, fmt.Errorf("load journal key: %w", err)
		}
		if signed {
			return nil, fmt.Errorf("load journal key: %w: %s is empty, but the journal has been signed", journal.ErrKey, dir)
		}
		if _, err := journal.MakeKey(dir, cfg.JournalOrigin()); err != nil {
			return nil, err
		}
	}
	key, err := journal.LoadKey(dir, cfg.JournalOrigin())
	if err != nil {
		return nil, fmt.Errorf("load journal key of %s from %s: %w", cfg.JournalOrigin(), dir, err)
	}
	return key, useJournalKey(ctx, key, store, cfg.Env())
}

// unmarked is how many of the last checkpoints the vault may not know, because instances were killed
// between signing and telling it.
const unmarked = 2

// checkMark holds the journal against what the vault remembers of it.
func checkMark(ctx context.Context, store *postgres.Store, vault *pgxpool.Pool, env hub.Environment) error {
	mark, ok, err := pseudonym.LastMark(ctx, vault, env)
	if err != nil || !ok {
		return err
	}
	err = store.CheckConsistent(ctx, journal.Checkpoint{Size: mark.Size, Root: mark.Root, Note: "of the vault"})
	if damage, ok := errors.AsType[journal.DamageError](err); ok {
		return damaged(damage)
	}
	if errors.Is(err, journal.ErrTree) {
		return errJournalBehind
	}
	if err != nil {
		return err
	}
	accepted, err := store.AcceptedSince(ctx, mark.Size, unmarked)
	if err != nil {
		return err
	}
	return errIf(accepted, errVaultBehind)
}

func (n *notary) register(registerer prometheus.Registerer) {
	n.leaves = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hub_journal_leaves_total", Help: "Entries that this instance gave their leaf in the journal's tree.",
	})
	n.checkpoints = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hub_journal_checkpoints_total", Help: "Checkpoints of the journal that this instance published.",
	})
	stale := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hub_journal_stale_seconds",
		Help: "For how long no published checkpoint holds all entries; above 60 s something is wrong.",
	}, func() float64 { return n.stale().Seconds() })
	forked := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hub_journal_forked", Help: "1 if the journal in the database contradicts a published checkpoint.",
	}, func() float64 {
		if n.forked.Load() {
			return 1
		}
		return 0
	})
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hub_journal_size", Help: "Leaves under the last published checkpoint.",
	}, func() float64 { return float64(n.published.Load().Size) })
	registerer.MustRegister(n.leaves, n.checkpoints, stale, forked, size)
}

// stale is for how long the journal was not sealed.
func (n *notary) stale() time.Duration { return max(0, n.now().Sub(*n.sealedAt.Load())) }

// run works until ctx ends.
func (n *notary) run(ctx context.Context) error {
	ticker := time.NewTicker(sequenceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := n.step(ctx, false)
		if ctx.Err() != nil {
			return nil
		}
		n.say(ctx, err)
	}
}

// step gives all entries that wait their leaves and publishes the last checkpoint, a new one if one is
// due or asked for.
func (n *notary) step(ctx context.Context, now bool) error {
	began := n.now()
	for {
		_, added, err := n.store.Sequence(ctx, sequenceMost)
		if err != nil {
			return n.judge(ctx, err)
		}
		n.leaves.Add(float64(added))
		if added < sequenceMost {
			break
		}
	}
	due := postgres.CheckpointDue{Leaves: int64(n.cfg.Entries), Age: n.cfg.Every}
	if now {
		due = postgres.CheckpointDue{}
	}
	c, err := n.store.Checkpoint(ctx, postgres.Notary{Sign: n.key.Sign, Open: n.key.Open, Known: n.known}, due)
	if err != nil {
		return n.judge(ctx, err)
	}
	n.forked.Store(false)
	if c.Note != n.published.Load().Note {
		// Before anybody sees it: who restores the database later must meet it here.
		if err := n.witness.Append(c); err != nil {
			return err
		}
		n.known = c
		n.published.Store(&c)
		n.checkpoints.Inc()
	}
	if c.Note != n.marked {
		if err := pseudonym.SetMark(ctx, n.vault, n.env, pseudonym.Mark{Size: c.Size, Root: c.Root}, false); err != nil {
			return err
		}
		n.marked = c.Note
	}
	n.sealedAt.Store(&began)
	return nil
}

// closeWithin is how long the last checkpoint may take; the next start signs it otherwise.
const closeWithin = 3 * time.Second

// close seals what this instance did, at its end.
func (n *notary) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeWithin)
	defer cancel()
	if err := n.step(ctx, true); err != nil {
		n.log.Warn("journal not sealed at the end", zap.Error(err))
	}
}

// judge marks a journal that contradicts itself, and names the place if there is one.
func (n *notary) judge(ctx context.Context, err error) error {
	if !errors.Is(err, journal.ErrTree) {
		return err
	}
	n.forked.Store(true)
	if damage, ok := errors.AsType[journal.DamageError](err); ok {
		return damaged(damage)
	}
	if err := checkEdge(ctx, n.store); errors.Is(err, errDamaged) {
		return err
	}
	return errForked
}

// say logs what keeps the journal from being sealed: a contradiction at once, anything else once it has
// lasted, and neither every second.
func (n *notary) say(ctx context.Context, err error) {
	text := ""
	switch {
	case errors.Is(err, errForked), errors.Is(err, errDamaged):
		text = "journal forked"
	case err != nil && n.stale() > staleAlarm:
		text = "journal not sealed for a minute"
	}
	if text != n.said && text != "" {
		n.log.Error(text, append(whoHolds(ctx, n.store), zap.Error(err), zap.Duration("stale", n.stale()))...)
	} else if text != n.said {
		n.log.Info("journal sealed again")
	}
	n.said = text
}

// check is nil for a journal that can be sealed.
func (n *notary) check(context.Context) error { return errIf(n.forked.Load(), errForked) }

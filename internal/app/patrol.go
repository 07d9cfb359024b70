package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// How the stored journal is looked at while serving: a page of entries and a tile each second, so that
// nobody feels it, and all of it once a day; a journal that takes longer is looked at all the time.
const (
	patrolEvery  = time.Second
	patrolRound  = 24 * time.Hour
	patrolFresh  = 2048
	patrolPage   = 256
	patrolAtOnce = 4096
	// patrolLate is how much later than its id says an entry may be committed.
	patrolLate = 2 * time.Minute
	// patrolMost bounds what is remembered of a journal that is damaged all over.
	patrolMost = 1000
)

// patrol looks for what somebody changed in the journal where neither the sequencer nor a checkpoint comes
// by: entries that were taken out of the queue, leaves' rows, old tiles. Nothing it finds keeps the hub from
// its work, which is as sound as before for what comes: the log names it, a metric counts it, /readyz says
// it. Every instance has one.
type patrol struct {
	store *postgres.Store
	now   func() time.Time
	log   *zap.Logger

	// fresh is up to where new entries were looked at, each once.
	fresh postgres.EntryAt
	// began is when the round began; entry and tile are how far it is.
	began   time.Time
	entry   postgres.EntryAt
	entries bool
	head    postgres.Head
	tile    postgres.TileAt
	tiles   bool

	found   map[journal.DamageError]struct{}
	damaged atomic.Bool

	damage *prometheus.GaugeVec
	looked prometheus.Gauge
	oldest prometheus.Gauge
}

func newPatrol(store *postgres.Store, now func() time.Time, log *zap.Logger, registerer prometheus.Registerer) *patrol {
	p := &patrol{
		store: store, now: now, log: log, found: map[journal.DamageError]struct{}{},
		damage: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_journal_damages",
			Help: "What of the stored journal is not as the hub wrote it, as far as this instance has looked; the log names each.",
		}, []string{"part"}),
		looked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_journal_looked_timestamp_seconds",
			Help: "When this instance last began a look at the whole journal that it got to the end of; 0 if it did not yet.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_journal_queue_age_seconds", Help: "Age of the oldest entry that could have its leaf and has none; 0 if there is none.",
		}),
	}
	for _, part := range journal.Parts() {
		p.damage.WithLabelValues(part.String())
	}
	registerer.MustRegister(p.damage, p.looked, p.oldest)
	return p
}

// start looks at the newest entries, those that were on their way when the hub last ended.
func (p *patrol) start(ctx context.Context) error {
	at, err := p.store.BeforeNewest(ctx, patrolAtOnce)
	if err != nil {
		return err
	}
	lost, next, _, err := p.store.Leafless(ctx, at, uuid.Max, patrolAtOnce)
	if err != nil {
		return err
	}
	p.lose(lost)
	p.fresh = postgres.EntryAt{ID: idAt(p.now().Add(-patrolLate))}
	if bytes.Compare(next.ID[:], p.fresh.ID[:]) < 0 {
		p.fresh = next
	}
	return nil
}

// idAt is below every id (UUIDv7) of entries from an instant on.
func idAt(at time.Time) (id uuid.UUID) {
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(max(0, at.UnixMilli())))
	copy(id[:6], millis[2:])
	return id
}

// run looks until ctx ends. What the database does not answer is asked again the next time; that it does
// not answer is told by others.
func (p *patrol) run(ctx context.Context) {
	ticker := time.NewTicker(patrolEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := p.step(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("journal not looked at", zap.Error(err))
		}
	}
}

// step looks at a little.
func (p *patrol) step(ctx context.Context) error {
	age, err := p.store.QueueAge(ctx)
	if err != nil {
		return err
	}
	p.oldest.Set(age.Seconds())
	if err := p.again(ctx); err != nil {
		return err
	}
	lost, next, _, err := p.store.Leafless(ctx, p.fresh, idAt(p.now().Add(-patrolLate)), patrolFresh)
	if err != nil {
		return err
	}
	p.fresh = next
	p.lose(lost)
	return p.goOn(ctx)
}

// goOn goes on with the round, or begins one that is due.
func (p *patrol) goOn(ctx context.Context) error {
	if !p.entries && !p.tiles {
		if now := p.now(); p.began.IsZero() || now.Sub(p.began) >= patrolRound {
			return p.begin(ctx, now)
		}
		return nil
	}
	if p.entries {
		lost, next, looked, err := p.store.Leafless(ctx, p.entry, uuid.Max, patrolPage)
		if err != nil {
			return err
		}
		p.lose(lost)
		p.entry, p.entries = next, looked == patrolPage
	}
	if p.tiles {
		damage, err := p.store.CheckTile(ctx, p.head, p.tile)
		if err != nil {
			return err
		}
		p.add(damage...)
		p.tile, p.tiles = p.head.NextTile(p.tile)
	}
	if !p.entries && !p.tiles {
		p.looked.Set(float64(p.began.Unix()))
	}
	return nil
}

// begin begins a round with what is seen at once.
func (p *patrol) begin(ctx context.Context, now time.Time) error {
	counts, err := p.store.CheckCounts(ctx)
	if err != nil {
		return err
	}
	if p.head, err = p.store.JournalHead(ctx); err != nil {
		return err
	}
	p.add(counts...)
	p.began, p.entry, p.entries = now, postgres.EntryAt{}, true
	p.tile, p.tiles = p.head.TopTile()
	return nil
}

// lose adds entries without a leaf to what is damaged.
func (p *patrol) lose(lost []postgres.EntryAt) {
	for _, e := range lost {
		p.add(journal.DamageError{Part: journal.PartEntry, Entry: e.ID})
	}
}

// add remembers what is damaged, and names what is new.
func (p *patrol) add(all ...journal.DamageError) {
	for _, d := range all {
		if _, known := p.found[d]; known || len(p.found) >= patrolMost {
			continue
		}
		p.found[d] = struct{}{}
		p.damage.WithLabelValues(d.Part.String()).Inc()
		p.log.Error("journal damaged", zap.Stringer("part", d.Part), zap.Error(d))
		if len(p.found) == patrolMost {
			p.log.Error("journal damaged in more places than are named", zap.Int("named", patrolMost))
		}
	}
	p.damaged.Store(len(p.found) > 0)
}

// again looks at something damaged once more: somebody may have mended it.
func (p *patrol) again(ctx context.Context) error {
	for d := range maps.Keys(p.found) {
		still, err := p.still(ctx, d)
		if err != nil {
			return err
		}
		if !still {
			delete(p.found, d)
			p.damage.WithLabelValues(d.Part.String()).Dec()
			p.log.Warn("journal damage not there any more", zap.Stringer("part", d.Part), zap.NamedError("was", d))
		}
		break // one at a time, whichever
	}
	p.damaged.Store(len(p.found) > 0)
	return nil
}

// still tells whether something is damaged as it was.
func (p *patrol) still(ctx context.Context, d journal.DamageError) (bool, error) {
	var found []journal.DamageError
	var err error
	switch d.Part {
	case journal.PartEntry:
		lost, _, _, err := p.store.Leafless(ctx, postgres.EntryAt{ID: d.Entry}, uuid.Max, 1)
		return len(lost) > 0 && lost[0].ID == d.Entry, err
	case journal.PartBody:
		return false, nil // the sequencer tells it
	case journal.PartPlace, journal.PartPair:
		found, err = p.store.CheckCounts(ctx)
	case journal.PartHead:
		found, err = p.store.CheckEdge(ctx)
	case journal.PartLeaf, journal.PartTile:
		var head postgres.Head
		if head, err = p.store.JournalHead(ctx); err != nil {
			return false, err
		}
		at := postgres.TileAt{Level: d.Level, Number: d.Number}
		if d.Part == journal.PartLeaf {
			at.Number /= journal.TileWidth
		}
		found, err = p.store.CheckTile(ctx, head, at)
	}
	return slices.Contains(found, d), err
}

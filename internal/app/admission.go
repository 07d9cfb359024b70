package app

import (
	"context"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// How often the door is looked at. What an operator says must be in force on all instances within
// about a second; the rest changes slowly, and the backlog costs the database a look at its front.
const (
	doorsEvery    = 500 * time.Millisecond
	backlogEvery  = 5 * time.Second
	sizeEvery     = 30 * time.Second
	doorsPatience = 2 * time.Second
	// How often a server that said that its disk is full is asked to store something, and for how long.
	roomEvery    = 2 * time.Second
	roomPatience = time.Second
)

// watch decides whether the door is open, from the database, the disk and the memory of serve.
type watch struct {
	store *postgres.Store
	cfg   func() config.Config
	// disk is the folder to measure for a configuration, empty for none.
	disk func(config.Config) string
	// full is what the server itself said of its disk, which nobody here may be able to see.
	full *postgres.Fullness
	// delivering says that there is a receiver to be late for.
	delivering bool
	// unsealed is for how long the journal could not be sealed.
	unsealed func() time.Duration
	tell     func(gateway.Closure)
	now      func() time.Time
	log      *zap.Logger

	// doors are as last read, at readAt.
	doors  postgres.Doors
	readAt time.Time
	// stale says that the last reading failed.
	stale              bool
	backlogAt, sizedAt time.Time
	triedAt            time.Time
	free, size, memory latch
	told               gateway.Closure
	// short says that memory closes the door.
	short atomic.Bool

	closed  *prometheus.GaugeVec
	age     prometheus.Gauge
	heldNow prometheus.Gauge
}

// latch is a limit with two sides: it closes beyond one value and opens only well before it.
type latch struct{ closed bool }

// above closes from limit on and opens below reopen. A limit of 0 never closes.
func (l *latch) above(value, limit, reopen uint64) {
	switch {
	case limit == 0:
		l.closed = false
	case value >= limit:
		l.closed = true
	case value < reopen:
		l.closed = false
	}
}

// below closes below limit and opens from reopen on.
func (l *latch) below(value, limit, reopen uint64) {
	switch {
	case value < limit:
		l.closed = true
	case value >= reopen:
		l.closed = false
	}
}

// newWatch makes the watch of a built server's door.
func (s *server) newWatch() *watch {
	w := &watch{
		store: s.stores.store, full: &s.full, cfg: s.config, delivering: s.delivery != nil, unsealed: s.notary.stale, tell: s.gateway.Close,
		now: time.Now, log: s.log.Named("admission"),
		disk: func(cfg config.Config) string {
			if s.stores.cluster != nil {
				return s.stores.cluster.DataDir()
			}
			return cfg.Admission.DiskPath
		},
		closed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hub_admission_closed", Help: "1 while the door takes no new events for this reason.",
		}, []string{"reason"}),
		age: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_admission_backlog_seconds",
			Help: "For how long the oldest delivery waits that could go: due, never tried, the first of its case.",
		}),
		heldNow: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hub_admission_memory_bytes", Help: "What serve holds of the machine's memory, as admission.memory bounds it.",
		}),
	}
	for _, reason := range gateway.ClosedReasons() {
		w.closed.WithLabelValues(string(reason))
	}
	s.registry.MustRegister(w.closed, w.age, w.heldNow)
	return w
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(doorsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		before := w.stale
		if err := w.look(ctx); err != nil && ctx.Err() == nil && !before {
			w.log.Warn("doors not read: what was last known stays", zap.Error(err))
		}
	}
}

// look measures what is due to be measured and puts what follows in force. The error is that of the
// database; whatever it last said holds on.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, doorsPatience)
	defer cancel()
	cfg := w.cfg()
	now := w.now()
	w.lookForRoom(ctx, now)
	err := w.lookAtDatabase(ctx, cfg, now)
	w.lookAtDisk(cfg)
	held := heldMemory()
	w.heldNow.Set(float64(held))
	w.memory.above(held, uint64(cfg.Admission.Memory), uint64(cfg.Admission.Memory/4*3)) //nolint:gosec // checked not to be negative
	w.short.Store(w.memory.closed)
	w.decide(cfg, now)
	w.stale = err != nil
	return err
}

// lookAtDatabase reads the doors, and now and then judges the backlog and measures the size.
func (w *watch) lookAtDatabase(ctx context.Context, cfg config.Config, now time.Time) error {
	if limit := cfg.Admission.Backlog; w.delivering && limit > 0 && now.Sub(w.backlogAt) >= backlogEvery {
		age, err := w.store.JudgeBacklog(ctx, cfg.Env(), limit, limit/2)
		if err != nil {
			return err
		}
		w.backlogAt = now
		w.age.Set(age.Seconds())
	}
	if limit := cfg.Admission.DatabaseSize; limit == 0 {
		w.size.closed = false
	} else if now.Sub(w.sizedAt) >= sizeEvery {
		size, err := w.store.DatabaseSize(ctx)
		if err != nil {
			return err
		}
		w.sizedAt = now
		w.size.above(uint64(size), uint64(limit), uint64(limit/20*19)) //nolint:gosec // neither is negative
	}
	doors, err := w.store.Doors(ctx, cfg.Env())
	if err != nil {
		return err
	}
	w.doors, w.readAt = doors, now
	return nil
}

// lookForRoom tries whether a server that said that its disk is full can store something again: behind
// a closed door nobody else may. The probe itself notes that it could.
func (w *watch) lookForRoom(ctx context.Context, now time.Time) {
	if !w.full.Full() || now.Sub(w.triedAt) < roomEvery {
		return
	}
	w.triedAt = now
	ctx, cancel := context.WithTimeout(ctx, roomPatience)
	defer cancel()
	_ = w.store.CanCommit(ctx)
}

// lookAtDisk measures the disk if there is one to see. What cannot be measured changes nothing.
func (w *watch) lookAtDisk(cfg config.Config) {
	least := uint64(cfg.Admission.Disk) //nolint:gosec // checked not to be negative
	dir := w.disk(cfg)
	if dir == "" || least == 0 {
		w.free.closed = false
		return
	}
	room, err := postgres.DiskHeadroom(dir)
	if err != nil {
		return
	}
	w.free.below(room.Free, least, least+least/2)
}

// decide puts in force what the strongest reason says.
func (w *watch) decide(cfg config.Config, now time.Time) {
	holds := map[gateway.ClosedReason]bool{
		gateway.ClosedMaintenance: w.inMaintenance(now),
		gateway.ClosedDisk:        w.free.closed || w.size.closed || w.full.Full(),
		gateway.ClosedMemory:      w.memory.closed,
		gateway.ClosedBacklog:     w.doors.Backlog && w.delivering && cfg.Admission.Backlog > 0,
		gateway.ClosedJournal:     cfg.Journal.Stale > 0 && w.unsealed() > cfg.Journal.Stale,
	}
	var c gateway.Closure
	for _, reason := range gateway.ClosedReasons() {
		value := 0.0
		if holds[reason] {
			value = 1
			if c.Reason == "" {
				c.Reason = reason
			}
		}
		w.closed.WithLabelValues(string(reason)).Set(value)
	}
	if c.Reason == gateway.ClosedMaintenance {
		c.Text = w.doors.Maintenance.Text
		if left := w.doors.Maintenance.Left; left > 0 {
			c.RetryAfter = left - now.Sub(w.readAt)
		}
	}
	w.tell(c)
	if c.Reason != w.told.Reason || c.Text != w.told.Text {
		w.say(c)
	}
	w.told = c
}

// inMaintenance tells whether the maintenance last read goes on. Its end comes by our clock if the
// database does not tell it any more.
func (w *watch) inMaintenance(now time.Time) bool {
	m := w.doors.Maintenance
	return m != nil && (m.Left == 0 || now.Sub(w.readAt) < m.Left)
}

// say logs what changed.
func (w *watch) say(c gateway.Closure) {
	if c.Reason == "" {
		w.log.Info("door open", zap.String("was", string(w.told.Reason)))
		return
	}
	w.log.Warn("door closed: no new events are taken", zap.String("reason", string(c.Reason)), zap.String("text", c.Text))
}

// heldMemory is how many bytes Go's run time holds of the system: what its collector keeps below the
// memory limit as long as it can.
func heldMemory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

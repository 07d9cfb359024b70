package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
	_ "time/tzdata" // the day of riepilogo is an Italian one, wherever this runs

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// ReconcileConfig is what an operator decides about the daily comparison with SISS. Zero fields but
// URL, Environment and Hour get the default in brackets.
type ReconcileConfig struct {
	// Environment whose deliveries are compared.
	Environment hub.Environment
	// URL of SissRicezione, and CAFile with the certificates to trust for it, PEM [the system's].
	URL, CAFile string
	// Hour of the Italian day at which the days before are compared.
	Hour int
	// Days is how far back days are compared that were not found equal yet [7].
	Days int
	// Rate is the most questions per second [20], and at most a tenth of what was agreed for
	// deliveries, if anything was.
	Rate, Agreed int
	// Margin is how far the clocks of hub and SISS may be apart: what was delivered that close to a
	// midnight may count on either day [2 min].
	Margin time.Duration
	// Deadline bounds one question [15 s].
	Deadline time.Duration
	// Lease is how long a process that stood still keeps others from going on [2 min].
	Lease time.Duration
	// Actor is the account of the operator who asked for it, for the journal; empty for the daily run.
	Actor string
	// Poll is how often to look whether a comparison is due [1 min], Again how long to wait after SISS
	// did not let one finish [10 min].
	Poll, Again time.Duration
}

func (c ReconcileConfig) withDefaults() ReconcileConfig {
	set(&c.Days, 7)
	set(&c.Rate, 20)
	set(&c.Margin, 2*time.Minute)
	set(&c.Deadline, 15*time.Second)
	set(&c.Lease, 2*time.Minute)
	set(&c.Poll, time.Minute)
	set(&c.Again, 10*time.Minute)
	return c
}

// Reconciler compares what the hub believes delivered with what SISS says it has, day by day. It
// never sends an event: it asks, settles what was in doubt, and lists the rest for a person.
type Reconciler struct {
	cfg     ReconcileConfig
	store   *postgres.Store
	client  *client
	log     *zap.Logger
	metrics *reconcileMetrics
	slots   *slots
	now     func() time.Time
	rome    *time.Location
	owner   uuid.UUID
	agreed  atomic.Int64 // per second for all that is asked and sent, 0 for none
	page    int          // how many deliveries to ask about are read at once
}

// ErrSilent says that SISS did not answer as the contract says, so that a comparison could not
// come to its end. What was found so far is kept.
var ErrSilent = errors.New("national endpoint does not answer the reconciliation as the contract says")

// ErrNotEnded says that a day has not ended, so that it cannot be compared.
var ErrNotEnded = errors.New("the day has not ended yet in Italy")

// NewReconciler reads the CA file; of the parts, keys and events are not needed.
func NewReconciler(cfg ReconcileConfig, parts Parts) (*Reconciler, error) {
	cfg = cfg.withDefaults()
	transport, err := newTransport(cfg.CAFile, 1)
	if err != nil {
		return nil, err
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, fmt.Errorf("load time zone: %w", err)
	}
	m, err := newReconcileMetrics(parts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	r := &Reconciler{
		cfg: cfg, store: parts.Store, metrics: m, now: parts.Now, rome: rome, owner: uuid.New(), page: pageOfAsked,
		log:    parts.Logger.Named("reconcile"),
		client: &client{url: cfg.URL, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}, validator: parts.Validator},
	}
	r.SetRate(cfg.Agreed)
	r.slots = &slots{store: parts.Store, environment: cfg.Environment, rate: func() int { return int(r.agreed.Load()) }, now: parts.Now}
	return r, nil
}

// SetRate puts another agreed rate in force for the questions that are asked from now on; 0 for none.
func (r *Reconciler) SetRate(perSecond int) { r.agreed.Store(int64(perSecond)) }

// gap is the least time between two questions.
func (r *Reconciler) gap() time.Duration {
	most := r.cfg.Rate
	if agreed := int(r.agreed.Load()); agreed > 0 {
		most = max(1, min(most, agreed/10))
	}
	return time.Second / time.Duration(most)
}

// Run compares every day at its hour until ctx ends. It returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	defer r.client.http.CloseIdleConnections()
	for ctx.Err() == nil {
		if err := r.runDue(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("reconciliation did not come to its end; it goes on where it stopped", zap.Error(err))
		}
		r.measure(ctx)
		pause(ctx, r.cfg.Poll)
	}
	return nil
}

// runDue compares what is due by the database's clock.
func (r *Reconciler) runDue(ctx context.Context) error {
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	today := r.date(now)
	if now.In(r.rome).Hour() < r.cfg.Hour || !r.ended(r.Day(today.AddDate(0, 0, -1)), now) {
		return nil
	}
	turn, err := r.store.TakeTurn(ctx, postgres.TurnQuery{Environment: r.cfg.Environment, Owner: r.owner, For: r.cfg.Lease, Today: today})
	if errors.Is(err, postgres.ErrNoTurn) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = r.underTurn(ctx, turn, today, r.lastDays(turn.Now), false)
	return err
}

// RunNow compares one day, or with the zero time all of the last days that are not known to be
// equal, and gives those it looked at. postgres.ErrNoTurn if another process is at it.
func (r *Reconciler) RunNow(ctx context.Context, date time.Time) ([]postgres.Day, error) {
	defer r.client.http.CloseIdleConnections()
	turn, err := r.store.TakeTurn(ctx, postgres.TurnQuery{Environment: r.cfg.Environment, Owner: r.owner, For: r.cfg.Lease})
	if err != nil {
		return nil, err
	}
	if date.IsZero() {
		return r.underTurn(ctx, turn, r.date(turn.Now), r.lastDays(turn.Now), false)
	}
	if d := r.Day(date); r.ended(d, turn.Now) {
		return r.underTurn(ctx, turn, time.Time{}, []postgres.Day{d}, true)
	}
	return nil, errors.Join(ErrNotEnded, r.store.EndTurn(ctx, turn, false, time.Time{}, 0))
}

// underTurn compares those days that need it, or all if force, and gives the turn back. today is
// the day that is done if all were; zero if these were not all.
func (r *Reconciler) underTurn(ctx context.Context, turn postgres.Turn, today time.Time, days []postgres.Day, force bool) (looked []postgres.Day, err error) {
	for _, d := range days {
		due := force
		if !due {
			if due, err = r.store.DayDue(ctx, d); err != nil {
				break
			}
		}
		if !due {
			continue
		}
		looked = append(looked, d)
		if err = r.compareDay(ctx, turn, d); err != nil {
			break
		}
	}
	// A stop gives the turn back, too.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Deadline)
	defer cancel()
	again := r.cfg.Again
	if err == nil || ctx.Err() != nil {
		again = 0
	}
	return looked, errors.Join(err, r.store.EndTurn(ending, turn, err == nil && !today.IsZero(), today, again))
}

// date is the Italian day of a moment, as midnight UTC of its date.
func (r *Reconciler) date(at time.Time) time.Time {
	y, m, d := at.In(r.rome).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// Day is the Italian day of a date with its margins. It has 23 to 25 hours.
func (r *Reconciler) Day(date time.Time) postgres.Day {
	y, m, d := date.Date()
	return postgres.Day{
		Environment: r.cfg.Environment, Date: time.Date(y, m, d, 0, 0, 0, 0, time.UTC),
		From: time.Date(y, m, d, 0, 0, 0, 0, r.rome).Add(-r.cfg.Margin).UTC(),
		To:   time.Date(y, m, d+1, 0, 0, 0, 0, r.rome).Add(r.cfg.Margin).UTC(),
	}
}

// ended tells whether a day is over whatever the clocks show, and what began on it as well.
func (r *Reconciler) ended(d postgres.Day, now time.Time) bool {
	return now.After(d.To.Add(r.cfg.Margin))
}

// lastDays are the days before now that are compared, the oldest first.
func (r *Reconciler) lastDays(now time.Time) []postgres.Day {
	days := make([]postgres.Day, 0, r.cfg.Days)
	for back := r.cfg.Days; back > 0; back-- {
		if d := r.Day(r.date(now).AddDate(0, 0, -back)); r.ended(d, now) {
			days = append(days, d)
		}
	}
	return days
}

// compareDay asks riepilogo, compares each type, and asks about each delivery of those that differ.
func (r *Reconciler) compareDay(ctx context.Context, turn postgres.Turn, d postgres.Day) error {
	began, err := r.store.BeginDay(ctx, turn, d)
	if err != nil {
		return err
	}
	theirs, err := r.totals(ctx, d)
	if err != nil {
		return err
	}
	ours, err := r.count(ctx, d)
	if err != nil {
		return err
	}
	equal, err := r.compare(ctx, d, ours, theirs)
	if err != nil {
		return err
	}
	types := slices.Collect(maps.Keys(theirs))
	for tipo := range ours {
		if _, told := theirs[tipo]; !told {
			types = append(types, tipo)
		}
	}
	slices.Sort(types)
	for _, tipo := range types {
		c := postgres.TypeCount{Type: tipo, Theirs: theirs[tipo].Count, Digest: theirs[tipo].Digest}
		if t := ours[tipo]; t != nil {
			t.count(&c)
		}
		if near, ok := equal[tipo]; ok {
			err = r.store.TypeEqual(ctx, turn, d, c, near)
		} else {
			err = r.askAll(ctx, turn, d, c)
		}
		if err != nil {
			return err
		}
	}
	return r.endDay(ctx, turn, d, began, len(types))
}

// endDay writes what a day came to, into the journal, too, and raises the alarm. A day of which neither
// side has an event, as those before the hub's first one, is equal: that SISS has none is an answer, and
// another one is how a hub learns that it began anew on an empty database. But nothing was compared.
func (r *Reconciler) endDay(ctx context.Context, turn postgres.Turn, d postgres.Day, began time.Time, types int) error {
	var found map[postgres.DifferenceKind]int64
	state, err := r.store.EndDay(ctx, turn, d, began, func(state postgres.DayState, differences map[postgres.DifferenceKind]int64) journal.Entry {
		found = differences
		return r.entry(d, state, differences)
	})
	if err != nil {
		return err
	}
	fields := []zap.Field{zap.String("day", d.Date.Format(time.DateOnly)), zap.String("state", string(state))}
	for _, kind := range postgres.DifferenceKinds() {
		fields = append(fields, zap.Int64(string(kind), found[kind]))
	}
	if state == postgres.DayDifferent {
		r.log.Error("hub and national endpoint differ on a day", fields...)
		return nil
	}
	if types == 0 {
		r.log.Info("day without events on either side", zap.String("day", d.Date.Format(time.DateOnly)))
		return nil
	}
	r.log.Info("day reconciled", fields...)
	return nil
}

// entry is the journal's entry about a day.
func (r *Reconciler) entry(d postgres.Day, state postgres.DayState, found map[postgres.DifferenceKind]int64) journal.Entry {
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: r.now(), Kind: journal.Reconciled, Environment: d.Environment, Outcome: string(state), Actor: r.cfg.Actor,
		Codes: []hub.Code{hub.Code(d.Date.Format(time.DateOnly))},
	}
	for _, kind := range postgres.DifferenceKinds() {
		if n := found[kind]; n > 0 {
			e.Count += int32(min(n, 1<<30))
			e.Codes = append(e.Codes, hub.Code(fmt.Sprintf("%s:%d", kind, n)))
		}
	}
	return e
}

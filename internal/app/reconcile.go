package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// ErrDifferent says that hub and SISS differ on at least one of the days compared, which were told.
var ErrDifferent = errors.New("hub and SISS differ")

// The faults of a comparison.
var (
	errNoSiss      = errors.New("siss.url is not configured: there is nothing to compare with (name the configuration of serve with --config)")
	errReconciling = errors.New("another process reconciles just now: try again when it is done, or two minutes after it died")
)

// ReconcileOptions say what to compare, and how to tell it.
type ReconcileOptions struct {
	// Day is the Italian day; zero for all of the last ones that are not known to be equal.
	Day time.Time
	// JSON tells one line a day instead of a table.
	JSON bool
}

// newReconciler makes the reconciliation of a configuration.
func newReconciler(cfg config.Config, actor string, parts delivery.Parts) (*delivery.Reconciler, error) {
	r, err := delivery.NewReconciler(delivery.ReconcileConfig{
		Environment: cfg.Env(), URL: cfg.SISS.URL, CAFile: cfg.SISS.CAFile,
		Hour: cfg.Reconcile.Hour, Days: cfg.Reconcile.Days, Rate: cfg.Reconcile.Rate, Agreed: cfg.SISS.Rate, Actor: actor,
	}, parts)
	if err != nil {
		return nil, fmt.Errorf("build reconciliation: %w", err)
	}
	return r, nil
}

// reconcile compares every day at its hour until ctx ends.
func (s *server) reconcile(ctx context.Context) error {
	if s.reconciler == nil {
		return nil
	}
	return s.reconciler.Run(ctx)
}

// Reconcile compares with SISS now, beside a running serve or without, and tells every difference by
// its IdTrasmissione. ErrDifferent if there is one. What a run found that did not come to its end is
// told, too, before its error.
func Reconcile(ctx context.Context, cfg config.Config, o ReconcileOptions, out, log io.Writer) (err error) {
	if cfg.SISS.URL == "" {
		return errNoSiss
	}
	store, closeStore, err := openStore(ctx, cfg, writing)
	if err != nil {
		return err
	}
	defer closeStore()
	if err := store.EnsurePartitions(ctx, partitionsAhead); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	cfg.Jail.Workers = 1
	logger, _ := newLogger("error", log, "")
	pool, err := newPool(cfg, logger, nil)
	if err != nil {
		return err
	}
	if err := pool.Start(ctx); err != nil {
		return fmt.Errorf("start validator: %w", err)
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	who, err := accountName()
	if err != nil {
		return err
	}
	r, err := newReconciler(cfg, who, delivery.Parts{Store: store, Validator: pool, Logger: zap.NewNop(), Now: time.Now})
	if err != nil {
		return err
	}
	days, failed := r.RunNow(ctx, o.Day)
	if errors.Is(failed, postgres.ErrNoTurn) {
		return errReconciling
	}
	if len(days) == 0 && failed == nil && !o.JSON {
		_, _ = fmt.Fprintln(out, "Nothing was left to compare: the last days are known to be equal. --day compares one again.")
	}
	different, err := tellDays(ctx, store, days, o.JSON, out)
	switch {
	case err != nil || failed != nil:
		return errors.Join(failed, err)
	case different:
		return ErrDifferent
	}
	return nil
}

// toldDay is a line of --json.
type toldDay struct {
	Day         string           `json:"day"`
	Different   bool             `json:"different"`
	Types       []toldType       `json:"types"`
	Differences []toldDifference `json:"differences"`
}

type toldType struct {
	Type    string `json:"event_type"`
	Ours    int32  `json:"ours"`
	Near    int32  `json:"near_midnight"`
	Theirs  int32  `json:"theirs"`
	NotOurs int32  `json:"not_ours"`
	State   string `json:"state"`
}

type toldDifference struct {
	Type     string    `json:"event_type"`
	Delivery uuid.UUID `json:"id_trasmissione"`
	Kind     string    `json:"kind"`
}

// tellDays prints what stands in the database about days.
func tellDays(ctx context.Context, store *postgres.Store, days []postgres.Day, asJSON bool, out io.Writer) (different bool, err error) {
	for _, d := range days {
		told := toldDay{Day: d.Date.Format(time.DateOnly), Types: []toldType{}, Differences: []toldDifference{}}
		types, err := store.Reconciled(ctx, d)
		if err != nil {
			return different, err
		}
		for _, t := range types {
			told.Different = told.Different || t.State == postgres.DayDifferent
			told.Types = append(told.Types, toldType{t.Type, t.Ours, t.Near, t.Theirs, t.NotOurs, string(t.State)})
		}
		if err := store.EachDifference(ctx, d, func(f postgres.Difference) error {
			told.Differences = append(told.Differences, toldDifference{f.Type, f.Delivery, string(f.Kind)})
			return nil
		}); err != nil {
			return different, err
		}
		different = different || told.Different
		if asJSON {
			err = json.NewEncoder(out).Encode(told)
		} else {
			err = told.print(out)
		}
		if err != nil {
			return different, fmt.Errorf("print: %w", err)
		}
	}
	return different, nil
}

// print writes a day as tables: its types, then its differences.
func (d toldDay) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "DAY\tEVENT TYPE\tOURS\tNEAR MIDNIGHT\tTHEIRS\tNOT OURS\tSTATE\n")
	for _, t := range d.Types {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%s\n", d.Day, t.Type, t.Ours, t.Near, t.Theirs, t.NotOurs, t.State)
	}
	if len(d.Types) == 0 {
		_, _ = fmt.Fprintf(table, "%s\t-\t0\t0\t0\t0\tnothing to compare\n", d.Day)
	}
	if len(d.Differences) > 0 {
		_, _ = fmt.Fprintf(table, "\nID TRASMISSIONE\tEVENT TYPE\tKIND\n")
	}
	for _, f := range d.Differences {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", f.Delivery, f.Type, f.Kind)
	}
	_, _ = fmt.Fprintln(table)
	return table.Flush()
}

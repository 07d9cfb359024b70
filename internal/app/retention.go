package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

const (
	// retentionEvery is how often serve looks whether retention is due, and reads its figures.
	retentionEvery = time.Minute
	// retentionAgain is when a run that did not get to its end is tried again.
	retentionAgain = time.Hour
	// recounts is how often a month is counted again that changed meanwhile.
	recounts = 3
)

// retired is one thing that a run of retention did, or would do.
type retired struct {
	// class it belongs to; what is the month of a class that goes by months, with + for what was held of
	// it before.
	class postgres.RetentionClass
	what  string
	postgres.RetentionScope
}

// retirer deletes what is over. Every step is a transaction of its own with its entry, so that a run that
// ends half-way has done some of the steps, each whole, and the next one does the others.
type retirer struct {
	store  *postgres.Store
	env    hub.Environment
	policy config.Retention
	// who and reason are an operator's, empty for serve's own run.
	who    acting
	reason string
	now    func() time.Time
	// tell is given every step when it is done; nil tells nobody.
	tell func(retired)
	log  *zap.Logger

	lease uuid.UUID
	held  map[postgres.RetentionClass]int64
}

// period is that of a class in its unit; 0 keeps for ever.
func period(p config.Retention, class postgres.RetentionClass) int {
	switch class {
	case postgres.RetainMessages:
		return p.Messages
	case postgres.RetainAttempts:
		return p.Attempts
	case postgres.RetainJournal:
		return p.Journal
	case postgres.RetainRefusals:
		return p.Refusals
	case postgres.RetainCases:
		return p.Cases
	case postgres.RetainReconciliations:
		return p.Reconciliations
	}
	return 0
}

// policyText says the periods, as the journal has them.
func policyText(p config.Retention) string {
	units := map[postgres.RetentionClass]string{postgres.RetainRefusals: "days", postgres.RetainCases: "years"}
	var parts []string
	for _, class := range postgres.RetentionClasses() {
		unit := units[class]
		if unit == "" {
			unit = "months"
		}
		text := strconv.Itoa(period(p, class)) + " " + unit
		if period(p, class) == 0 {
			text = "for ever"
		}
		parts = append(parts, string(class)+" "+text)
	}
	return "policy: " + strings.Join(parts, ", ")
}

// entry is the journal's of one step; counts are like class:number.
func (r *retirer) entry(counts ...string) journal.Entry {
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: r.now().UTC().Truncate(time.Microsecond), Kind: journal.RecordsRetired,
		Environment: r.env, Actor: r.who.name, Other: r.who.order, Reason: policyText(r.policy),
	}
	if r.reason != "" {
		e.Reason = r.reason + " (" + e.Reason + ")"
	}
	for _, c := range counts {
		e.Codes = append(e.Codes, hub.Code(c))
	}
	return e
}

// counted is how an entry says a number.
func counted(what string, n int64) string { return what + ":" + strconv.FormatInt(n, 10) }

// run retires all classes under the turn that was taken. A class that fails does not keep the others; the
// error joins all of them.
func (r *retirer) run(ctx context.Context) error {
	var faults []error
	r.held = map[postgres.RetentionClass]int64{}
	for _, class := range postgres.RetentionClasses() {
		err := r.class(ctx, class)
		if err == nil {
			err = r.store.MeasureRetention(ctx, class, r.held[class])
		}
		if ctx.Err() != nil || errors.Is(err, postgres.ErrStaleLease) {
			return errors.Join(append(faults, err)...)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("retire %s: %w", class, err))
		}
	}
	if err := r.store.SampleSize(ctx); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// class retires one class, if it has a period.
func (r *retirer) class(ctx context.Context, class postgres.RetentionClass) error {
	n := period(r.policy, class)
	switch {
	case n == 0:
		return nil
	case class.ByMonths():
		return r.months(ctx, class, n)
	case class == postgres.RetainRefusals:
		return r.refusals(ctx, n)
	case class == postgres.RetainCases:
		return r.cases(ctx, n)
	}
	done, err := r.store.RetireReconciliations(ctx, r.lease, n, func(n int64) journal.Entry {
		return r.entry(counted(string(class), n))
	})
	r.did(retired{class: class, RetentionScope: postgres.RetentionScope{Records: done}})
	return err
}

// did tells a step that did something.
func (r *retirer) did(step retired) {
	if step.Records == 0 {
		return
	}
	r.log.Info("records retired", zap.String("class", string(step.class)), zap.String("month", step.what),
		zap.Int64("records", step.Records), zap.Int64("held", step.Held))
	if r.tell != nil {
		r.tell(step)
	}
}

// months retires a class that goes by months, the oldest first. One that is busy does not keep the others.
func (r *retirer) months(ctx context.Context, class postgres.RetentionClass, n int) error {
	list, err := r.store.RetentionMonths(ctx, class, n)
	if err != nil {
		return err
	}
	var faults []error
	for _, m := range list {
		err := r.month(ctx, m)
		if ctx.Err() != nil || errors.Is(err, postgres.ErrStaleLease) {
			return err
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// month retires one, or what nothing needs any more of what was held of it.
func (r *retirer) month(ctx context.Context, m postgres.RetentionMonth) error {
	name := m.Month.Format("2006_01")
	for try := 1; ; try++ {
		scope, err := r.store.MonthScope(ctx, m)
		if err != nil {
			return err
		}
		if m.Held {
			err = r.release(ctx, m, scope)
		} else {
			err = r.store.RetireMonth(ctx, r.lease, m, scope, r.entry(counted(string(m.Class), scope.Records), "month:"+name))
			if err == nil {
				r.did(retired{class: m.Class, what: name, RetentionScope: scope})
			}
		}
		if errors.Is(err, postgres.ErrRetentionCounted) && try < recounts {
			continue
		}
		if err == nil {
			r.held[m.Class] += scope.Held
		}
		return err
	}
}

func (r *retirer) release(ctx context.Context, m postgres.RetentionMonth, scope postgres.RetentionScope) error {
	name := m.Month.Format("2006_01")
	if scope.Records == 0 && scope.Held > 0 {
		return nil
	}
	done, err := r.store.ReleaseHeld(ctx, r.lease, m, func(n int64) journal.Entry {
		return r.entry(counted(string(m.Class), n), "month:"+name)
	})
	scope.Records = done
	r.did(retired{class: m.Class, what: name + "+", RetentionScope: scope})
	return err
}

// leafRuns says which leaves, as "leaf:7" or "leaf:7-9": what went one by one is told apart by it from
// what somebody deleted.
func leafRuns(leaves []int64) (runs []string) {
	for i := 0; i < len(leaves); {
		last := i
		for last+1 < len(leaves) && leaves[last+1] == leaves[last]+1 {
			last++
		}
		run := "leaf:" + strconv.FormatInt(leaves[i], 10)
		if last > i {
			run += "-" + strconv.FormatInt(leaves[last], 10)
		}
		runs, i = append(runs, run), last+1
	}
	return runs
}

func (r *retirer) refusals(ctx context.Context, days int) error {
	for more := true; more; {
		var done int64
		var err error
		done, more, err = r.store.RetireRefusals(ctx, r.lease, days, func(n int64, leaves []int64) journal.Entry {
			return r.entry(append([]string{counted(string(postgres.RetainRefusals), n)}, leafRuns(leaves)...)...)
		})
		if err != nil {
			return err
		}
		r.did(retired{class: postgres.RetainRefusals, RetentionScope: postgres.RetentionScope{Records: done}})
	}
	scope, err := r.store.RefusalScope(ctx, days)
	r.held[postgres.RetainRefusals] = scope.Held
	return err
}

func (r *retirer) cases(ctx context.Context, years int) error {
	for after := uuid.Nil; ; {
		done, next, err := r.store.RetireCases(ctx, r.lease, years, after, func(cases, events int64) journal.Entry {
			return r.entry(counted(string(postgres.RetainCases), cases), counted("events", events))
		})
		if err != nil {
			return err
		}
		r.did(retired{class: postgres.RetainCases, RetentionScope: postgres.RetentionScope{Records: done}})
		if next == uuid.Nil {
			break
		}
		after = next
	}
	scope, err := r.store.CaseScope(ctx, years)
	r.held[postgres.RetainCases] = scope.Held
	return err
}

// scopes is what a run would do now, without doing it.
func (r *retirer) scopes(ctx context.Context) ([]retired, error) {
	var all []retired
	for _, class := range postgres.RetentionClasses() {
		n := period(r.policy, class)
		if n == 0 {
			continue
		}
		if class.ByMonths() {
			list, err := r.store.RetentionMonths(ctx, class, n)
			if err != nil {
				return nil, err
			}
			if len(list) == 0 {
				all = append(all, retired{class: class})
			}
			for _, m := range list {
				scope, err := r.store.MonthScope(ctx, m)
				if err != nil {
					return nil, err
				}
				name := m.Month.Format("2006_01")
				if m.Held {
					name += "+"
				}
				all = append(all, retired{class, name, scope})
			}
			continue
		}
		count := map[postgres.RetentionClass]func(context.Context, int) (postgres.RetentionScope, error){
			postgres.RetainRefusals: r.store.RefusalScope, postgres.RetainCases: r.store.CaseScope,
			postgres.RetainReconciliations: r.store.ReconciliationScope,
		}[class]
		scope, err := count(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, retired{class: class, RetentionScope: scope})
	}
	return all, nil
}

// underTurn runs with the turn, and gives it back. today is the Italian day that is done then, the zero
// time for a run that an operator asked for. postgres.ErrNoTurn if another process is at it, or with a
// day if it is done.
func (r *retirer) underTurn(ctx context.Context, today time.Time) (err error) {
	if r.lease, err = r.store.TakeRetention(ctx, today); err != nil {
		return err
	}
	err = r.run(ctx)
	// A stop gives the turn back, too.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	again := retentionAgain
	if err == nil || ctx.Err() != nil {
		again = 0
	}
	return errors.Join(err, r.store.EndRetention(ending, r.lease, err == nil, today, again))
}

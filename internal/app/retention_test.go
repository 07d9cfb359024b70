package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/config"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// overdue is a hub with something beyond its period in every class, and something held.
func overdue(t *testing.T) *calendar {
	t.Helper()
	c := newCalendar(t)
	c.past(t)
	c.open(t)
	for _, state := range []hub.DeliveryState{hub.Delivered, hub.Refused, hub.Parked, hub.Dead} {
		c.accept(t, state)
		c.refuse(t)
	}
	c.leaves(t)
	c.stop()
	c.now = c.now.AddDate(0, 3, 0)
	c.open(t)
	t.Cleanup(func() { c.stop() })
	return c
}

// toldLine is a line of retention run --json.
type toldLine struct {
	Class   postgres.RetentionClass `json:"class"`
	Records int                     `json:"records"`
	Held    int                     `json:"held"`
	Bytes   int                     `json:"bytes"`
	Oldest  *time.Time              `json:"oldest"`
}

// command runs the operator's command and gives its lines.
func (c *calendar) command(t *testing.T, o app.RetentionOptions) ([]toldLine, error) {
	t.Helper()
	cfg, err := config.Load("", []string{
		"SINBAHUB_DATABASE_URL=" + c.db.App, "SINBAHUB_DATABASE_VAULT_URL=" + c.db.Vault,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Retention = c.policy
	var out bytes.Buffer
	o.JSON = true
	err = app.RunRetention(t.Context(), cfg, o, &out)
	var lines []toldLine
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var line toldLine
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines, err
}

// sums adds up the records of lines by class.
func sums(lines []toldLine) map[postgres.RetentionClass]int {
	all := map[postgres.RetentionClass]int{}
	for _, line := range lines {
		all[line.Class] += line.Records
	}
	return all
}

// gone is how many records of each class must go.
func (c *calendar) gone() map[postgres.RetentionClass]int {
	all := map[postgres.RetentionClass]int{}
	for class, records := range c.written {
		for _, k := range records {
			if c.over(class, k) {
				all[class]++
			}
		}
	}
	return all
}

func sameSums(t *testing.T, what string, got, want map[postgres.RetentionClass]int) {
	t.Helper()
	for _, class := range postgres.RetentionClasses() {
		if got[class] != want[class] || want[class] == 0 {
			t.Errorf("%s: %d %s, want %d, and more than none", what, got[class], class, want[class])
		}
	}
}

// A dry run tells what a run does, and changes nothing; the run does that and says who and why in the
// journal; the next one has nothing to do.
func TestRetentionDryRunTellsWhatARunDoes(t *testing.T) {
	t.Parallel()
	c := overdue(t)
	want := c.gone()
	dry, err := c.command(t, app.RetentionOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	sameSums(t, "dry run", sums(dry), want)
	held := 0
	for _, line := range dry {
		held += line.Held
		if (line.Records > 0) != (line.Oldest != nil) || line.Records > 0 && line.Bytes == 0 {
			t.Errorf("told %+v", line)
		}
	}
	if held == 0 {
		t.Error("nothing is held")
	}
	for _, reason := range []string{"", "per RSSMRA85T10A562S"} {
		if _, err := c.command(t, app.RetentionOptions{Who: app.Who{Reason: reason}}); err == nil {
			t.Error("a run without a good reason")
		}
	}
	sameSums(t, "second dry run", sums(dry), want)
	if n := c.number(t, "SELECT count(*) FROM hub.journal_entry WHERE kind = 14"); n != 0 {
		t.Errorf("%d entries before the run", n)
	}
	lines, err := c.command(t, app.RetentionOptions{Who: app.Who{Reason: "pulizia di prova"}})
	if err != nil {
		t.Fatal(err)
	}
	sameSums(t, "run", sums(lines), want)
	sameSums(t, "journal", c.journalled(t), want)
	c.check(t)
	if lines, err := c.command(t, app.RetentionOptions{Who: app.Who{Reason: "pulizia di prova"}}); err != nil || len(lines) != 0 {
		t.Errorf("a second run: %+v, %v", lines, err)
	}
}

func (c *calendar) number(t *testing.T, query string) (n int) {
	t.Helper()
	if err := c.admin.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// journalled adds up what the entries of retention say, and looks at who and why.
func (c *calendar) journalled(t *testing.T) map[postgres.RetentionClass]int {
	t.Helper()
	rows, err := c.admin.Query(t.Context(), "SELECT body FROM hub.journal_entry WHERE kind = 14")
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	all := map[postgres.RetentionClass]int{}
	for _, body := range bodies {
		e, err := journal.Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		if e.Actor != "" && e.Actor != app.AccountName() || !strings.Contains(e.Reason, "policy: messages 1 months, ") {
			t.Errorf("by %q because %q", e.Actor, e.Reason)
		}
		class, number, _ := strings.Cut(string(e.Codes[0]), ":")
		var n int
		if err := json.Unmarshal([]byte(number), &n); err != nil {
			t.Fatal(err)
		}
		all[postgres.RetentionClass(class)] += n
	}
	return all
}

// A run that is stopped at any of its steps leaves each of them done with its entry or not at all, and the
// next one does the rest.
func TestRetentionStoppedAtAnyStepIsTakenUp(t *testing.T) {
	t.Parallel()
	c := overdue(t)
	want := c.gone()
	stopped := 0
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		err := app.Retire(ctx, c.store, c.policy, time.Time{}, func() time.Time {
			if steps++; steps == stop {
				cancel()
			}
			return c.now
		})
		cancel()
		// What the server was just doing it may still finish.
		hubtest.Await(t, time.Minute, "the server is done with it", func() bool {
			return c.number(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'hub_app' AND state <> 'idle'") == 0
		})
		left := c.gone()
		for class := range left {
			stored := c.stored(t, class)
			left[class] = 0
			for id, k := range c.written[class] {
				if c.over(class, k) && stored[id] {
					left[class]++
				}
			}
		}
		done := c.journalled(t)
		for _, class := range postgres.RetentionClasses() {
			if done[class]+left[class] != want[class] {
				t.Errorf("stopped at step %d: %d %s retired by the journal, %d left of %d", stop, done[class], class, left[class], want[class])
			}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) && ctx.Err() == nil {
			t.Fatal(err)
		}
		stopped++
	}
	if stopped < 3 {
		t.Errorf("stopped only %d times", stopped)
	}
	c.check(t)
}

// Several processes at once: one runs, the others are told so, and together they did it once.
func TestRetentionRunsOnceForSeveralProcesses(t *testing.T) {
	t.Parallel()
	c := overdue(t)
	want := c.gone()
	const processes = 4
	faults := make([]error, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			faults[i] = app.Retire(t.Context(), c.store, c.policy, c.now.Truncate(24*time.Hour), func() time.Time { return c.now })
		})
	}
	all.Wait()
	ran := 0
	for _, err := range faults {
		if err == nil {
			ran++
		} else if !errors.Is(err, postgres.ErrNoTurn) {
			t.Error(err)
		}
	}
	if ran != 1 {
		t.Errorf("%d of them ran", ran)
	}
	sameSums(t, "journal", c.journalled(t), want)
	c.check(t)
}

// A class without a period is kept for ever.
func TestRetentionKeepsForEverWhatHasNoPeriod(t *testing.T) {
	t.Parallel()
	c := overdue(t)
	c.policy = config.Retention{}
	if err := app.Retire(t.Context(), c.store, c.policy, time.Time{}, func() time.Time { return c.now }); err != nil {
		t.Fatal(err)
	}
	for class, records := range c.written {
		if n := len(c.stored(t, class)); n != len(records) {
			t.Errorf("%d of %d %s are there", n, len(records), class)
		}
	}
}

// The children of cases that went, and only those that have no other, are given to the vault once.
func TestRetentionGivesUpChildrenWithoutACase(t *testing.T) {
	t.Parallel()
	c := overdue(t)
	var shared, alone int
	for id, k := range c.written[postgres.RetainCases] {
		if !c.over(postgres.RetainCases, k) {
			continue
		}
		alone++
		if shared == 0 {
			shared++
			alone--
			// another case of the same child, which stays
			c.exec(t, `UPDATE hub.case_file SET subject_id = $1 WHERE id = (
  SELECT id FROM hub.case_file WHERE last_event_at = (SELECT max(last_event_at) FROM hub.case_file) LIMIT 1)`, id)
		}
	}
	if err := app.Retire(t.Context(), c.store, c.policy, time.Time{}, func() time.Time { return c.now }); err != nil {
		t.Fatal(err)
	}
	if n := c.number(t, "SELECT count(*) FROM hub.subject_left"); n != alone || alone == 0 {
		t.Errorf("%d children are given up, want %d", n, alone)
	}
	if n := c.number(t, "SELECT count(*) FROM hub.event_key"); n != len(c.states) {
		t.Errorf("%d event keys of %d are there", n, len(c.states))
	}
	if n := c.number(t, "SELECT count(*) FROM hub.event e WHERE NOT EXISTS (SELECT FROM hub.case_file f WHERE f.id = e.case_id)"); n != 0 {
		t.Errorf("%d events have no case", n)
	}
}

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// countingProxy stands before a simulator and counts what is asked about each id.
type countingProxy struct {
	*httptest.Server

	// left is how many questions by id get an answer; negative for all.
	left  atomic.Int64
	count chan string
}

func newCountingProxy(t *testing.T, to string) *countingProxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c := &countingProxy{count: make(chan string, 100_000)}
	c.left.Store(-1)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: u.Scheme, Host: u.Host})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "StatoTrasmissioneRichiesta") {
			if c.left.Load() == 0 {
				http.Error(w, "away", http.StatusBadGateway)
				return
			}
			c.left.Add(-1)
			c.count <- between(string(body), "<IdTrasmissione>", "<")
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// asked gives how often each id was asked about since the last call.
func (c *countingProxy) asked() map[string]int {
	count := map[string]int{}
	for {
		select {
		case id := <-c.count:
			count[id]++
		default:
			return count
		}
	}
}

func (c *countingProxy) service() string { return c.URL + siss.Path }

// TestInterruptedAskingGoesOn lets SISS fall silent in the middle: the next run asks about the rest.
func TestInterruptedAskingGoesOn(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	const all, first = 250, 130
	lost := map[uuid.UUID]bool{}
	for i := range all {
		one := sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes}
		if i%50 == 0 {
			one.there = ""
		}
		if id := p.put(t, one); i%50 == 0 {
			lost[id] = true
		}
	}
	p.save(t)
	proxy := newCountingProxy(t, p.siss(t).URL())
	proxy.left.Store(first)
	r := p.reconciler(t, proxy.service(), nil)
	if _, err := r.RunNow(t.Context(), date(t, "2026-11-19")); !errors.Is(err, delivery.ErrSilent) {
		t.Fatal(err)
	}
	if f := p.found(t, "2026-11-19"); f.Day != "open" || !strings.HasPrefix(f.Types["SEGNALAZIONE"], "asking") {
		t.Errorf("%+v", f)
	}
	before := proxy.asked()
	proxy.left.Store(-1)
	p.reconciler(t, proxy.service(), nil).now(t, "2026-11-19")
	after := proxy.asked()
	if len(before) != first || len(after) != all-first {
		t.Errorf("asked about %d, then %d", len(before), len(after))
	}
	for id := range after {
		if before[id] > 0 {
			t.Errorf("asked twice about one that was answered")
		}
	}
	f := p.found(t, "2026-11-19")
	if len(f.Kinds["unknown_there"]) != len(lost) || len(f.Kinds) != 1 || f.Day != "different" {
		t.Errorf("%+v", f)
	}
	for _, id := range f.Kinds["unknown_there"] {
		if !lost[id] {
			t.Error("one that SISS has is listed")
		}
	}
}

// TestKilledRunnerIsSucceeded leaves a turn as a killed process does: nobody else goes on before its
// lease is over, and what it wakes up to write then changes nothing.
func TestKilledRunnerIsSucceeded(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	p.put(t, sent{tries: p.once(t, "2026-11-19 12:00:00"), there: yes})
	p.save(t)
	query := postgres.TurnQuery{Environment: hub.Prod, Owner: uuid.New(), For: time.Minute}
	stale, err := p.store.TakeTurn(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	service := p.siss(t).URL()
	if _, err := p.reconciler(t, service, nil).RunNow(t.Context(), time.Time{}); !errors.Is(err, postgres.ErrNoTurn) {
		t.Fatal("two at once:", err)
	}
	p.clock(t, "2026-11-20 09:02:00")
	p.reconciler(t, service, nil).now(t, "2026-11-19")
	d := postgres.Day{Environment: hub.Prod, Date: date(t, "2026-11-19")}
	for name, write := range map[string]func() error{
		"begin": func() error { _, err := p.store.BeginDay(t.Context(), stale, d); return err },
		"equal": func() error {
			return p.store.TypeEqual(t.Context(), stale, d, postgres.TypeCount{Type: "PROGETTO"}, nil)
		},
		"asking": func() error {
			_, err := p.store.TypeAsking(t.Context(), stale, d, postgres.TypeCount{Type: "PROGETTO"})
			return err
		},
		"asked": func() error { return p.store.TypeAsked(t.Context(), stale, d, "SEGNALAZIONE") },
		"note": func() error {
			return p.store.NoteAsked(t.Context(), stale, d, "SEGNALAZIONE", postgres.Asking{},
				[]postgres.Difference{{Delivery: uuid.New(), Kind: postgres.NoAnswer}})
		},
		"settle": func() error {
			_, err := p.store.SettleAsked(t.Context(), stale, &postgres.Settlement{State: hub.Delivered})
			return err
		},
		"end": func() error {
			_, err := p.store.EndDay(t.Context(), stale, d, time.Now(), func(postgres.DayState, map[postgres.DifferenceKind]int64) journal.Entry {
				return journal.Entry{ID: uuid.New()}
			})
			return err
		},
	} {
		if err := write(); !errors.Is(err, postgres.ErrStaleLease) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := found{Day: "equal", Types: map[string]string{"SEGNALAZIONE": "equal 1+0:1"}, Kinds: map[string][]uuid.UUID{}}
	if diff := cmp.Diff(want, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
}

// run runs the daily loop of some reconcilers until done says so.
func run(t *testing.T, done func() bool, all ...*reconciler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(all))
	for _, r := range all {
		go func() { ended <- r.Run(ctx) }()
	}
	patience := time.Now().Add(time.Minute)
	for !done() && time.Now().Before(patience) {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
	cancel()
	for range all {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if !done() {
		t.Fatalf("waited in vain; %v; log: %.2000s", all[0].metric(t), all[0].log())
	}
}

// TestDailyRun goes through some days: catching up, once a day whoever runs, again where something
// differed or changed.
func TestDailyRun(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 02:59:00")
	lost := p.put(t, sent{tries: p.once(t, "2026-11-16 12:00:00")})
	p.put(t, sent{tries: p.once(t, "2026-11-18 12:00:00"), there: yes})
	late := p.put(t, sent{tries: []try{{at: p.at(t, "2026-11-17 12:00:00"), took: time.Second}}, state: hub.Uncertain})
	p.save(t)
	nation := p.siss(t)
	days := func() int64 { return nation.Stats()["riepilogo/ok"] }
	succeeded := func() bool {
		var today bool
		if err := p.super.QueryRow(t.Context(), `SELECT coalesce(done_on = (hub.hub_now() AT TIME ZONE 'Europe/Rome')::date AND lease IS NULL, false)
			FROM hub.reconciliation_turn WHERE environment = 1`).Scan(&today); err != nil {
			t.Fatal(err)
		}
		return today
	}
	// Every loop has read the gauges after that.
	shown := func(all []*reconciler) func() bool {
		return func() bool {
			if !succeeded() {
				return false
			}
			want := float64(hubNow(t, p).Truncate(time.Hour).Unix())
			for _, r := range all {
				if r.metric(t)["hub_reconciliation_success_timestamp_seconds"] < want {
					return false
				}
			}
			return true
		}
	}
	two := func() []*reconciler {
		return []*reconciler{p.reconciler(t, nation.URL(), nil), p.reconciler(t, nation.URL(), nil)}
	}
	// Before the hour nothing happens: the loop has come round some times, which its metrics show.
	early := two()
	p.exec(t, "INSERT INTO hub.reconciliation_day (environment, day, state, checked_at) VALUES (1, '2026-10-01', 'different', hub.hub_now())")
	run(t, func() bool {
		return early[0].metric(t)[differentDays] == 1 && early[1].metric(t)[differentDays] == 1
	}, early...)
	p.exec(t, "DELETE FROM hub.reconciliation_day")
	if days() != 0 {
		t.Errorf("compared %d days before the hour", days())
	}
	p.clock(t, "2026-11-20 03:00:00")
	all := two()
	run(t, shown(all), all...)
	if days() != 7 || len(p.entries(t)) != 7 {
		t.Errorf("%d days asked about, %d entries, want 7", days(), len(p.entries(t)))
	}
	if log := all[0].log() + all[1].log(); strings.Count(log, "differ on a day") != 1 ||
		strings.Count(log, "day reconciled")+strings.Count(log, "day without events on either side") != 6 {
		t.Error(log)
	}
	all[0].measured(t, map[string]float64{
		`hub_reconciliation_difference_events{kind="unknown_there"}`: 1, differentDays: 1, `hub_reconciliations{state="equal"}`: 6,
	})
	// The next day: yesterday, the one that differed, and the one of which a delivery changed. SISS
	// remembers what it had lost.
	p.clock(t, "2026-11-21 05:00:00")
	p.exec(t, "UPDATE hub.delivery SET state = 'delivered', attempts = 2, due_at = NULL, settled_at = hub.hub_now() WHERE id = $1", late)
	p.exec(t, "INSERT INTO hub.attempt (delivery_id, number, started_at, took, state, lease) VALUES ($1, 2, hub.hub_now() - interval '1 hour', '1 s', 'delivered', $1)", late)
	nation.Lie(siss.Lies{Invent: []siss.Invention{
		{ID: lost, Type: "SEGNALAZIONE", At: p.at(t, "2026-11-16 12:00:00")}, {ID: late, Type: "SEGNALAZIONE", At: p.at(t, "2026-11-17 12:00:00")},
	}})
	all = two()
	run(t, shown(all), all...)
	var looked []string
	for _, e := range p.entries(t)[7:] {
		looked = append(looked, fmt.Sprint(e.Codes[0], " ", e.Outcome))
	}
	slices.Sort(looked)
	// late was under way from the 17th on, so that each of the days since may be SISS's.
	want := []string{"2026-11-16 equal", "2026-11-17 equal", "2026-11-18 equal", "2026-11-19 equal", "2026-11-20 equal"}
	if diff := cmp.Diff(want, looked); diff != "" {
		t.Error(diff)
	}
	p.clock(t, "2026-11-22 05:00:00")
	all = two()
	run(t, shown(all), all...)
	if entries := p.entries(t); len(entries) != 13 || entries[12].Codes[0] != "2026-11-21" {
		t.Errorf("%d entries, want only yesterday's more", len(entries))
	}
	all[1].measured(t, map[string]float64{`hub_reconciliation_difference_events{kind="unknown_there"}`: 0, differentDays: 0})
}

const differentDays = `hub_reconciliations{state="different"}`

// hubNow is the time of the database.
func hubNow(t *testing.T, p *past) time.Time {
	t.Helper()
	now, err := p.store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// metric gives the gauges as they are now.
func (r *reconciler) metric(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if l := m.GetLabel(); len(l) == 1 {
				name += "{" + l[0].GetName() + `="` + l[0].GetValue() + `"}`
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	return got
}

// measured checks some gauges, and that a success is told.
func (r *reconciler) measured(t *testing.T, want map[string]float64) {
	t.Helper()
	got := r.metric(t)
	if got["hub_reconciliation_success_timestamp_seconds"] == 0 {
		t.Error("no success is told")
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
}

// What is asked about does not fit into one reading: one more than two pages, and exactly two. What SISS
// has lost is found in each of them, and none is asked about twice.
func TestAskingGoesOverEveryPage(t *testing.T) {
	t.Parallel()
	for _, all := range []int{20, 21} {
		t.Run(strconv.Itoa(all), func(t *testing.T) {
			t.Parallel()
			p := newPast(t, "2026-11-20 09:00:00")
			ids := make([]uuid.UUID, all)
			for i := range ids {
				ids[i] = uuid.New()
			}
			ids = sorted(ids...)
			lost := []uuid.UUID{ids[0], ids[9], ids[10], ids[19], ids[all-1]}
			for _, id := range ids {
				one := sent{id: id, tries: p.once(t, "2026-11-19 12:00:00"), there: yes}
				if slices.Contains(lost, id) {
					one.there = ""
				}
				p.put(t, one)
			}
			p.save(t)
			proxy := newCountingProxy(t, p.siss(t).URL())
			proxy.left.Store(-1)
			r := p.reconciler(t, proxy.service(), nil)
			r.ReadPagesOf(10)
			r.now(t, "2026-11-19")
			if diff := cmp.Diff(slices.Compact(sorted(lost...)), sorted(p.found(t, "2026-11-19").Kinds["unknown_there"]...)); diff != "" {
				t.Error(diff)
			}
			asked := proxy.asked()
			for _, id := range ids {
				if n := asked[id.String()]; n != 1 {
					t.Errorf("asked %d times about one", n)
				}
			}
		})
	}
}

func TestHugeDayIsComparedAndAskedAbout(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 09:00:00")
	const all = 10_000
	begin := p.at(t, "2026-11-19 08:00:00")
	var lost uuid.UUID
	for i := range all {
		one := sent{tries: []try{{at: begin.Add(time.Duration(i) * time.Second / 2), took: time.Millisecond}}, there: yes}
		if i == all/3 {
			one.there = ""
		}
		if id := p.put(t, one); one.there == "" {
			lost = id
		}
	}
	p.save(t)
	nation := p.siss(t)
	proxy := newCountingProxy(t, nation.URL())
	// Not about each of them here: that takes its time. TestInterruptedAskingGoesOn does.
	proxy.left.Store(500)
	r := p.reconciler(t, proxy.service(), nil)
	if _, err := r.RunNow(t.Context(), date(t, "2026-11-19")); !errors.Is(err, delivery.ErrSilent) {
		t.Fatal(err)
	}
	if got := p.found(t, "2026-11-19").Types["SEGNALAZIONE"]; got != "asking 10000+0:9999" {
		t.Error(got)
	}
	nation.Lie(siss.Lies{Invent: []siss.Invention{{ID: lost, Type: "SEGNALAZIONE", At: begin}}})
	r.now(t, "2026-11-19")
	if diff := cmp.Diff(found{Day: "equal", Types: map[string]string{"SEGNALAZIONE": "equal 10000+0:10000"}, Kinds: map[string][]uuid.UUID{}}, p.found(t, "2026-11-19")); diff != "" {
		t.Error(diff)
	}
}

func TestDayThatHasNotEndedIsNotCompared(t *testing.T) {
	t.Parallel()
	p := newPast(t, "2026-11-20 00:01:00")
	r := p.reconciler(t, p.siss(t).URL(), nil)
	for _, day := range []string{"2026-11-19", "2026-11-20", "2027-01-01"} {
		if _, err := r.RunNow(t.Context(), date(t, day)); !errors.Is(err, delivery.ErrNotEnded) {
			t.Errorf("%s: %v", day, err)
		}
	}
	r.now(t, "2026-11-18")
}

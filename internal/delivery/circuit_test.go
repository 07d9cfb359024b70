package delivery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/siss"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// minutes is a rest that grows with each opening, from none.
func minutes(opening int32) time.Duration { return time.Duration(opening) * time.Minute }

func wantState(tb rapid.TB, c delivery.Circuit, want string) {
	tb.Helper()
	if got, _, _ := c.Look(); got != want {
		tb.Fatalf("%s, want %s", got, want)
	}
}

// begin asks for a leave that must be given.
func begin(tb rapid.TB, c delivery.Circuit) delivery.Pass {
	tb.Helper()
	p, ok := c.Begin()
	if !ok {
		tb.Fatal("nothing may begin")
	}
	return p
}

// opened is a circuit that failed so often that it is open.
func opened(tb rapid.TB, limit int) delivery.Circuit {
	tb.Helper()
	c := delivery.NewCircuit(limit, minutes)
	for i := range limit {
		if got := begin(tb, c).Done(noon, false, 0); got != (i == limit-1) {
			tb.Fatalf("failure %d opened: %v", i+1, got)
		}
	}
	wantState(tb, c, "open")
	return c
}

func TestCircuitOpensAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	c := delivery.NewCircuit(3, minutes)
	for _, answered := range []bool{false, false, true, false, false} {
		if begin(t, c).Done(noon, answered, 0) {
			t.Fatal("opened")
		}
	}
	inTheAir := begin(t, c)
	if !begin(t, c).Done(noon, false, 0) {
		t.Fatal("not opened by the third in a row")
	}
	if _, ok := c.Begin(); ok {
		t.Error("something began while it was open")
	}
	if inTheAir.Done(noon, false, 0) {
		t.Error("opened twice")
	}
}

func TestHalfOpenCircuitLetsAFewThroughAndClosesWithTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c := opened(t, 2)
	c.Probed(noon, true, 0)
	wantState(t, c, "half_open")
	if _, _, wanted := c.Look(); wanted != delivery.Trials {
		t.Fatalf("%d wanted", wanted)
	}
	c.Allot(noon, delivery.Trials)
	if _, _, wanted := c.Look(); wanted != 0 {
		t.Fatalf("%d more wanted", wanted)
	}
	var all []delivery.Pass
	for range delivery.Trials {
		all = append(all, begin(t, c))
	}
	if _, ok := c.Begin(); ok {
		t.Fatal("one too many")
	}
	for _, p := range all[1:] {
		if p.Done(noon, false, 0) {
			t.Fatal("opened while one was out")
		}
	}
	all[0].Done(noon, true, 0)
	wantState(t, c, "closed")
}

// Fewer than wanted may be due: when none of those was answered it opens again, and for longer.
func TestHalfOpenCircuitOpensAgainWhenNoTrialIsAnswered(t *testing.T) {
	t.Parallel()
	c := opened(t, 1)
	now := noon
	for round := range 3 {
		now = now.Add(time.Hour)
		c.Probed(now, true, 0)
		first := begin(t, c)
		first.Done(now, false, 0)
		wantState(t, c, "half_open") // nobody said yet how many there are
		c.Allot(now, 2)
		second := begin(t, c)
		second.Drop(now) // not begun after all, so the first was the only one
		wantState(t, c, "open")
		if _, until, _ := c.Look(); !until.Equal(now.Add(minutes(int32(round + 1)))) {
			t.Fatalf("round %d: until %v", round, until)
		}
	}
}

func TestWhatWasBegunBeforeAChangeSaysNothingAfterIt(t *testing.T) {
	t.Parallel()
	c := delivery.NewCircuit(1, minutes)
	old, older := begin(t, c), begin(t, c)
	begin(t, c).Done(noon, false, 0)
	c.Probed(noon, true, 0)
	c.Allot(noon, 1)
	trial := begin(t, c)
	if old.Done(noon, false, 0) {
		t.Error("an old failure opened it")
	}
	older.Done(noon, true, 0)
	wantState(t, c, "half_open")
	trial.Done(noon, true, 0)
	wantState(t, c, "closed")
}

func TestEndpointThatAsksToBeLeftAloneIs(t *testing.T) {
	t.Parallel()
	c := delivery.NewCircuit(100, minutes)
	other := begin(t, c)
	if !begin(t, c).Done(noon, false, 30*time.Second) {
		t.Fatal("not opened")
	}
	other.Done(noon, false, 90*time.Second) // meanwhile it asks for more
	if _, until, _ := c.Look(); !until.Equal(noon.Add(90 * time.Second)) {
		t.Fatalf("until %v", until)
	}
	c.Probed(noon.Add(30*time.Second), true, 0)
	wantState(t, c, "open")
	c.Probed(noon.Add(2*time.Minute), false, 10*time.Minute)
	if _, until, _ := c.Look(); !until.Equal(noon.Add(12 * time.Minute)) {
		t.Fatalf("until %v", until)
	}
	c.Probed(noon.Add(12*time.Minute), true, 0)
	wantState(t, c, "half_open")
}

// Whatever happens in whatever order: nothing begins while it is open, no more than the trials while
// it is half open, and a living endpoint always closes it again.
func TestCircuitNeverStaysOpenForALivingEndpoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := delivery.NewCircuit(rapid.IntRange(1, 4).Draw(t, "limit"), minutes)
		now, trials := noon, 0
		var out []delivery.Pass
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			state, until, wanted := c.Look()
			switch rapid.SampledFrom([]string{"begin", "begin", "end", "end", "drop", "probe", "allot", "pass"}).Draw(t, "step") {
			case "begin":
				p, ok := c.Begin()
				if ok && state == "open" || !ok && state == "closed" {
					t.Fatalf("%s: may begin %v", state, ok)
				}
				if ok {
					out = append(out, p)
					trials++
				}
				if state == "half_open" && trials > delivery.Trials {
					t.Fatalf("%d trials", trials)
				}
			case "end", "drop":
				if len(out) > 0 {
					i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
					if rapid.IntRange(0, 3).Draw(t, "dropped") == 0 {
						out[i].Drop(now)
						trials = 0 // at most what was begun is counted: begin again
					} else {
						leave := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 20}).Draw(t, "leave")) * time.Second
						out[i].Done(now, rapid.Bool().Draw(t, "answered"), leave)
					}
					out = append(out[:i], out[i+1:]...)
				}
			case "probe":
				c.Probed(now, rapid.Bool().Draw(t, "echo"), 0)
			case "allot":
				c.Allot(now, rapid.IntRange(0, wanted).Draw(t, "found"))
			case "pass":
				now = now.Add(time.Minute)
			}
			if after, _, _ := c.Look(); after != state {
				trials = 0
			}
			_ = until
		}
		// From here on the endpoint lives: what is out ends, echo answers, trials are answered.
		for _, p := range out {
			p.Drop(now)
		}
		for range 3 {
			_, until, _ := c.Look()
			if now.Before(until) {
				now = until
			}
			c.Probed(now, true, 0)
			if p, ok := c.Begin(); ok {
				p.Done(now, true, 0)
			}
		}
		wantState(t, c, "closed")
	})
}

// forwardTo hands requests on to a simulator.
func forwardTo(address string) *httputil.ReverseProxy {
	return httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: strings.Split(address, "/")[2]})
}

// fickle is an endpoint in front of a simulator that fails as it is told, by the operation and how
// many of it there were.
func fickle(t *testing.T, fail func(operation string, n int) (status int, retryAfter string)) (address, file string, requests func() []string) {
	t.Helper()
	good, file := nation(t, siss.Faults{})
	answers := forwardTo(good.URL())
	var mu sync.Mutex
	var all []string
	count := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("Content-Type"), `action="urn:sinba:siss:v1/`)
		operation = strings.TrimSuffix(operation, `"`)
		mu.Lock()
		all = append(all, operation)
		count[operation]++
		status, after := fail(operation, count[operation])
		mu.Unlock()
		if status == 0 {
			answers.ServeHTTP(rw, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if after != "" {
			rw.Header().Set("Retry-After", after)
		}
		rw.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL + siss.Path, file, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, all...)
	}
}

// An endpoint whose echo answers but that takes no event costs a few deliveries an attempt each time,
// not all of them.
func TestEndpointThatOnlyEchoesCostsAFewTrialsEachTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	echoes := 0
	address, file, requests := fickle(t, func(operation string, _ int) (int, string) {
		if operation == "echo" {
			echoes++
		} else if echoes < 3 {
			return http.StatusBadGateway, ""
		}
		return 0, ""
	})
	events := w.several(t, 30, 1)
	k := w.carry(t, address, func(c *delivery.Config) { c.Workers, c.Failures = 1, 5 })
	k.final(t, len(events))
	exactlyOnce(t, file, events)
	runs, run := []int{}, 0
	for _, operation := range requests() {
		if operation == "echo" {
			runs, run = append(runs, run), 0
			continue
		}
		run++
	}
	// Fewer if fewer were due at that moment.
	if len(runs) != 3 || runs[0] != 5 || runs[1] < 1 || runs[1] > delivery.Trials || runs[2] < 1 || runs[2] > delivery.Trials {
		t.Errorf("calls before each echo: %v", runs)
	}
}

// Retry-After of one answer holds for all deliveries: the receiver is left alone, then asked by echo.
func TestRetryAfterHoldsForTheWholeReceiver(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var asked, again time.Time
			address, file, requests := fickle(t, func(operation string, n int) (int, string) {
				switch {
				case operation == "trasmettiEvento" && n == 3:
					asked = time.Now()
					return status, "1"
				case operation == "echo":
					again = time.Now()
				}
				return 0, ""
			})
			events := w.several(t, 8, 1)
			k := w.carry(t, address, func(c *delivery.Config) { c.Workers, c.MostRetry = 1, time.Minute })
			k.final(t, len(events))
			exactlyOnce(t, file, events)
			if all := requests(); all[3] != "echo" || again.Sub(asked) < time.Second {
				t.Errorf("after %v: %v", again.Sub(asked), all)
			}
			for _, e := range events {
				if state := w.state(t, e); state.State != hub.Delivered || state.Attempts > 2 {
					t.Errorf("%+v", state)
				}
			}
		})
	}
}

// The gauge shows one state at a time.
func TestCircuitIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _, requests := fickle(t, func(string, int) (int, string) { return http.StatusBadGateway, "" })
	w.several(t, 3, 1)
	k := w.carry(t, address, func(c *delivery.Config) { c.Workers, c.Failures = 1, 2 })
	for len(requests()) < 3 { // the third is an echo
		if t.Context().Err() != nil {
			t.Fatal("no echo")
		}
	}
	if got := k.gauges(t, "hub_circuit_state"); got["open"] != 1 || got["closed"] != 0 || got["half_open"] != 0 || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// gauges reads a family of one label.
func (k *carrier) gauges(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return all
}

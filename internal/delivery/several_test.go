package delivery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe" //nolint:depguard // for moved alone

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// An instance that only looks once an hour hears what another one accepted.
func TestOtherInstancesHearOfNewEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stuck := newHolding(t)
	s, file := nation(t, siss.Faults{})
	a := w.carry(t, stuck.url, func(c *delivery.Config) { c.Workers, c.Batch = 1, 1 })
	// It gets one into the air and holds one more at most, so that it takes nothing else.
	held := w.several(t, 2, 1)
	a.Wake()
	<-stuck.arrived
	w.allClaimed(t)
	b := w.carry(t, s.URL(), func(c *delivery.Config) { c.Poll = time.Hour })
	for range 3 {
		e := w.accept(t, newChild(), nil)
		a.Wake()
		b.until(t, e.transmission, hub.Delivered)
	}
	close(stuck.release)
	for _, l := range taken(t, file) {
		if l.ID == held[0].transmission.String() {
			t.Error("what another instance holds was sent")
		}
	}
}

// allClaimed waits until somebody holds every delivery.
func (w *world) allClaimed(t *testing.T) {
	t.Helper()
	hubtest.Await(t, time.Minute, "all deliveries to be claimed", func() bool { return w.waiting(t) == 0 })
}

// What a stopping instance gives back is taken by the others at once.
func TestStoppingInstanceHandsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stuck := newHolding(t)
	s, file := nation(t, siss.Faults{})
	a := w.carry(t, stuck.url, func(c *delivery.Config) { c.Workers = 1 })
	events := w.several(t, 6, 1)
	a.Wake()
	<-stuck.arrived
	w.allClaimed(t)
	b := w.carry(t, s.URL(), func(c *delivery.Config) { c.Poll = time.Hour })
	hubtest.Await(t, time.Minute, "the instances to listen", func() bool { return w.count(t, "SELECT count(*) "+listening) == 2 })
	close(stuck.release)
	a.stop()
	ended := 0
	for ended+a.delivered() < len(events) {
		select {
		case one := <-b.attempts:
			if one.state == string(hub.Delivered) {
				ended++
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d and %d of %d", ended, a.delivered(), len(events))
		}
	}
	if n := len(taken(t, file)); n != ended {
		t.Errorf("%d taken, %d delivered", n, ended)
	}
}

// delivered counts, and forgets, the attempts of a stopped instance that delivered.
func (k *carrier) delivered() int {
	n := 0
	for line := range strings.SplitSeq(k.log(), "\n") {
		if strings.Contains(line, "attempt settled") && strings.Contains(line, "state:delivered") {
			n++
		}
	}
	return n
}

// listening are the connections that listen.
const listening = "FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN hub_delivery'"

// count asks the database as its superuser.
func (w *world) count(t *testing.T, query string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var n int
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// An instance whose listening connection was cut listens again, and looks at what it missed.
func TestListeningSurvivesACutConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := nation(t, siss.Faults{})
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Poll = time.Hour })
	hubtest.Await(t, time.Minute, "the instances to listen", func() bool { return w.count(t, "SELECT count(*) "+listening) == 1 })
	w.count(t, "SELECT count(pg_terminate_backend(pid)) "+listening)
	e := w.accept(t, newChild(), nil) // nobody tells
	k.until(t, e.transmission, hub.Delivered)
}

// meeting is the nation behind one address for each of two instances: nothing gets through before both
// have called, so that neither can have had all the work.
type meeting struct {
	nation string
	called atomic.Int32
	both   chan struct{}
}

// address gives one of the two addresses.
func (m *meeting) address(t *testing.T) string {
	t.Helper()
	forward := forwardTo(m.nation)
	first := sync.OnceFunc(func() {
		if m.called.Add(1) == 2 {
			close(m.both)
		}
	})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		first()
		select {
		case <-m.both:
			forward.ServeHTTP(rw, r)
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + siss.Path
}

// Two instances together keep to the agreed rate, whatever each of them could do.
func TestTwoInstancesTogetherKeepToTheAgreedRate(t *testing.T) {
	t.Parallel()
	const rate, events, workers = 40, 80, 4
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	m := &meeting{nation: s.URL(), both: make(chan struct{})}
	all := w.several(t, events, 1)
	// Each holds a few at a time: all of them were within what one may hold for two seconds.
	paced := func(c *delivery.Config) { c.Rate, c.Workers, c.Batch = rate, workers, 4 }
	a, b := w.carry(t, m.address(t), paced), w.carry(t, m.address(t), paced)
	select {
	case <-m.both:
	case <-time.After(2 * time.Minute):
		t.Fatal("only one of the instances called")
	}
	began := time.Now()
	byBoth := map[*carrier]int{}
	for ended := 0; ended < events; {
		var one attempt
		from := a
		select {
		case one = <-a.attempts:
		case one = <-b.attempts:
			from = b
		}
		if one.state == string(hub.Delivered) {
			ended++
			byBoth[from]++
		}
	}
	// Only the lower bound can be told on a busy machine: n calls need n-1 gaps, less what a place may
	// be late for. What waited to be let through had its places before.
	if took, least := time.Since(began), (events-2*workers-1)*time.Second/rate-100*time.Millisecond; took < least {
		t.Errorf("%d in %v, and it takes %v at %d a second", events, took, least, rate)
	}
	exactlyOnce(t, file, all)
	if byBoth[a] == 0 || byBoth[b] == 0 {
		t.Errorf("%d by one, %d by the other", byBoth[a], byBoth[b])
	}
}

// A process that was stopped for longer than its lease, between any look at it and the send, sends
// nothing when it wakes.
func TestFrozenInstanceSendsNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, file := nation(t, siss.Faults{})
	e := w.accept(t, newChild(), nil)
	w.claimAndForget(t) // so that it is asked about first
	var slept atomic.Int64
	var transmissions atomic.Int64
	forward := forwardTo(good.URL())
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("Content-Type"), `/trasmettiEvento"`) {
			transmissions.Add(1)
		} else if slept.Load() == 0 {
			slept.Store(int64(2 * time.Minute)) // the process sleeps while it waits for this answer
		}
		forward.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	k := w.carryWith(t, server.URL+siss.Path, pool(t), func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }, nil)
	seen := k.until(t, e.transmission, hub.Retrying)
	if n := transmissions.Load(); n != 0 && len(seen) == 1 {
		t.Errorf("%d sent after the lease", n)
	}
	k.until(t, e.transmission, hub.Delivered)
	if n := transmissions.Load(); n != 1 {
		t.Errorf("sent %d times", n)
	}
	if got := k.gauges(t, "hub_attempts_late_total"); got["before_send"] != 1 {
		t.Errorf("counted: %v", got)
	}
	exactlyOnce(t, file, []accepted{e})
}

// Nothing of a request is written when its lease is over, on a fresh connection, a kept one, or over
// TLS; and what was written before stays told.
func TestNothingIsWrittenWithoutALease(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
		rw.WriteHeader(http.StatusNotFound)
	})
	plain, secured := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secured.Close)
	for name, c := range map[string]struct{ url, ca string }{
		"plain": {plain.URL, ""}, "TLS": {secured.URL, caFile(t, secured)},
	} {
		client, err := delivery.NewClient(c.url, c.ca, pool(t))
		if err != nil {
			t.Fatal(err)
		}
		before := requests.Load()
		over := func() bool { return false }
		if a := client.KeepTransmit(t.Context(), []byte("<x/>"), over); a.Sent || !a.Late {
			t.Errorf("%s, fresh: %+v", name, a)
		}
		if a := client.KeepTransmit(t.Context(), []byte("<x/>"), func() bool { return true }); !a.Sent || a.Late || a.Status != 404 {
			t.Errorf("%s, held: %+v", name, a)
		}
		if a := client.KeepTransmit(t.Context(), []byte("<x/>"), over); a.Sent || !a.Late {
			t.Errorf("%s, kept alive: %+v", name, a)
		}
		if n := requests.Load() - before; n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// moved is a later reading of a clock whose two hands moved by different times: the monotonic one stands
// still while a machine sleeps, the wall clock is set. Nothing of the library makes one.
func moved(t *testing.T, since time.Time, wall, monotonic time.Duration) time.Time {
	t.Helper()
	now := since.Add(wall)
	// The layout is the library's own; it is checked below.
	(*struct {
		wall      uint64
		monotonic int64
		zone      *time.Location
	})(unsafe.Pointer(&now)).monotonic += int64(monotonic - wall)
	if now.Sub(since) != monotonic || now.Round(0).Sub(since.Round(0)) != wall {
		t.Fatalf("a reading of the clock is no longer laid out so: %v", now)
	}
	return now
}

// Neither a machine that slept nor a clock that was set back makes a lease longer.
func TestTimePassesByTheHandThatMovedMore(t *testing.T) {
	t.Parallel()
	since := time.Now()
	now := since.Add(time.Minute)
	for name, c := range map[string]struct {
		since, now time.Time
		want       time.Duration
	}{
		"both":                     {since, now, time.Minute},
		"the machine slept":        {since, moved(t, since, time.Hour, time.Second), time.Hour},
		"wall clock was set back":  {since, moved(t, since, -time.Hour, time.Minute), time.Minute},
		"wall clock was put on":    {since, moved(t, since, time.Hour, time.Minute), time.Hour},
		"wall clock alone":         {since.Round(0), since.Round(0).Add(time.Hour), time.Hour},
		"read without monotonic":   {since.Round(0), now, time.Minute},
		"nothing passed, set back": {since, since.Add(-time.Hour), -time.Hour},
	} {
		if got := delivery.Passed(c.since, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

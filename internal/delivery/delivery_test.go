package delivery_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/siss"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// line is what SISS took.
type line struct {
	ID    string `json:"id_trasmissione"`
	Esito string `json:"esito"`
	Event string `json:"evento_xml"`
}

func taken(tb testing.TB, file string) (all []line) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	for text := range bytes.Lines(b) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			tb.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// exactlyOnce checks that SISS took each of the events once, and nothing else.
func exactlyOnce(t *testing.T, file string, want []accepted) {
	t.Helper()
	count := map[string]int{}
	for _, l := range taken(t, file) {
		if l.Esito != "ACCETTATO" {
			t.Errorf("%s: %s", l.ID, l.Esito)
		}
		count[l.ID]++
	}
	for _, a := range want {
		if n := count[a.transmission.String()]; n != 1 {
			t.Errorf("%s was taken %d times", a.transmission, n)
		}
	}
	if len(count) != len(want) {
		t.Errorf("%d transmissions, want %d", len(count), len(want))
	}
}

// inOrder checks that the events of each case were taken by their sequence.
func inOrder(tb testing.TB, file string) {
	tb.Helper()
	last := map[string]int{}
	for _, l := range taken(tb, file) {
		sequence, err := strconv.Atoi(between(l.Event, "<ProgressivoCartella>", "<"))
		if err != nil {
			tb.Fatal(err)
		}
		key := between(l.Event, "<IdCartella>", "<")
		if sequence != last[key]+1 {
			tb.Errorf("case %s: %d after %d", key, sequence, last[key])
		}
		last[key] = sequence
	}
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	value, _, _ := strings.Cut(rest, to)
	return value
}

// several accepts events of some cases, case by case in turns.
func (w *world) several(t *testing.T, cases, events int) (all []accepted) {
	t.Helper()
	children := make([]*child, cases)
	for i := range children {
		children[i] = newChild()
	}
	for range events {
		for _, c := range children {
			all = append(all, w.accept(t, c, nil))
		}
	}
	return all
}

func TestDeliversEveryAcceptedEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	events := w.several(t, 5, 4)
	k := w.carry(t, s.URL(), nil)
	k.final(t, len(events))
	exactlyOnce(t, file, events)
	inOrder(t, file)
	for _, e := range events {
		if state := w.state(t, e); state.State != hub.Delivered || !strings.HasPrefix(state.Protocol, "SISS-") || state.Attempts != 1 {
			t.Errorf("state: %+v", state)
		}
	}
	for _, l := range taken(t, file) {
		for _, identity := range []string{"NCLRRA10D63D612R", "Niccol", "Warnakulasuriya", "2024/00001-bb3b", "A-00001-3031", "Via di Prova", "SDS-PI"} {
			if strings.Contains(l.Event, identity) || strings.Contains(k.log(), identity) {
				t.Errorf("%q left in the event or the log", identity)
			}
		}
		for _, content := range []string{"IDBeneficiario", "IdCartella", "IdEvento"} {
			if code := between(l.Event, "<"+content+">", "<"); code == "" || strings.Contains(k.log(), code) {
				t.Errorf("%s stands in the log, or nowhere", content)
			}
		}
	}
}

func TestWakeCarriesWhatComesWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Poll = time.Hour })
	var events []accepted
	for range 3 {
		e := w.accept(t, newChild(), nil)
		k.Wake()
		k.until(t, e.transmission, hub.Delivered)
		events = append(events, e)
	}
	exactlyOnce(t, file, events)
}

func TestFailuresAreRetriedUntilDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{Next: []siss.Fault{siss.Fail, siss.Unavailable, siss.Fail}})
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), nil)
	seen := k.until(t, e.transmission, hub.Delivered)
	var got []string
	for _, a := range seen {
		got = append(got, a.result+" "+strings.Join(a.codes, ","))
	}
	if want := []string{"retry SISS_503", "retry http_503", "retry SISS_503", "delivered "}; !slices.Equal(got, want) {
		t.Errorf("attempts %q, want %q", got, want)
	}
	if n := s.Stats()["statoTrasmissione/SCONOSCIUTO"]; n != 0 {
		t.Errorf("asked %d times although nothing was uncertain", n)
	}
	if state := w.state(t, e); state.Attempts != 4 {
		t.Errorf("attempts: %d", state.Attempts)
	}
	exactlyOnce(t, file, []accepted{e})
}

func TestUncertainIsAskedAboutAndHasOneEffect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault siss.Fault
		asked string
		sent  int64
	}{
		{siss.Cut, "ACCETTATO", 1},
		{siss.Garbage, "ACCETTATO", 1},
		{siss.WrongID, "ACCETTATO", 1},
		{siss.HTML, "SCONOSCIUTO", 1},
		{siss.Drop, "SCONOSCIUTO", 1},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, file := nation(t, siss.Faults{Next: []siss.Fault{c.fault}})
			e := w.accept(t, newChild(), nil)
			k := w.carry(t, s.URL(), nil)
			if seen := k.until(t, e.transmission, hub.Delivered); len(seen) != 2 || seen[0].state != string(hub.Uncertain) {
				t.Errorf("attempts: %+v", seen)
			}
			stats := s.Stats()
			if stats["statoTrasmissione/"+c.asked] != 1 || stats["trasmettiEvento/ACCETTATO"] != c.sent || stats["trasmettiEvento/GIA_RICEVUTO"] != 0 {
				t.Errorf("counters: %v", stats)
			}
			if state := w.state(t, e); !strings.HasPrefix(state.Protocol, "SISS-") {
				t.Errorf("state: %+v", state)
			}
			exactlyOnce(t, file, []accepted{e})
		})
	}
}

// Nothing may be sent while it is not known what became of it, however often that is asked.
func TestUncertainStaysSoUntilTheEndpointKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{
		Next:       []siss.Fault{siss.Cut, siss.Fail, siss.Unavailable, siss.Drop, siss.HTML, siss.WrongID},
		Operations: []string{"trasmettiEvento", "statoTrasmissione"},
	})
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), nil)
	seen := k.until(t, e.transmission, hub.Delivered)
	for i, a := range seen[:len(seen)-1] {
		if a.state != string(hub.Uncertain) {
			t.Errorf("attempt %d: %+v", i+1, a)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d attempts, want 7: %+v", len(seen), seen)
	}
	exactlyOnce(t, file, []accepted{e})
}

func TestSickEndpointGetsEveryEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{
		FailRatio: 0.1, UnavailableRatio: 0.1, CutRatio: 0.2, DropRatio: 0.1, GarbageRatio: 0.1, HTMLRatio: 0.05, WrongIDRatio: 0.05,
		Operations: []string{"trasmettiEvento", "statoTrasmissione"},
	})
	events := w.several(t, 6, 5)
	k := w.carry(t, s.URL(), nil)
	k.final(t, len(events))
	exactlyOnce(t, file, events)
	inOrder(t, file)
	if n := s.Stats()["trasmettiEvento/RIFIUTATO"]; n != 0 {
		t.Errorf("other content under the same id: %d times", n)
	}
}

func TestRefusedIsFinalAndDoesNotHoldItsCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := nation(t, siss.Faults{Next: []siss.Fault{siss.Refuse}})
	c := newChild()
	first, second := w.accept(t, c, nil), w.accept(t, c, nil)
	k := w.carry(t, s.URL(), nil)
	k.final(t, 2)
	if state := w.state(t, first); state.State != hub.Refused || !slices.Equal(state.Codes, []string{"SISS_300"}) || state.Attempts != 1 {
		t.Errorf("first: %+v", state)
	}
	if state := w.state(t, second); state.State != hub.Delivered {
		t.Errorf("second: %+v", state)
	}
}

func TestEventThatDoesNotConformIsParkedAndNeverLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	c, other := newChild(), newChild()
	// The region is written as it stands; only the national schema knows the list of regions.
	spoil := func(body string) string {
		return strings.Replace(body, "<CodiceComune>17<", "<CodiceComune>RSSMRA80A01H501U<", 1)
	}
	broken := func(string) string { return "<EventoRegionale" }
	parked := []accepted{w.accept(t, c, spoil), w.accept(t, other, broken)}
	held := w.accept(t, c, nil) // behind the parked one
	free := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), nil)
	k.final(t, 3)
	k.stop()
	for i, why := range []string{"SINBA_204", "national_event"} {
		if state := w.state(t, parked[i]); state.State != hub.Parked || state.Stato() != "DA_VERIFICARE" || !slices.Equal(state.Codes, []string{why}) {
			t.Errorf("parked: %+v, want %s", state, why)
		}
	}
	if state := w.state(t, held); state.State != hub.Pending {
		t.Errorf("held: %+v", state)
	}
	exactlyOnce(t, file, []accepted{free})
	if !strings.Contains(k.log(), "/EventoNazionale/Soggetto/Anagrafica/Residenza/CodiceRegioneResidenza") || strings.Contains(k.log(), "RSSMRA") {
		t.Errorf("log: %s", k.log())
	}
	if n := attempts(t, k, "parked"); n != 2 {
		t.Errorf("hub_attempts_total{result=parked} = %v", n)
	}
}

// TestEventThatEndsWorkersIsTriedAgainBeforeItIsParked: that workers end may be bad luck, so only an
// event on which they end three times is set aside; and nothing of it ever leaves.
func TestEventThatEndsWorkersIsTriedAgainBeforeItIsParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	deadly, err := startPool(time.Nanosecond) // hardly a worker is ever fast enough
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deadly.Close() })
	for !triedAgain(t, w, s.URL(), deadly) { // on a busy machine an answer may overtake the deadline
		continue
	}

	k := w.carryWith(t, s.URL(), deadly, time.Now, nil)
	unlucky := w.accept(t, newChild(), nil)
	k.Wake()
	seen := k.until(t, unlucky.transmission, hub.Parked, hub.Dead, hub.Delivered)
	overtook := func(a attempt) bool { return a.state == string(hub.Delivered) || a.state == string(hub.Uncertain) }
	for slices.ContainsFunc(seen, overtook) { // a worker's answer may be faster than any deadline
		unlucky = w.accept(t, newChild(), nil)
		k.Wake()
		seen = k.until(t, unlucky.transmission, hub.Parked, hub.Dead, hub.Delivered)
	}
	if len(seen) != 3 {
		t.Errorf("parked after %+v", seen)
	}
	k.stop()
	if state := w.state(t, unlucky); !slices.Equal(state.Codes, []string{"national_event", "SINBA_501"}) {
		t.Errorf("parked: %+v", state)
	}
	for _, l := range taken(t, file) {
		if l.ID == unlucky.transmission.String() {
			t.Error("an event that no worker judged has left")
		}
	}
}

// triedAgain has an event's first workers end, and others deliver it. It tells whether the first ones
// did end: an answer may overtake any deadline.
func triedAgain(t *testing.T, w *world, address string, deadly *validator.Pool) bool {
	t.Helper()
	event := w.accept(t, newChild(), nil)
	// So long that the next attempt is the other carrier's.
	k := w.carryWith(t, address, deadly, time.Now, func(c *delivery.Config) { c.FirstRetry, c.MostRetry = 3*time.Second, 3*time.Second })
	first := k.until(t, event.transmission, hub.Retrying, hub.Uncertain, hub.Parked, hub.Dead, hub.Delivered)[0]
	k.stop()
	if first.state == string(hub.Parked) || first.state == string(hub.Dead) {
		t.Fatal("set aside at once")
	}
	if first.state != string(hub.Retrying) || w.state(t, event).State == hub.Delivered {
		return false
	}
	k = w.carry(t, address, nil)
	defer k.stop()
	if seen := k.until(t, event.transmission, hub.Delivered, hub.Parked, hub.Dead); seen[len(seen)-1].state != string(hub.Delivered) {
		t.Errorf("with workers that live: %+v", seen)
	}
	return true
}

// attempts reads hub_attempts_total.
func attempts(t *testing.T, k *carrier, result string) float64 {
	t.Helper()
	return counter(t, k, "hub_attempts_total", result)
}

// counter reads a counter with one label.
func counter(t *testing.T, k *carrier, name, label string) float64 {
	t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s{%s}", name, label)
	return 0
}

func TestSpentBudgetIsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{FailRatio: 1})
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Attempts = 3 })
	if seen := k.until(t, e.transmission, hub.Dead); len(seen) != 3 {
		t.Errorf("attempts: %+v", seen)
	}
	if state := w.state(t, e); state.Stato() != "DA_VERIFICARE" || state.Attempts != 3 {
		t.Errorf("state: %+v", state)
	}
	if lines := taken(t, file); len(lines) != 0 {
		t.Errorf("taken: %v", lines)
	}
}

// While the endpoint is down no delivery's budget is spent: only echo is sent.
func TestDeadEndpointIsProbedByEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, file := nation(t, siss.Faults{})
	var transmissions, echoes atomic.Int64
	answers := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: strings.Split(good.URL(), "/")[2]})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		probe := strings.HasSuffix(r.Header.Get("Content-Type"), `/echo"`)
		switch {
		case probe && echoes.Add(1) >= 2, !probe && echoes.Load() >= 2:
			answers.ServeHTTP(rw, r)
		default:
			if !probe {
				transmissions.Add(1)
			}
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	events := w.several(t, 12, 1)
	k := w.carry(t, server.URL+siss.Path, func(c *delivery.Config) { c.Workers, c.Failures = 2, 4 })
	k.final(t, len(events))
	exactlyOnce(t, file, events)
	// The fourth failure opened the breaker while the other worker was in the air.
	if n := transmissions.Load(); n < 4 || n > 5 {
		t.Errorf("%d transmissions to a dead endpoint", n)
	}
	if !strings.Contains(k.log(), "asking by echo") || !strings.Contains(k.log(), "answers again") {
		t.Errorf("log:\n%s", k.log())
	}
}

// A process that died between sending and settling leaves a lease: the next owner asks first.
func TestRunOutLeaseIsAskedAboutFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	e := w.accept(t, newChild(), nil)
	died := w.carry(t, s.URL(), nil)
	died.until(t, e.transmission, hub.Delivered)
	died.stop()
	// Its settlement never happened, and its lease is over.
	next := w.accept(t, newChild(), nil)
	if claimed := w.claimAndForget(t); claimed != next.transmission {
		t.Fatalf("claimed %s", claimed)
	}
	k := w.carry(t, s.URL(), nil)
	k.until(t, next.transmission, hub.Delivered)
	if stats := s.Stats(); stats["statoTrasmissione/SCONOSCIUTO"] != 1 || stats["trasmettiEvento/ACCETTATO"] != 2 {
		t.Errorf("counters: %v", stats)
	}
	exactlyOnce(t, file, []accepted{e, next})
}

func TestTwoOwnersShareTheWorkWithoutRepeatingIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{CutRatio: 0.2})
	events := w.several(t, 6, 4)
	a, b := w.carry(t, s.URL(), nil), w.carry(t, s.URL(), nil)
	ended := 0
	for ended < len(events) {
		var one attempt
		select {
		case one = <-a.attempts:
		case one = <-b.attempts:
		}
		if one.state == string(hub.Delivered) {
			ended++
		}
	}
	exactlyOnce(t, file, events)
	inOrder(t, file)
	if n := s.Stats()["trasmettiEvento/GIA_RICEVUTO"]; n != 0 {
		t.Errorf("%d sent twice", n)
	}
}

func TestOtherEnvironmentIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{})
	e := w.accept(t, newChild(), nil)
	test := w.carry(t, s.URL(), func(c *delivery.Config) { c.Environment = hub.Test })
	prod := w.carry(t, s.URL(), nil)
	prod.until(t, e.transmission, hub.Delivered)
	test.stop()
	if len(test.attempts) != 0 {
		t.Error("an event of PROD was carried by TEST")
	}
	exactlyOnce(t, file, []accepted{e})
}

func TestClaimThatCouldOutlastItsLeaseIsNotBegun(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := parts(t)
	p.Now = func() time.Time { return now }
	d, err := delivery.New(delivery.Config{URL: "http://siss.example/", Lease: 3 * time.Minute, Deadline: time.Minute}, p)
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]bool{0: false, 2 * time.Minute: false, 2*time.Minute + 1: true, time.Hour: true} {
		if got := d.Late(now.Add(-age)); got != want {
			t.Errorf("claimed %v ago: late %v", age, got)
		}
	}
}

func TestWakeTellsThePaceOfTheDoor(t *testing.T) {
	t.Parallel()
	d, err := delivery.New(delivery.Config{URL: "http://siss.example/"}, parts(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d.Wake() // nobody runs: it must not block
	}
	if n := d.Arrived(); n != 3 {
		t.Errorf("%d events", n)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]delivery.Config{
		"no address":  {},
		"no host":     {URL: "http://"},
		"other kind":  {URL: "ftp://siss.example/"},
		"short lease": {URL: "http://siss.example/", Lease: time.Second},
		"no CA file":  {URL: "https://siss.example/", CAFile: "testdata/none.pem"},
		"empty CA":    {URL: "https://siss.example/", CAFile: os.DevNull},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := delivery.New(c, parts(t)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

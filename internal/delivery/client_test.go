package delivery_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// tlsServer takes requests over TLS and counts them and the bytes of their bodies.
func tlsServer(t *testing.T, config *tls.Config) (server *httptest.Server, requests, bytes *atomic.Int64) {
	t.Helper()
	requests, bytes = new(atomic.Int64), new(atomic.Int64)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		n, _ := io.Copy(io.Discard, r.Body)
		bytes.Add(n)
		w.Header().Set("Content-Type", xml12)
		_, _ = io.WriteString(w, message(esito(asked.String(), "ACCETTATO", protocol)))
	}))
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, requests, bytes
}

// caFile writes a server's certificate as the CA to trust.
func caFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingIsSentToAnEndpointThatIsNotTheRightOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config *tls.Config
		trust  bool
		host   string
		want   delivery.Result
	}{
		"right":              {&tls.Config{}, true, "", delivery.Delivered},
		"authority unknown":  {&tls.Config{}, false, "", delivery.Retry},
		"name of another":    {&tls.Config{}, true, "localhost", delivery.Retry},
		"TLS 1.1":            {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true, "", delivery.Retry},
		"TLS 1.2 is allowed": {&tls.Config{MaxVersion: tls.VersionTLS12}, true, "", delivery.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, requests, bytes := tlsServer(t, c.config)
			ca, url := "", server.URL
			if c.trust {
				ca = caFile(t, server)
			}
			if c.host != "" {
				url = strings.Replace(url, "127.0.0.1", c.host, 1)
			}
			client, err := delivery.NewClient(url, ca, pool(t))
			if err != nil {
				t.Fatal(err)
			}
			verdict := delivery.Classify(asked, client.Transmit(t.Context(), []byte("<x/>")))
			if verdict.Result != c.want {
				t.Errorf("%+v, want %s", verdict, c.want)
			}
			if c.want == delivery.Retry && (requests.Load() != 0 || bytes.Load() != 0 || verdict.Codes[0] != "not_sent") {
				t.Errorf("%d requests, %d bytes, %v", requests.Load(), bytes.Load(), verdict.Codes)
			}
		})
	}
}

func TestRedirectionsAreNotFollowed(t *testing.T) {
	t.Parallel()
	target, requests, _ := tlsServer(t, &tls.Config{})
	redirect := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusPermanentRedirect))
	t.Cleanup(redirect.Close)
	client, err := delivery.NewClient(redirect.URL, caFile(t, target), pool(t))
	if err != nil {
		t.Fatal(err)
	}
	if a := client.Transmit(t.Context(), []byte("<x/>")); a.Status != http.StatusPermanentRedirect || requests.Load() != 0 {
		t.Errorf("%+v, %d requests at the target", a, requests.Load())
	}
}

func TestRequestIsTheContractsMessage(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("Accept-Encoding") + " " + string(body)
	}))
	t.Cleanup(server.Close)
	exchange(t, server.URL)
	want := `POST application/soap+xml; charset=utf-8; action="urn:sinba:siss:v1/trasmettiEvento"  ` +
		message(`<TrasmettiEventoRichiesta `+xmlns+`/>`)
	if g := <-got; g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
}

// An answer that never ends must not hold a worker beyond the deadline; the event is uncertain.
func TestDrippingAnswerEndsWithTheDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, file := nation(t, siss.Faults{Next: []siss.Fault{siss.Drip}, DripMS: 3_600_000})
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, s.URL(), func(c *delivery.Config) { c.Deadline = 300 * time.Millisecond })
	seen := k.until(t, e.transmission, hub.Delivered)
	if seen[0].state != string(hub.Uncertain) {
		t.Errorf("attempts: %+v", seen)
	}
	exactlyOnce(t, file, []accepted{e})
}

// holding is a SISS that answers only when it is told to.
type holding struct {
	url     string
	arrived chan struct{}
	release chan struct{}
}

func newHolding(t *testing.T) holding {
	t.Helper()
	h := holding{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.arrived <- struct{}{}
		select {
		case <-h.release:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", xml12)
		_, _ = io.WriteString(w, message(esito(between(string(body), "<IdTrasmissione>", "<"), "ACCETTATO", protocol)))
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func TestStopLetsAttemptsEndAndGivesTheRestBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := newHolding(t)
	events := w.several(t, 6, 1)
	k := w.carry(t, h.url, func(c *delivery.Config) { c.Workers, c.Patience = 2, time.Hour })
	<-h.arrived
	<-h.arrived
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		k.stop()
	}()
	// Two are in the air, four were claimed and wait: those are given back before the two end.
	for w.waiting(t) != 4 {
		if t.Context().Err() != nil {
			t.Fatal("not given back")
		}
	}
	close(h.release)
	<-stopped
	states := map[hub.DeliveryState]int{}
	for _, e := range events {
		state := w.state(t, e)
		states[state.State]++
		if state.State == hub.Pending && state.Attempts != 0 {
			t.Errorf("given back with an attempt: %+v", state)
		}
	}
	if states[hub.Delivered] != 2 || states[hub.Pending] != 4 {
		t.Errorf("states: %v", states)
	}
}

func TestStopCutsWhatDoesNotEndAndLeavesItUncertain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := newHolding(t)
	e := w.accept(t, newChild(), nil)
	k := w.carry(t, h.url, func(c *delivery.Config) { c.Patience = time.Nanosecond })
	<-h.arrived
	k.stop()
	if state := w.state(t, e); state.State != hub.Uncertain {
		t.Errorf("state: %+v", state)
	}
}

// waiting counts the deliveries that nobody holds and nobody tried.
func (w *world) waiting(t *testing.T) int64 {
	t.Helper()
	backlog, err := w.store.Backlog(context.WithoutCancel(t.Context()), hub.Prod)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backlog {
		if b.State == hub.Pending {
			return b.Count
		}
	}
	return 0
}

func TestBacklogIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := newHolding(t)
	w.several(t, 3, 1)
	k := w.carry(t, h.url, func(c *delivery.Config) { c.Workers = 1; c.Batch = 1 })
	<-h.arrived
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "hub_deliveries" || f.GetName() == "hub_delivery_oldest_age_seconds" {
				states[m.GetLabel()[0].GetValue()]++
			}
		}
	}
	for _, s := range []string{"pending", "sending", "retrying", "uncertain", "dead", "parked"} {
		if states[s] != 2 {
			t.Errorf("%s: %d gauges, want 2", s, states[s])
		}
	}
	close(h.release)
}

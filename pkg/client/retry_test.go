package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sinbahub/sinbahub/pkg/client"
)

// TestWhatLeftNoOutcomeIsRepeatedWithTheSameBytes is the contract's section "Duplicates" from the
// sender's side.
func TestWhatLeftNoOutcomeIsRepeatedWithTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]answer{
		"503 with a fault":        says(503, faultOf("SINBA_503"), "Retry-After", "2"),
		"503 of the same event":   says(503, faultOf("SINBA_111"), "Retry-After", "1"),
		"503 with nothing":        says(503, ""),
		"503 with a page":         says(503, "<html>wartung</html>", "Retry-After", "1"),
		"429":                     says(429, "", "Retry-After", "3"),
		"500 send again":          says(500, faultOf("SINBA_500")),
		"500 arrived too slowly":  says(500, faultOf("SINBA_015")),
		"500 with a page":         says(500, "<html>"),
		"502 with a page":         says(502, "<html>bad gateway</html>", "Content-Type", "text/html"),
		"504 with nothing":        says(504, ""),
		"200 with a page":         says(200, "<html>login</html>"),
		"408":                     says(408, ""),
		"500 by a proxy for 429":  says(500, faultOf("SINBA_506")),
		"the line is cut":         raw(""),
		"the header is cut":       raw("HTTP/1.1 200 OK\r\nContent-Le"),
		"the answer is cut":       raw("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + envelope(receiptOf(client.Accettato))[:400]),
		"a chunk is cut":          raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n<soap"),
		"garbage instead of HTTP": raw("\x16\x03\x01\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play(t, first, first, says(200, envelope(receiptOf(client.Duplicato))))
			c, at := h.connect(t)
			receipt, err := c.InviaEvento(t.Context(), []byte(event))
			if err != nil || receipt.Esito != client.Duplicato || receipt.IDRicevuta == "" {
				t.Fatalf("got %+v %v", receipt, err)
			}
			requests := h.arrived()
			if len(requests) != 3 || requests[0].body != requests[1].body || requests[0].body != requests[2].body {
				t.Errorf("%d requests, or not the same bytes", len(requests))
			}
			if len(at.pauses) != 2 {
				t.Errorf("pauses %v", at.pauses)
			}
		})
	}
}

func TestRefusalIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for name, only := range map[string]answer{
		"rules":                    says(500, faultOf("SINBA_301", "SINBA_306")),
		"conflict":                 says(500, faultOf("SINBA_110")),
		"poison":                   says(500, faultOf("SINBA_501")),
		"a code unknown":           says(500, faultOf("SINBA_599")),
		"credential":               says(401, faultOf("SINBA_101")),
		"too large":                says(413, faultOf("SINBA_006")),
		"media":                    says(415, faultOf("SINBA_007")),
		"200 with a refusal":       says(200, faultOf("SINBA_301")),
		"502 around a refusal":     says(502, faultOf("SINBA_301")),
		"a transaction that tells": says(500, strings.Replace(faultOf("SINBA_301"), "01900000-0000-7000-8000-000000000003", canary, 1)),
		"a proxy's 401":            says(401, "<html>"),
		"a proxy's 403":            says(403, ""),
		"nobody here":              says(404, "<html>"),
		"refusal with RetryAfter":  says(500, faultOf("SINBA_301"), "Retry-After", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := play(t, only)
			c, at := h.connect(t)
			receipt, err := c.InviaEvento(t.Context(), []byte(event))
			if receipt != nil || err == nil || client.Temporary(err) {
				t.Errorf("got %v %v", receipt, err)
			}
			mustNotTell(t, err)
			if len(h.arrived()) != 1 || len(at.pauses) != 0 {
				t.Errorf("%d requests", len(h.arrived()))
			}
		})
	}
}

func TestFaultHasEveryViolation(t *testing.T) {
	t.Parallel()
	h := play(t, says(500, faultOf("SINBA_301", "SINBA_303")))
	c, _ := h.connect(t)
	_, err := c.InviaEvento(t.Context(), []byte(event))
	fault, ok := errors.AsType[*client.FaultError](err)
	if !ok {
		t.Fatal(err)
	}
	violation := func(code string) client.Violation {
		return client.Violation{
			Codice: code, Rilevanza: "GRAVE", Posizione: "/InviaEventoRichiesta", Riga: 7, Descrizione: "perché " + canary,
			DescrizioneEN: "because", Regola: "BR-01", Riferimento: "https://hub.example/docs/codici#" + code,
		}
	}
	want := &client.FaultError{Status: 500, Refusal: client.Refusal{
		IDTransazione: "01900000-0000-7000-8000-000000000003", AnomalieTotali: 2,
		DataOra:  time.Date(2024, 4, 12, 8, 50, 4, 162e6, time.UTC),
		Anomalie: []client.Violation{violation("SINBA_301"), violation("SINBA_303")},
	}}
	if diff := cmp.Diff(want, fault); diff != "" {
		t.Error(diff)
	}
	if text := "client: HTTP 500 SINBA_301 SINBA_303 (transaction 01900000-0000-7000-8000-000000000003)"; err.Error() != text {
		t.Errorf("%v", err)
	}
}

// TestPausesGrowAndHonourRetryAfter has a jitter that is always the longest.
func TestPausesGrowAndHonourRetryAfter(t *testing.T) {
	t.Parallel()
	second := time.Second
	cases := []struct {
		name       string
		retryAfter func(now time.Time) string
		want       []time.Duration
	}{
		{"none", func(time.Time) string { return "" }, []time.Duration{second, 2 * second, 4 * second, 5 * second, 5 * second}},
		{"seconds", func(time.Time) string { return "3" }, []time.Duration{4 * second, 5 * second, 7 * second, 8 * second, 8 * second}},
		{"a past date", func(time.Time) string { return "Mon, 02 Jan 2006 15:04:05 GMT" }, []time.Duration{second, 2 * second, 4 * second, 5 * second, 5 * second}},
		{"longer than wanted", func(time.Time) string { return "6" }, nil},
		{"a number without end", func(time.Time) string { return "99999999999999999999" }, []time.Duration{second, 2 * second, 4 * second, 5 * second, 5 * second}},
		{"negative", func(time.Time) string { return "-1" }, []time.Duration{second, 2 * second, 4 * second, 5 * second, 5 * second}},
		{"words", func(time.Time) string { return canary }, []time.Duration{second, 2 * second, 4 * second, 5 * second, 5 * second}},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := play(t, func(w http.ResponseWriter, r *http.Request) {
				says(503, faultOf("SINBA_503"), "Retry-After", tt.retryAfter(time.Now()))(w, r)
			})
			c, at := h.connect(t, func(cfg *client.Config) {
				cfg.FirstPause, cfg.LongestPause, cfg.Attempts = second, 5*second, 6
			})
			_, err := c.InviaEvento(t.Context(), []byte(event))
			if !client.Temporary(err) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(tt.want, at.pauses); diff != "" {
				t.Error(diff)
			}
			if got := len(h.arrived()); got != len(tt.want)+1 {
				t.Errorf("%d attempts", got)
			}
			mustNotTell(t, err)
		})
	}
	h := play(t, func(w http.ResponseWriter, r *http.Request) {
		says(503, "", "Retry-After", time.Now().Add(20*second).UTC().Format(http.TimeFormat))(w, r)
	})
	c, at := h.connect(t, func(cfg *client.Config) { cfg.Attempts = 2 })
	_, err := c.InviaEvento(t.Context(), []byte(event))
	if len(at.pauses) != 1 || at.pauses[0] < 15*second {
		t.Errorf("a date ahead: pauses %v, %v", at.pauses, err)
	}
}

func TestPausesAreRandomBelowTheirBound(t *testing.T) {
	t.Parallel()
	h := play(t, says(503, ""))
	seen := map[time.Duration]bool{}
	for range 3 {
		c, err := client.New(client.Config{URL: h.URL, FirstPause: time.Second, LongestPause: 4 * time.Second, Attempts: 20})
		if err != nil {
			t.Fatal(err)
		}
		at := &clock{at: time.Now()}
		c.SetClock(at.now, at.wait)
		_, _ = c.InviaEvento(t.Context(), []byte(event))
		for i, pause := range at.pauses {
			if pause < 0 || pause > min(4*time.Second, time.Second<<i) {
				t.Errorf("pause %d is %v", i, pause)
			}
			seen[pause] = true
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d different pauses of 57", len(seen))
	}
}

func TestContextBoundsTheCall(t *testing.T) {
	t.Parallel()
	h := play(t, says(503, "", "Retry-After", "2"))
	c, at := h.connect(t)

	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.InviaEvento(short, []byte(event)); !client.Temporary(err) || len(at.pauses) != 0 {
		t.Errorf("a pause that outlives the context: %v %v", at.pauses, err)
	}

	ended, cancel := context.WithCancel(t.Context())
	c.SetClock(time.Now, func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() })
	_, err := c.InviaEvento(ended, []byte(event))
	unusable, ok := errors.AsType[*client.AnswerError](err)
	if !errors.Is(err, context.Canceled) || !ok || unusable.Status != 503 {
		t.Errorf("cancelled in a pause: %v", err)
	}
	before := len(h.arrived())
	if _, err := c.InviaEvento(ended, []byte(event)); !errors.Is(err, context.Canceled) || len(h.arrived()) != before {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := client.New(client.Config{URL: "http://127.0.0.1:1/"})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := c.Wait(t.Context(), time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("waited %v, %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := c.Wait(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("waited %v, %v", time.Since(begin), err)
		}
	})
}

func TestAttemptHasATimeoutOfItsOwn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hang := func(prefix string) answer {
		return func(w http.ResponseWriter, r *http.Request) {
			if prefix != "" {
				_, _ = w.Write([]byte(prefix))
				_ = http.NewResponseController(w).Flush()
			}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}
	h := play(t, hang(""), hang("<soap"), says(200, envelope(receiptOf(client.Duplicato))))
	t.Cleanup(func() { close(release) })
	c, _ := h.connect(t, func(cfg *client.Config) { cfg.Timeout = 300 * time.Millisecond })
	receipt, err := c.InviaEvento(t.Context(), []byte(event))
	if err != nil || receipt.Esito != client.Duplicato || len(h.arrived()) != 3 {
		t.Errorf("got %v %v after %d attempts", receipt, err, len(h.arrived()))
	}
}

func TestNobodyThereIsSaidAfterAllAttempts(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	c, err := client.New(client.Config{URL: "http://" + address, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	at := &clock{at: time.Now()}
	c.SetClock(at.now, at.wait)
	_, err = c.Echo(t.Context(), "")
	unusable, ok := errors.AsType[*client.AnswerError](err)
	if !ok || unusable.Reason != client.NoAnswer || unusable.Status != 0 || len(at.pauses) != 2 {
		t.Errorf("got %v after %v", err, at.pauses)
	}
	if network, ok := errors.AsType[*net.OpError](err); !ok || network.Op != "dial" {
		t.Errorf("the network's error is lost: %v", err)
	}
}

func TestManyCallAtOnce(t *testing.T) {
	t.Parallel()
	h := play(t, says(503, ""), says(503, ""), says(503, ""), says(200, envelope(receiptOf(client.Accettato))))
	c, _ := h.connect(t)
	errs := make(chan error, 50)
	for range cap(errs) {
		go func() {
			_, err := c.InviaEvento(t.Context(), []byte(event))
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(h.arrived()); n != 53 || !slices.ContainsFunc(h.arrived(), func(r request) bool { return r.body != "" }) {
		t.Errorf("%d requests", n)
	}
}

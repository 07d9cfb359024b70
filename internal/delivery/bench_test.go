package delivery_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/delivery"
	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/siss"
)

// BenchmarkDeliver carries a backlog of cases of four events each, in order, to a simulator that
// answers after so long; hub, simulator, jail and PostgreSQL share the processors. cpu-us/op is this
// process: the delivery and the simulator.
func BenchmarkDeliver(b *testing.B) {
	for _, ms := range []int{0, 1, 50} {
		b.Run(fmt.Sprintf("answer=%dms", ms), func(b *testing.B) {
			const events = 4
			w := newWorld(b)
			s, file := nation(b, siss.Faults{SlowMS: ms})
			var accepts sync.WaitGroup
			each := make(chan struct{}, 64)
			for from := 0; from < b.N; from += events {
				each <- struct{}{}
				accepts.Go(func() {
					for c := newChild(); int(c.taken) < min(events, b.N-from); {
						w.accept(b, c, nil)
					}
					<-each
				})
			}
			accepts.Wait()
			b.ResetTimer()
			before, began := cpu(b), time.Now()
			k := w.carry(b, s.URL(), func(c *delivery.Config) { *c = delivery.Config{Environment: c.Environment, URL: c.URL} })
			k.final(b, b.N)
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
			k.stop()
			inOrder(b, file)
		})
	}
}

// BenchmarkPoison offers events of as many cases at a steady rate, in five interleaved pairs of runs:
// without, and with one case whose first event SISS fails at every time. p99 is from acceptance to
// the settled delivery, of the other cases.
func BenchmarkPoison(b *testing.B) {
	const rounds = 5
	var with, without []float64
	for range rounds {
		without = append(without, p99(b, false))
		with = append(with, p99(b, true))
	}
	slices.Sort(with)
	slices.Sort(without)
	b.ReportMetric(without[rounds/2], "p99-ms-without")
	b.ReportMetric(with[rounds/2], "p99-ms-with")
	b.ReportMetric(with[rounds/2]/without[rounds/2], "ratio")
}

// p99 is that of b.N events in milliseconds, accepted one after the other at a steady rate.
func p99(b *testing.B, poisoned bool) float64 {
	b.Helper()
	const gap = 5 * time.Millisecond
	w := newWorld(b)
	var poison sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		id := between(string(request), "<IdTrasmissione>", "<")
		answer, status := message(esito(id, "ACCETTATO", protocol)), http.StatusOK
		if _, bad := poison.Load(id); bad {
			answer, status = message(fault("Receiver", detail("SISS_500"))), http.StatusInternalServerError
		}
		rw.Header().Set("Content-Type", xml12)
		rw.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, answer)
	}))
	defer server.Close()
	if poisoned {
		bad := newChild()
		poison.Store(w.accept(b, bad, nil).transmission.String(), true)
		for range 20 {
			w.accept(b, bad, nil)
		}
	}
	k := w.carry(b, server.URL, func(c *delivery.Config) { *c = delivery.Config{Environment: c.Environment, URL: c.URL} })
	defer k.stop()
	var mu sync.Mutex
	accepted := make(map[string]time.Time, b.N)
	took := make([]time.Duration, 0, b.N)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for a := range k.attempts {
			mu.Lock()
			at, mine := accepted[a.delivery]
			mu.Unlock()
			if mine && a.state == string(hub.Delivered) {
				if took = append(took, time.Since(at)); len(took) == b.N {
					return
				}
			}
		}
	}()
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for range b.N {
		<-tick.C
		id := uuid.New()
		mu.Lock()
		accepted[id.String()] = time.Now()
		mu.Unlock()
		w.acceptAs(b, newChild(), id, nil)
		k.Wake()
	}
	<-done
	slices.Sort(took)
	return float64(took[len(took)*99/100].Microseconds()) / 1000
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

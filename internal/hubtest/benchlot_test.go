//go:build bench

package hubtest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/pkg/soap"
)

// lotSize is how many events the lots of the measurement have.
const lotSize = 100

// TestBenchLot compares the processor time of an event in a lot of 100 with that of an event alone,
// in turns on one hub: singles over one connection, as a vendor without lots would send the same
// events, singles over many at once, which share transactions, and lots over one connection. Run it
// by `go test -tags bench -run TestBenchLot ./internal/hubtest`.
func TestBenchLot(t *testing.T) { //nolint:paralleltest // it measures the machine
	rounds, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS"))
	if err != nil {
		rounds = 5
	}
	folder := os.Getenv("BENCH_NEW")
	if folder == "" {
		folder = hubtest.Binaries(t)
	}
	b := startBench(t, folder)
	b.load(seconds("BENCH_WARMUP", 4))
	names := []string{"alone, 1 connection", "alone, 64 connections", "in lots, 1 connection"}
	sides := make([]series, len(names))
	for range rounds {
		for i := range names {
			b.awaitDelivered()
			var f figures
			switch i {
			case 0:
				f = b.send(seconds("BENCH_SECONDS", 8), 1, false)
			case 1:
				f = b.send(seconds("BENCH_SECONDS", 8), benchConnections, false)
			case 2:
				f = b.send(seconds("BENCH_SECONDS", 8), 1, true)
			}
			total := 0.0
			for _, p := range []string{"serve", "jail", "postgres"} {
				sides[i].put(p, f.cpu(p))
				total += f.cpu(p)
			}
			sides[i].put("hub+jail+postgres", total)
			sides[i].put("events/s", f.rate())
			sides[i].put("answer p50 us", float64(quantile(f.latencies, .5).Microseconds()))
		}
	}
	fmt.Printf("\n%d rounds, us of CPU an event until all are delivered, median (least to most)\n", rounds)
	for _, figure := range sides[0].names {
		for i, name := range names {
			fmt.Printf("%-18s %-24s %s\n", figure, name, spread(sides[i].values[figure], "%.0f"))
		}
		fmt.Printf("%-18s lots/alone by 1: %s, by 64: %s\n\n", figure,
			spread(ratios(sides[2].values[figure], sides[0].values[figure]), "%.3f"), spread(ratios(sides[2].values[figure], sides[1].values[figure]), "%.3f"))
	}
}

// awaitDelivered waits until nothing is left to deliver.
func (b *bench) awaitDelivered() {
	for b.count("SELECT count(*) FROM hub.delivery WHERE state NOT IN ('delivered', 'refused')") > 0 {
		<-time.After(50 * time.Millisecond)
	}
}

// send sends for so long, until all is delivered.
func (b *bench) send(d time.Duration, connections int, lots bool) figures {
	f := figures{before: b.usage()}
	var accepted atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range connections {
		wg.Go(func() {
			conn := b.dial()
			defer conn.close()
			for n := c; time.Since(begin) < d; n += connections {
				request, events := b.next(n), 1
				if lots {
					request, events = b.lot(n*lotSize), lotSize
				}
				start := time.Now()
				status, body, err := conn.post(request)
				if err != nil || status != http.StatusOK || bytes.Contains(body, []byte("<Errore>")) {
					b.t.Errorf("status %d, error %v: %.400s", status, err, body)
					return
				}
				mu.Lock()
				f.latencies = append(f.latencies, time.Since(start))
				mu.Unlock()
				accepted.Add(int64(events))
			}
		})
	}
	wg.Wait()
	f.took = time.Since(begin)
	b.awaitDelivered()
	f.after, f.accepted = b.usage(), accepted.Load()
	return f
}

// next is the next event of a case.
func (b *bench) next(n int) []byte {
	i := n % benchChildren
	return b.event(i, b.sequence[i].Add(1))
}

// lot has the events of so many cases from one on, in their order.
func (b *bench) lot(from int) []byte {
	document := []byte(`<InviaLottoRichiesta xmlns="urn:sinba:eventi:v1"><IdLotto>` + uuid.NewString() + `</IdLotto>`)
	for n := range lotSize {
		event := b.next(from + n)
		event = event[bytes.Index(event, []byte("<InviaEventoRichiesta")):bytes.LastIndex(event, []byte("</soap:Body>"))]
		document = append(document, bytes.ReplaceAll(event, []byte("InviaEventoRichiesta"), []byte("Evento"))...)
	}
	return soap.AppendEnvelope(nil, soap.V11, append(document, "</InviaLottoRichiesta>"...))
}

//go:build bench

package hubtest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
)

// sequencerSettles is how long a turn runs before it is measured: the sequencer, when it is let go on,
// has the entries of the turn before to give their leaves to.
const sequencerSettles = 2 * time.Second

// TestBenchSequencer measures what the sequencer adds to an exchange's latency: a steady load that leaves
// the machine idle time, with the sequencer at work and held in turns, in one run. It is held from outside,
// by the lock of the tree's head, under which it neither gives leaves nor signs. Run it by
// `go test -tags bench -run TestBenchSequencer -v ./internal/hubtest`.
func TestBenchSequencer(t *testing.T) { //nolint:paralleltest // it measures the machine
	whole := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	rounds, rate := whole("BENCH_ROUNDS", 6), whole("BENCH_RATE", 40)
	folder := os.Getenv("BENCH_NEW")
	if folder == "" {
		folder = hubtest.Binaries(t)
	}
	b := startBench(t, folder)
	b.steady(seconds("BENCH_WARMUP", 4), rate)
	turn := seconds("BENCH_SECONDS", 10)
	names := []string{"sequencer on", "sequencer held"}
	sides := make([]series, len(names))
	for round := range rounds {
		order := []int{0, 1}
		if round%2 == 1 {
			slices.Reverse(order) // what drifts with time drifts for both
		}
		for _, side := range order {
			release := func() {}
			if side == 1 {
				release = b.holdSequencer()
			}
			b.steady(sequencerSettles, rate)
			before := b.count("SELECT size FROM hub.journal_head")
			latencies := b.steady(turn, rate)
			grown := b.count("SELECT size FROM hub.journal_head") - before
			release()
			if (grown > 0) != (side == 0) {
				t.Fatalf("%s: the tree grew by %d", names[side], grown)
			}
			sides[side].put("events", float64(len(latencies)))
			for _, q := range []float64{.5, .9, .99} {
				sides[side].put(fmt.Sprintf("p%.0f us", q*100), float64(quantile(latencies, q).Microseconds()))
			}
		}
	}
	fmt.Printf("\n%d rounds of %v each, %d events/s, us of an exchange, median (least to most)\n", rounds, turn, rate)
	for _, figure := range sides[0].names {
		for i, name := range names {
			fmt.Printf("%-8s %-16s %s\n", figure, name, spread(sides[i].values[figure], "%.0f"))
		}
		fmt.Printf("%-8s %-16s %s\n\n", figure, "on/held", spread(ratios(sides[0].values[figure], sides[1].values[figure]), "%.3f"))
	}
}

// holdSequencer keeps the tree's head locked until release.
func (b *bench) holdSequencer() (release func()) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, b.hub.Run.DatabaseURL)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "BEGIN; SELECT size FROM hub.journal_head FOR UPDATE"); err != nil {
		b.t.Fatal(err)
	}
	return func() { _ = conn.Close(ctx) } // which ends the transaction
}

// steady sends events at a rate for so long, each at its time whether the one before was answered or not,
// as long as one of eight connections is free, and gives the latencies in order.
func (b *bench) steady(d time.Duration, rate int) []time.Duration {
	const connections = 8
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	begin := time.Now()
	gap := time.Second * connections / time.Duration(rate)
	for c := range connections {
		wg.Go(func() {
			conn := b.dial()
			defer conn.close()
			at := begin.Add(gap * time.Duration(c) / connections)
			for n := c; at.Sub(begin) < d; n, at = n+connections, at.Add(gap) {
				<-time.After(time.Until(at))
				request := b.next(n)
				start := time.Now()
				status, body, err := conn.post(request)
				if err != nil || status != http.StatusOK {
					b.t.Errorf("status %d, error %v: %.400s", status, err, body)
					return
				}
				mu.Lock()
				all = append(all, time.Since(start))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(all) == 0 {
		b.t.Fatal("nothing was sent")
	}
	slices.Sort(all)
	return all
}

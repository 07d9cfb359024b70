package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sinbahub/sinbahub/pkg/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a group until the test ends.
func start[Q, R any](t *testing.T, g *batch.Group[Q, R]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func TestEachCallerGetsItsOwnResult(t *testing.T) {
	t.Parallel()
	g := batch.New(8, func(_ context.Context, queries []int) []batch.Result[int] {
		results := make([]batch.Result[int], len(queries))
		for i, q := range queries {
			results[i] = batch.Result[int]{Value: q * q}
			if q%5 == 0 {
				results[i] = batch.Result[int]{Err: errors.New("five")}
			}
		}
		return results
	})
	start(t, g)
	var wg sync.WaitGroup
	for q := range 200 {
		wg.Go(func() {
			got, err := g.Do(t.Context(), q)
			if (err != nil) != (q%5 == 0) || err == nil && got != q*q {
				t.Errorf("Do(%d) = %d, %v", q, got, err)
			}
		})
	}
	wg.Wait()
}

func TestWhatWaitsSharesABatchUpToItsMost(t *testing.T) {
	t.Parallel()
	first, release := make(chan struct{}), make(chan struct{})
	var sizes []int
	g := batch.New(4, func(_ context.Context, queries []int) []batch.Result[int] {
		if len(sizes) == 0 {
			close(first)
			<-release
		}
		sizes = append(sizes, len(queries))
		return make([]batch.Result[int], len(queries))
	})
	stop := start(t, g)
	var wg sync.WaitGroup
	call := func() {
		wg.Go(func() {
			if _, err := g.Do(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	call()
	<-first
	for range 9 {
		call()
	}
	close(release)
	wg.Wait()
	stop()
	total := 0
	for _, n := range sizes {
		total += n
		if n > 4 {
			t.Errorf("a batch of %d, at most 4 were asked for", n)
		}
	}
	if total != 10 {
		t.Errorf("%d calls were served, want 10", total)
	}
}

// By the bubble's own clock.
func TestLingerWaitsForMoreCallsUnlessTheBatchIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		g := batch.New(3, func(_ context.Context, queries []int) []batch.Result[time.Duration] {
			answer := batch.Result[time.Duration]{Value: time.Since(begin)}
			return slices.Repeat([]batch.Result[time.Duration]{answer}, len(queries))
		}).Linger(10 * time.Millisecond)
		start(t, g)
		var wg sync.WaitGroup
		call := func(at, want time.Duration) {
			wg.Go(func() {
				<-time.After(at)
				if got, err := g.Do(t.Context(), 0); err != nil || got != want {
					t.Errorf("called at %v: answered at %v, want %v: %v", at, got, want, err)
				}
			})
		}
		call(1*time.Millisecond, 11*time.Millisecond)
		call(9*time.Millisecond, 11*time.Millisecond)
		call(20*time.Millisecond, 23*time.Millisecond)
		call(22*time.Millisecond, 23*time.Millisecond)
		call(23*time.Millisecond, 23*time.Millisecond)
		wg.Wait()
	})
}

func TestACallAfterTheEndIsRefused(t *testing.T) {
	t.Parallel()
	g := batch.New(1, func(_ context.Context, queries []int) []batch.Result[int] {
		return make([]batch.Result[int], len(queries))
	})
	start(t, g)()
	if _, err := g.Do(t.Context(), 1); !errors.Is(err, batch.ErrClosed) {
		// One call may still find a place in the queue; it must not wait for ever.
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestACallerThatLeavesDoesNotHoldTheBatch(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	g := batch.New(1, func(_ context.Context, queries []int) []batch.Result[int] {
		close(begun)
		<-release
		return make([]batch.Result[int], len(queries))
	})
	start(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := g.Do(ctx, 1)
		done <- err
	}()
	<-begun
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the caller's own end", err)
	}
	close(release)
}

// By the bubble's own clock: a lone caller waits for nobody, whoever comes after a crowd does.
func TestLingerInCrowdWaitsOnlyAfterACrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		g := batch.New(8, func(_ context.Context, queries []int) []batch.Result[time.Duration] {
			answer := batch.Result[time.Duration]{Value: time.Since(begin)}
			<-time.After(5 * time.Millisecond)
			return slices.Repeat([]batch.Result[time.Duration]{answer}, len(queries))
		}).LingerInCrowd(10*time.Millisecond, 3)
		start(t, g)
		var wg sync.WaitGroup
		call := func(at, want int) { // milliseconds
			wg.Go(func() {
				<-time.After(time.Duration(at) * time.Millisecond)
				if got, err := g.Do(t.Context(), 0); err != nil || got.Milliseconds() != int64(want) {
					t.Errorf("called at %v: served at %v, want %d ms: %v", at, got, want, err)
				}
			})
		}
		call(1, 1) // alone: at once
		for range 3 {
			call(2, 6) // these wait while the first is served, and are a crowd
		}
		call(8, 21) // after a crowd: the batch waits ten milliseconds for more
		call(30, 30)
		wg.Wait()
	})
}

// TestACallerThatHasLeftBeginsNothing: otherwise chance would say whether its call is carried out.
func TestACallerThatHasLeftBeginsNothing(t *testing.T) {
	t.Parallel()
	g := batch.New(8, func(_ context.Context, queries []int) []batch.Result[int] {
		if queries[0] != -1 {
			t.Errorf("%d was begun", queries[0])
		}
		return make([]batch.Result[int], len(queries))
	})
	start(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for q := range 100 {
		if _, err := g.Do(t.Context(), -1); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Do(ctx, q); !errors.Is(err, context.Canceled) {
			t.Errorf("Do(%d): %v", q, err)
		}
	}
}

// TestQueriesOfOneCallerStandTogetherInTheirOrder: whoever else calls meanwhile.
func TestQueriesOfOneCallerStandTogetherInTheirOrder(t *testing.T) {
	t.Parallel()
	const most, callers = 8, 60
	g := batch.New(most, func(_ context.Context, queries [][2]int) []batch.Result[int] {
		if len(queries) > most {
			t.Errorf("a batch of %d, at most %d were asked for", len(queries), most)
		}
		results := make([]batch.Result[int], len(queries))
		for i, q := range queries {
			results[i].Value = 1000*q[0] + q[1]
			// The first seven of a caller go together.
			if q[1] > 0 && q[1] < 7 && (i == 0 || queries[i-1] != [2]int{q[0], q[1] - 1}) {
				t.Errorf("%v does not follow its caller's", q)
			}
		}
		return results
	})
	start(t, g)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			queries := make([][2]int, 7*(1+c%2)) // more than one batch, too
			for i := range queries {
				queries[i] = [2]int{c, i}
			}
			results := g.DoAll(t.Context(), queries)
			if len(results) != len(queries) {
				t.Fatalf("%d results", len(results))
			}
			for i, r := range results {
				if r.Err != nil || r.Value != 1000*c+i {
					t.Errorf("caller %d, query %d: %+v", c, i, r)
				}
			}
			if got, err := g.Do(t.Context(), [2]int{c, 0}); err != nil || got != 1000*c {
				t.Errorf("alone: %d, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// TestEveryQueryOfACallerHasItsResult, also when nothing is run, and none for none.
func TestEveryQueryOfACallerHasItsResult(t *testing.T) {
	t.Parallel()
	g := batch.New(2, func(_ context.Context, queries []int) []batch.Result[int] {
		return make([]batch.Result[int], len(queries))
	})
	stop := start(t, g)
	if got := g.DoAll(t.Context(), nil); len(got) != 0 {
		t.Errorf("%d results for nothing", len(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range g.DoAll(ctx, make([]int, 5)) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("got %v", r.Err)
		}
	}
	stop()
	if got := g.DoAll(t.Context(), make([]int, 5)); len(got) != 5 || !errors.Is(got[4].Err, batch.ErrClosed) {
		t.Errorf("got %+v", got)
	}
}

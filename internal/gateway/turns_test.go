package gateway_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// inside counts how many turns of a size a participant gets before it has to wait, and ends them.
func inside(t *testing.T, turns gateway.Turns, participant int32, bytes int) int {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var ends []func(bool)
	for {
		end, err := turns.Begin(ended, participant, bytes)
		if err != nil {
			break
		}
		ends = append(ends, end)
	}
	if n := turns.Waiting(participant); n != 0 {
		t.Errorf("%d wait who gave up", n)
	}
	for _, end := range ends {
		end(true)
		end(true) // counts once
	}
	return len(ends)
}

// refuse begins and ends as many turns, as of documents that were refused.
func refuse(t *testing.T, turns gateway.Turns, participant int32, bytes, n int) {
	t.Helper()
	for range n {
		end, err := turns.Begin(t.Context(), participant, bytes)
		if err != nil {
			t.Fatal(err)
		}
		end(false)
	}
}

func TestTurnsBySizeOfTheDocument(t *testing.T) {
	t.Parallel()
	turns := gateway.NewTurns(64, 4)
	for _, tt := range []struct{ bytes, want int }{
		{1, 64},
		{validator.BigDocument, 64},
		{validator.BigDocument + 1, 3},
		{validator.LargeDocument, 3},
		{validator.LargeDocument + 1, 1},
		{2 << 20, 1},
	} {
		if n := inside(t, turns, 1, tt.bytes); n != tt.want {
			t.Errorf("%d documents of %d bytes at once, not %d", n, tt.bytes, tt.want)
		}
	}
	if n := inside(t, gateway.NewTurns(1, 1), 1, validator.BigDocument+1); n != 1 {
		t.Errorf("%d big documents at once on one processor", n)
	}
}

// TestRefusalsMakeTurnsFew: and good documents many again; other participants notice neither.
func TestRefusalsMakeTurnsFew(t *testing.T) {
	t.Parallel()
	turns := gateway.NewTurns(64, 4)
	refuse(t, turns, 1, 100, 100)
	// Each try that succeeds makes room for one more.
	if n := inside(t, turns, 1, 100); n != 1 {
		t.Errorf("%d at once after nothing but refusals", n)
	}
	if n := inside(t, turns, 2, 100); n != 64 {
		t.Errorf("another participant has %d at once", n)
	}
	if n := inside(t, turns, 1, validator.LargeDocument+1); n != 1 {
		t.Errorf("%d large ones at once", n)
	}
	for range 100 {
		end, err := turns.Begin(t.Context(), 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		end(true)
	}
	if n := inside(t, turns, 1, 100); n != 64 {
		t.Errorf("%d at once after a hundred good ones", n)
	}
	refuse(t, turns, 1, 100, 1)
	if n := inside(t, turns, 1, 100); n != 32 {
		t.Errorf("%d at once after one refusal among good ones", n)
	}
}

// TestWaitingForATurn: whoever waits gets one in the order of coming, and who gives up takes none.
func TestWaitingForATurn(t *testing.T) {
	t.Parallel()
	turns := gateway.NewTurns(64, 2)
	const bytes = validator.LargeDocument + 1
	end, err := turns.Begin(t.Context(), 1, bytes)
	if err != nil {
		t.Fatal(err)
	}
	impatient, giveUp := context.WithCancel(t.Context())
	order := make(chan int, 3)
	var all sync.WaitGroup
	for i := range 3 {
		ctx := t.Context()
		if i == 1 {
			ctx = impatient
		}
		all.Go(func() {
			end, err := turns.Begin(ctx, 1, bytes)
			if err != nil {
				order <- -i
				return
			}
			order <- i
			end(i == 0)
		})
		for turns.Waiting(1) != i+1 {
			runtime.Gosched()
		}
	}
	giveUp()
	if got := <-order; got != -1 {
		t.Fatalf("%d came first", got)
	}
	end(true)
	for _, want := range []int{0, 2} {
		if got := <-order; got != want {
			t.Errorf("%d came instead of %d", got, want)
		}
	}
	all.Wait()
	if n := inside(t, turns, 1, bytes); n != 1 {
		t.Errorf("%d turns are left of one", n)
	}
}

// TestTurnsUnderRaces: however many come, give up and are refused, no turn is lost or doubled.
func TestTurnsUnderRaces(t *testing.T) {
	t.Parallel()
	turns := gateway.NewTurns(8, 2)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			if i%3 == 0 {
				go cancel()
			}
			defer cancel()
			end, err := turns.Begin(ctx, 1, 100)
			if err != nil {
				return
			}
			runtime.Gosched()
			end(i%5 != 0)
		})
	}
	all.Wait()
	for range 8 {
		refuse(t, turns, 1, 100, 1)
	}
	if n := inside(t, turns, 1, 100); n != 1 {
		t.Errorf("%d at once after nothing but refusals", n)
	}
}

// TestTurnIsRefusedWhenItsSendersOthersTakeTooLong in a bubble's time: after ten seconds, and not
// when the sender left or another was in time.
func TestTurnIsRefusedWhenItsSendersOthersTakeTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := gateway.NewTurns(64, 2)
		end, err := turns.Begin(t.Context(), 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := turns.Begin(t.Context(), 1, 1<<20); !errors.Is(err, gateway.ErrImpatient) || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		left, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := turns.Begin(left, 1, 1<<20); err == nil || errors.Is(err, gateway.ErrImpatient) {
			t.Errorf("of a sender that left: %v", err)
		}
		time.AfterFunc(9*time.Second, func() { end(true) })
		if end, err = turns.Begin(t.Context(), 1, 1<<20); err != nil {
			t.Errorf("in time: %v", err)
		}
		end(true)
		if n := turns.Waiting(1); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}

package delivery_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/delivery"
)

// drive asks for tokens as the claim loop does, for some seconds of a door that accepts that
// many events each second, and gives the tokens per second of the last of them.
func drive(p delivery.Pace, from time.Time, seconds int, perSecond int64) (rate float64, end time.Time) {
	const step = 10 * time.Millisecond
	now, owed := from, int64(0)
	for second := range seconds {
		got := 0
		for range int(time.Second / step) {
			now = now.Add(step)
			owed += perSecond
			p.Accepted(owed / 100)
			owed %= 100
			for range 100 {
				n, again := p.Allow(now, 128)
				got += n
				if n == 0 && again > 0 {
					break
				}
			}
		}
		if second == seconds-1 {
			rate = float64(got)
		}
	}
	return rate, now
}

func TestPaceFollowsTheDoor(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for accepts, want := range map[int64]float64{
		3500: 3850, // 1.1 times the door
		2000: 2200,
		1000: 2000, // what the door leaves of 3,000
		100:  2900,
	} {
		got, _ := drive(delivery.NewPace(0, 3000, 128, start), start, 10, accepts)
		if math.Abs(got-want) > want/20 {
			t.Errorf("door %d/s: delivery %.0f/s, want %.0f", accepts, got, want)
		}
	}
}

func TestPaceIsFreeWhenTheDoorIsIdle(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	p := delivery.NewPace(0, 3000, 128, start)
	if got, _ := drive(p, start, 1, 0); got < 100_000 {
		t.Errorf("idle: %.0f/s", got)
	}
	_, now := drive(p, start.Add(time.Second), 5, 2000)
	if got, _ := drive(p, now, 20, 0); got < 100_000 {
		t.Errorf("idle again: %.0f/s", got)
	}
}

func TestPaceNeverExceedsTheAgreedRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		most := rapid.Float64Range(1, 500).Draw(t, "most")
		p := delivery.NewPace(most, 3000, 128, start)
		now, got := start, 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			p.Accepted(rapid.Int64Range(0, 1000).Draw(t, "accepted"))
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(500*time.Millisecond)).Draw(t, "passed")))
			want := rapid.IntRange(1, 128).Draw(t, "want")
			n, again := p.Allow(now, want)
			if n < 0 || n > want || n == 0 && again <= 0 {
				t.Fatalf("got %d of %d, again in %v", n, want, again)
			}
			got += n
		}
		// The bucket begins full: that is the only advance.
		if limit := 128 + most*now.Sub(start).Seconds() + most*0.25; float64(got) > limit {
			t.Fatalf("%d in %v at %.1f/s", got, now.Sub(start), most)
		}
	})
}

// What a refused caller is told must be true: at that time there is something for it.
func TestPaceKeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		p := delivery.NewPace(rapid.Float64Range(0.5, 5000).Draw(t, "most"), 3000, 128, start)
		now := start
		for range 300 {
			n, again := p.Allow(now, 128)
			if n > 0 {
				continue
			}
			now = now.Add(again + time.Microsecond)
			if n, _ := p.Allow(now, 128); n == 0 {
				t.Fatalf("nothing after %v", again)
			}
		}
	})
}

func TestBackoffDoublesUpToItsMost(t *testing.T) {
	t.Parallel()
	for attempt, want := range map[int32]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 10: 512 * time.Second,
		11: 15 * time.Minute, 41: 15 * time.Minute, 60: 15 * time.Minute, math.MaxInt32: 15 * time.Minute,
	} {
		if got := delivery.Backoff(attempt, time.Second, 15*time.Minute, 1); got != want {
			t.Errorf("attempt %d: %v, want %v", attempt, got, want)
		}
		if got := delivery.Backoff(attempt, time.Second, 15*time.Minute, 0.5); got != want/2 {
			t.Errorf("attempt %d, half: %v, want %v", attempt, got, want/2)
		}
	}
}

package app_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/app"
)

// What lies between the two sides of a limit leaves the door as it is.
func TestLimitsHaveTwoSides(t *testing.T) {
	t.Parallel()
	memory, disk := app.NewLatch(), app.NewLatch()
	var got []bool
	for _, value := range []uint64{0, 99, 100, 200, 80, 75, 74, 99, 100} {
		got = append(got, memory.Above(value, 100, 75))
	}
	if want := []bool{false, false, true, true, true, true, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("above: %v, want %v", got, want)
	}
	got = nil
	for _, value := range []uint64{200, 100, 99, 0, 149, 150, 100, 99} {
		got = append(got, disk.Below(value, 100, 150))
	}
	if want := []bool{false, false, true, true, true, false, false, true}; !slices.Equal(got, want) {
		t.Errorf("below: %v, want %v", got, want)
	}
	if memory.Above(1<<60, 0, 0) {
		t.Error("a limit of 0 closes")
	}
}

// A value that wavers around one side of a limit moves the door at most once.
func TestLimitsDoNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Uint64Range(100, 1<<40).Draw(t, "limit")
		around := rapid.SampledFrom([]uint64{limit, limit / 4 * 3}).Draw(t, "side")
		door, moves, last := app.NewLatch(), 0, false
		for _, off := range rapid.SliceOfN(rapid.Uint64Range(0, 20), 2, 40).Draw(t, "values") {
			if now := door.Above(around+off-10, limit, limit/4*3); now != last {
				moves, last = moves+1, now
			}
		}
		if moves > 1 {
			t.Errorf("moved %d times around %d of %d", moves, around, limit)
		}
	})
}

func TestUntilIsADurationOrAnInstant(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"90m":                       now.Add(90 * time.Minute),
		"2026-11-22T13:30:00+01:00": time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC),
		"2026-11-22T14:30":          time.Date(2026, 11, 22, 14, 30, 0, 0, time.Local).UTC(),
	} {
		if got, err := app.ParseUntil(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"0s", "-2h", "domani", "14:30", "2026-13-01T00:00"} {
		if got, err := app.ParseUntil(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

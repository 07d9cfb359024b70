package gateway_test

import (
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/gateway"
	"github.com/sinbahub/sinbahub/internal/hub"
)

// Short of memory, a hub reads what could be a question and not what could only be events.
func TestClosedForMemoryReadsNoLargeBody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reason gateway.ClosedReason
		length int64
		taken  bool
	}{
		{gateway.ClosedMemory, 0, true},
		{gateway.ClosedMemory, 16 << 10, true},
		{gateway.ClosedMemory, 16<<10 + 1, false},
		{gateway.ClosedMemory, -1, false},
		{gateway.ClosedDisk, 2 << 20, true},
		{"", -1, true},
	} {
		if got := gateway.Spared(gateway.Closure{Reason: test.reason}, test.length); got == nil != test.taken {
			t.Errorf("%s with %d bytes: %v", test.reason, test.length, got)
		}
	}
}

// Senders are spread, and those who wait for the end of a long maintenance look in every half hour.
func TestClosedDoorSpreadsWhoComesBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left, least, most time.Duration
	}{
		"nobody knows":  {0, 30 * time.Second, 90 * time.Second},
		"soon":          {time.Millisecond, time.Second, 7 * time.Second},
		"ten minutes":   {10 * time.Minute, 10 * time.Minute, 12*time.Minute + 6*time.Second},
		"a whole night": {10 * time.Hour, 30 * time.Minute, 36*time.Minute + 6*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[time.Duration]bool{}
			for range 200 {
				got := gateway.RefusalOf(gateway.Closure{Reason: gateway.ClosedMaintenance, Text: "prova", RetryAfter: test.left})
				seen[got.RetryAfter] = true
				if got.RetryAfter < test.least || got.RetryAfter > test.most || got.Note != "prova" || got.Public[0].Code != hub.CodeMaintenance {
					t.Fatalf("%+v", got)
				}
			}
			if len(seen) < 2 {
				t.Errorf("all come back after %v", seen)
			}
		})
	}
}

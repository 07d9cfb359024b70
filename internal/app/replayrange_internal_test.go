package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/ticket"
)

// TestReplayNamesBothRanges asks for more than a ticket allows.
func TestReplayNamesBothRanges(t *testing.T) {
	t.Parallel()
	const from, to = "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"
	r := replayRun{o: ReplayOptions{From: from, To: to}}
	r.ticket.Scope = ticket.Scope{
		Kind: ticket.Entries, From: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC),
	}
	err := r.findRange()
	if !errors.Is(err, errReplayScope) {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-03-02T00:00:00Z to 2026-03-09T00:00:00Z", from + " to " + to} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not name %s", err, want)
		}
	}
}

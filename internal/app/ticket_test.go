package app_test

import (
	"testing"
	"time"

	"github.com/sinbahub/sinbahub/internal/app"
	"github.com/sinbahub/sinbahub/internal/ticket"
)

// TestATicketsRangeIsWrittenAsTheReplays: the days of `replay verify --from --to` are those of its ticket, so that
// nobody has to work out when an Italian day begins.
func TestATicketsRangeIsWrittenAsTheReplays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, begin, end string }{
		"days":     {"2026-03-01", "2026-03-31", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},
		"one day":  {"2026-11-22", "2026-11-22", "2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"},
		"instants": {"2026-03-01T08:00:00+01:00", "2026-03-01T09:00:00.000001Z", "2026-03-01T07:00:00Z", "2026-03-01T09:00:00.000001Z"},
	} {
		s, err := app.ScopeOf(ticket.Replay, []string{c.from, c.to})
		if err != nil || s.Kind != ticket.Entries || s.From.Format(time.RFC3339Nano) != c.begin || s.To.Format(time.RFC3339Nano) != c.end {
			t.Errorf("%s: %v to %v, %v", name, s.From, s.To, err)
		}
	}
	for name, words := range map[string][]string{
		"no day": {"2026-02-30", "2026-03-01"}, "backwards": {"2026-03-02", "2026-03-01"}, "one end": {"2026-03-02"}, "no words": {"", ""},
	} {
		if s, err := app.ScopeOf(ticket.Replay, words); err == nil {
			t.Errorf("%s is taken: %+v", name, s)
		}
	}
}

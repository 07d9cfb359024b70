package app

import (
	"fmt"
	"io"
	"time"
)

// meter shows a person how far something is and how long it will take, in one line that is written again.
type meter struct {
	out   io.Writer
	now   func() time.Time
	since time.Time
	from  int64
	shown time.Time
}

// newMeter begins one.
func newMeter(out io.Writer, now func() time.Time) *meter {
	return &meter{out: out, now: now, from: -1}
}

// show tells how much of all is done, at most five times a second, and the end always.
func (m *meter) show(done, total int64) {
	now := m.now()
	if m.from < 0 {
		m.from, m.since = done, now
	}
	if done < total && now.Sub(m.shown) < 200*time.Millisecond {
		return
	}
	m.shown = now
	percent := int64(100)
	if total > 0 {
		percent = 100 * done / total
	}
	rate, left := "", ""
	if spent := now.Sub(m.since); spent > 0 && done > m.from {
		perSecond := float64(done-m.from) / spent.Seconds()
		rate = fmt.Sprintf("  %.0f/s", perSecond)
		left = "  " + time.Duration(float64(total-done)/perSecond*float64(time.Second)).Round(time.Second).String() + " left"
	}
	_, _ = fmt.Fprintf(m.out, "\r[%s] %3d%%  %d/%d%s%s   ", barOf(done, total), percent, done, total, rate, left)
	if done >= total {
		_, _ = fmt.Fprintln(m.out)
	}
}

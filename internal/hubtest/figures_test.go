//go:build smoke

package hubtest_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scale is how often a campaign does what it is for: the short form, or what the environment variable
// SINBAHUB_TEST_name says.
func scale(t *testing.T, name string, short int) int {
	t.Helper()
	text := os.Getenv("SINBAHUB_TEST_" + name)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SINBAHUB_TEST_%s is no number above 0", name)
	}
	return n
}

// budget gives a question that is true once SINBAHUB_TEST_MINUTES have passed, for campaigns that must
// end before they have done all: what they did until then is checked and told.
func budget(t *testing.T) (spent func() bool) {
	t.Helper()
	text := os.Getenv("SINBAHUB_TEST_MINUTES")
	if text == "" {
		return func() bool { return false }
	}
	minutes, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("SINBAHUB_TEST_MINUTES is no number")
	}
	until := time.Now().Add(time.Duration(minutes) * time.Minute)
	return func() bool { return time.Now().After(until) }
}

// table is what a campaign prints, ready for deploy/docs/reliability.md.
type table struct {
	title string
	lines []string
}

func newTable(format string, args ...any) *table {
	return &table{title: fmt.Sprintf(format, args...)}
}

// row adds a figure and what was asked for, which may be empty.
func (tab *table) row(what, asked, format string, args ...any) {
	tab.lines = append(tab.lines, "| "+what+" | "+asked+" | "+fmt.Sprintf(format, args...)+" |")
}

// print shows it in the test's log.
func (tab *table) print(t *testing.T) {
	t.Helper()
	t.Logf("%s\n\n| figure | asked | measured |\n|---|---|---|\n%s\n", tab.title, strings.Join(tab.lines, "\n"))
}

// outOf tells a count of failures in n trials. None bounds their rate at 3/n with 95 % confidence (rule
// of three), and no number of trials makes it nought.
func outOf(failures, n int) string {
	if failures > 0 || n == 0 {
		return fmt.Sprintf("%d in %d", failures, n)
	}
	return fmt.Sprintf("0 in %d (rate below 3/n = %.2g %%)", n, min(100, 300/float64(n)))
}

// quantiles tells the middle, the 99th percentile and the longest.
func quantiles(all []time.Duration) string {
	figure := func(q float64) time.Duration { return quantile(all, q).Round(time.Millisecond) }
	return fmt.Sprintf("p50 %v, p99 %v, longest %v", figure(.5), figure(.99), figure(1))
}

// findingsRows adds what the checker found to a table.
func (tab *table) findingsRows(f findings, receipts, trials int) {
	tab.row("lost", "0", "%s receipts", outOf(len(f[findLost]), receipts))
	tab.row("doubled, by transmission id or re-keyed event id", "0", "%s receipts", outOf(len(f[findDoubled]), receipts))
	tab.row("acceptances and attempts without their journal entry, or the reverse", "0", "%d", len(f[findUnjournalled]))
	tab.row("events of a case out of order at SISS", "0", "%d", len(f[findDisordered]))
	tab.row("identities in logs or at SISS", "0", "%d", len(f[findClear]))
	if trials > 0 {
		tab.row("trials with any of these", "0", "%s", outOf(min(trials, len(f)), trials))
	}
}

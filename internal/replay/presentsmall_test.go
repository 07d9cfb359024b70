package replay_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/replay"
)

// world are messages by what became of them: how many are unchanged, fail by one reason, the other or both, come
// out different, do both (for the nation they fail), are not tried.
type world struct {
	unchanged, failA, failB, failAB, differ, failADiffer, failBDiffer, failABDiffer, gone int64
}

// figures are the sender's seven numbers and its four lines'; a line of nothing is not there.
type figures [11]int64

// figures are those of a world.
func (w *world) figures() figures {
	both := w.failADiffer + w.failBDiffer + w.failABDiffer
	fails := w.failA + w.failB + w.failAB + both
	return figures{
		w.unchanged + fails + w.differ + w.gone, w.unchanged, fails, w.differ, w.gone, 0, 0,
		w.failA + w.failAB + w.failADiffer + w.failABDiffer, w.failB + w.failAB + w.failBDiffer + w.failABDiffer, w.differ + both, w.gone,
	}
}

// report makes the report of a world.
func (w *world) report() *replay.WhatIfReport {
	s, f := replay.Sender{Participant: "SDS-EM", Product: "P"}, w.figures()
	r := &replay.WhatIfReport{Senders: []replay.Tally{{
		Sender: s, Messages: f[0], Unchanged: f[1], Fails: f[2], Different: f[3], NotTried: f[4],
	}}}
	for i, l := range []replay.Line{
		{Effect: replay.NewlyFails, Path: "/a"},
		{Effect: replay.NewlyFails, Path: "/b"},
		{Effect: replay.ComesOutDifferent, Path: "/c"},
		{Effect: replay.NotTried},
	} {
		if n := f[7+i]; n > 0 {
			l.Sender = s
			r.Lines = append(r.Lines, replay.Counted{Line: l, Messages: n})
		}
	}
	return r
}

// untold stands for a number that a report does not tell.
const untold = -1

// shown reads the figures of a report's CSV.
func shown(t rapid.TB, r *replay.WhatIfReport, least int64) (told figures) {
	var table bytes.Buffer
	p := &replay.Presented{WhatIfReport: r, Least: least}
	if err := p.CSV(&table); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{"newly_fails/a": 7, "newly_fails/b": 8, "comes_out_different/c": 9, "not_tried": 10}
	for i, row := range rows[1:] {
		if i >= 7 {
			i = lines[row[2]+row[6]]
		}
		told[i] = untold
		if row[8] != "-" {
			if told[i], err = strconv.ParseInt(row[8], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return told
}

// A reader of a what-if report who tries all that may have become of the messages, and keeps what agrees with
// the report, finds no small number: at least three values are possible for each.
func TestNoSmallNumberOfAReportCanBeComputed(t *testing.T) {
	t.Parallel()
	const least = 3
	rapid.Check(t, func(t *rapid.T) {
		few := func(name string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
		w := world{
			unchanged: few("unchanged", 9), failA: few("fail by a", 4), failB: few("by b", 4), failAB: few("by both", 2),
			differ: few("differ", 5), failADiffer: few("fail by a and differ", 2), failBDiffer: few("by b", 2), gone: 1 + few("gone", 4),
		}
		checkTold(t, w, least)
	})
}

// A difference of more messages than come out different says how many of those that fail it has at least.
func TestADifferenceDoesNotTellWhatFails(t *testing.T) {
	t.Parallel()
	checkTold(t, world{unchanged: 2, failADiffer: 2, differ: 3}, 3)
	checkTold(t, world{unchanged: 2, failADiffer: 2, differ: 3, gone: 20}, 3)
}

// checkTold fails if a small number is told or can be computed.
func checkTold(t rapid.TB, w world, least int) {
	t.Helper()
	told, truth := shown(t, w.report(), int64(least)), w.figures()
	small := []int{}
	for i, n := range truth {
		if told[i] != untold && told[i] != n {
			t.Fatalf("%d is told as %d", n, told[i])
		}
		if 0 < n && n < int64(least) {
			small = append(small, i)
		}
	}
	possible := guess(w, told, small, least)
	for _, i := range small {
		if len(possible[i]) < least {
			t.Fatalf("%v told as %v: number %d can only be one of %v", truth, told, i, possible[i])
		}
	}
}

// guess tries worlds near one, the nearest first, until those that agree with a report leave enough values for
// each small number, and gives the values.
func guess(w world, told figures, small []int, least int) []map[int64]bool {
	possible := make([]map[int64]bool, len(told))
	for i := range possible {
		possible[i] = map[int64]bool{}
	}
	parts := []*int64{&w.unchanged, &w.failA, &w.failB, &w.failAB, &w.differ, &w.failADiffer, &w.failBDiffer, &w.failABDiffer, &w.gone}
	var try func(at int) (enough bool)
	try = func(at int) bool {
		if at == len(parts) {
			found := w.figures()
			for i, n := range found {
				if told[i] == untold && n == 0 || told[i] != untold && told[i] != n {
					return false
				}
			}
			for i, n := range found {
				possible[i][n] = true
			}
			return !slices.ContainsFunc(small, func(i int) bool { return len(possible[i]) < least })
		}
		old := *parts[at]
		defer func() { *parts[at] = old }()
		for _, step := range []int64{0, 1, -1, 2, -2} {
			if *parts[at] = old + step; *parts[at] >= 0 && try(at+1) {
				return true
			}
		}
		return false
	}
	try(0)
	return possible
}

// Numbers that are not small are told, and a report says what a dash is.
func TestAReportTellsWhatItMay(t *testing.T) {
	t.Parallel()
	w := world{unchanged: 90, failA: 12, failB: 7, failAB: 3, differ: 8}
	var table, page bytes.Buffer
	p := &replay.Presented{WhatIfReport: w.report()}
	if err := p.CSV(&table); err != nil {
		t.Fatal(err)
	}
	if err := p.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table.String(), ",-\n") || !strings.Contains(table.String(), ",15\n") {
		t.Errorf("%s", table.String())
	}
	if !strings.Contains(page.String(), "from 1 to 4") {
		t.Error("the page does not say what a dash is")
	}
}

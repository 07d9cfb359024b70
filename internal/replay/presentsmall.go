package replay

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/sinbahub/sinbahub/internal/smallnumbers"
)

// untold stands for a number that must not be told.
const untold = "-"

// told are the texts of a report's numbers. This is the one place where they become text.
type told struct {
	// sums are those of each sender, in the order of sumNames, lines those of each line.
	sums  [][]string
	lines []string
}

// sumNames are a sender's numbers that are told.
func sumNames() []string {
	return []string{
		"messages", string(Unchanged), string(NewlyFails), string(ComesOutDifferent), string(NotTried), "refused", string(MayNewlyPass),
	}
}

// cells are a sender's numbers in the order of sumNames, and behind them the refused that cannot pass, which are
// not told and easily computed.
func (t *Tally) cells() []int64 {
	return []int64{t.Messages, t.Unchanged, t.Fails, t.Different, t.NotTried, t.Refused, t.MayPass, t.Refused - t.MayPass}
}

// The places in cells of what has lines.
const (
	cellFails = 2 + iota
	cellDifferent
	cellNotTried
	cellRefused
	cellMayPass
	cellStays
)

// sumsOf are the sums of a sender's numbers, with its lines behind them: messages are what became of them, and
// each effect's number is covered by its lines, which overlap where a message is in several.
func sumsOf(lines map[Effect][]int) []smallnumbers.Sum {
	sums := []smallnumbers.Sum{
		{Total: 0, Parts: []int{1, cellFails, cellDifferent, cellNotTried}},
		{Total: cellRefused, Parts: []int{cellMayPass, cellStays}},
	}
	for _, e := range []struct {
		effect Effect
		total  int
	}{{NewlyFails, cellFails}, {ComesOutDifferent, cellDifferent}, {NotTried, cellNotTried}, {MayNewlyPass, cellMayPass}} {
		if len(lines[e.effect]) > 0 {
			sums = append(sums, smallnumbers.Sum{Total: e.total, Parts: lines[e.effect], Overlap: true})
		}
	}
	return sums
}

// least is the number from which a count is told.
func (p *Presented) least() int64 { return cmp.Or(p.Least, smallnumbers.Least) }

// tell gives the texts of all numbers, each sender's judged together.
func (p *Presented) tell() told {
	t := told{lines: make([]string, len(p.Lines))}
	of := map[Sender][]int{}
	for i := range p.Lines {
		t.lines[i] = untold // of a sender that has no sums
		of[p.Lines[i].Sender] = append(of[p.Lines[i].Sender], i)
	}
	for i := range p.Senders {
		t.sums = append(t.sums, p.tellSender(&p.Senders[i], of[p.Senders[i].Sender], t.lines))
	}
	return t
}

// tellSender gives the texts of a sender's sums, and sets those of its lines.
func (p *Presented) tellSender(s *Tally, lines []int, texts []string) []string {
	cells := s.cells()
	first := len(cells)
	of := map[Effect][]int{}
	for _, i := range lines {
		of[p.Lines[i].Effect] = append(of[p.Lines[i].Effect], len(cells))
		cells = append(cells, p.Lines[i].Messages)
	}
	hidden := smallnumbers.Suppress(cells, sumsOf(of), p.least())
	if slices.ContainsFunc(append(of[NewlyFails], cellFails), func(i int) bool { return hidden[i] }) {
		// Messages that fail may have differences, too. A difference of more messages than come out different
		// tells how many such there are at least.
		for _, i := range of[ComesOutDifferent] {
			hidden[i] = hidden[i] || cells[i] > cells[cellDifferent]
		}
	}
	text := func(i int) string {
		if hidden[i] {
			return untold
		}
		return strconv.FormatInt(cells[i], 10)
	}
	for k, i := range lines {
		texts[i] = text(first + k)
	}
	sums := make([]string, len(sumNames()))
	for i := range sums {
		sums[i] = text(i)
	}
	return sums
}

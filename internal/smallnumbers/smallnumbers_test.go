package smallnumbers_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sinbahub/sinbahub/internal/smallnumbers"
)

// table is one to be suppressed: cells with the sums among them, parts before totals.
type table struct {
	cells []int64
	sums  []smallnumbers.Sum
}

// completed gives a table its totals.
func completed(cells []int64, sums []smallnumbers.Sum) table {
	for _, s := range sums {
		cells[s.Total] = 0
		for _, part := range s.Parts {
			cells[s.Total] += cells[part]
		}
	}
	return table{cells, sums}
}

// attack is what can be known of a table without knowing how it was suppressed: it tries all numbers for the
// hidden addends and keeps the tables that agree with what is shown. No number has to be tried that is further
// than least from the true one: to have least values, one after the other, no cell has to change by more. It
// gives for each cell the values that occur.
func attack(t table, hidden []bool, least int64) []map[int64]bool {
	a := &attacker{table: t, hidden: hidden, least: least, values: make([]map[int64]bool, len(t.cells))}
	isTotal := make([]bool, len(t.cells))
	for _, s := range t.sums {
		isTotal[s.Total] = true
	}
	for i := range t.cells {
		a.values[i] = map[int64]bool{}
		if !isTotal[i] {
			a.free = append(a.free, i)
		}
	}
	a.try(0, make([]int64, len(t.cells)), make([]bool, len(t.cells)))
	return a.values
}

// attacker is an attack under way. free are the cells that are nobody's sum.
type attacker struct {
	table

	hidden []bool
	least  int64
	free   []int
	values []map[int64]bool
	// may tells what a reader knows besides; nil: nothing.
	may func(found []int64) bool
}

// try tries all for the free cells from a place on.
func (a *attacker) try(at int, found []int64, known []bool) {
	if at == len(a.free) {
		for i, n := range found {
			if a.may != nil && !a.may(found) {
				return
			}
			a.values[i][n] = true
		}
		return
	}
	cell := a.free[at]
	low, high := a.cells[cell], a.cells[cell]
	if a.hidden[cell] {
		low, high = max(1, low-a.least), high+a.least
	}
	for n := low; n <= high; n++ {
		next, sure := slices.Clone(found), slices.Clone(known)
		next[cell], sure[cell] = n, true
		if a.add(next, sure) {
			a.try(at+1, next, sure)
		}
	}
}

// add adds up what is complete; false if that contradicts what is shown, or an earlier sum.
func (a *attacker) add(found []int64, known []bool) bool {
	for _, s := range a.sums {
		sum := int64(0)
		if slices.ContainsFunc(s.Parts, func(part int) bool { return !known[part] }) {
			continue
		}
		for _, part := range s.Parts {
			sum += found[part]
		}
		if known[s.Total] && found[s.Total] != sum || !a.hidden[s.Total] && a.cells[s.Total] != sum || a.hidden[s.Total] && sum < 1 {
			return false
		}
		found[s.Total], known[s.Total] = sum, true
	}
	return true
}

// check fails if a small cell is shown or known too well, or nobody is hidden.
func check(t *rapid.T, made table, least int64) {
	hidden := smallnumbers.Suppress(made.cells, made.sums, least)
	possible := attack(made, hidden, least)
	for i, n := range made.cells {
		switch {
		case n == 0 && hidden[i]:
			t.Fatalf("nobody is hidden: cell %d of %v", i, made.cells)
		case 0 < n && n < least && !hidden[i]:
			t.Fatalf("cell %d of %v is shown", i, made.cells)
		case 0 < n && n < least && int64(len(possible[i])) < least:
			t.Fatalf("of %v with %v hidden, cell %d can only be one of %v", made.cells, hidden, i, possible[i])
		}
	}
}

// counts draws counts of which one at least is small.
func counts(t *rapid.T, n int, least int64) []int64 {
	cells := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, least), rapid.Int64Range(0, 3*least)), n, n).Draw(t, "cells")
	cells[rapid.IntRange(0, n-1).Draw(t, "place")] = rapid.Int64Range(1, least-1).Draw(t, "small")
	return cells
}

// Of a line with its total no small count can be computed from what is shown.
func TestOfALineNoSmallCountCanBeComputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.SampledFrom([]int64{3, 5}).Draw(t, "least")
		parts := counts(t, rapid.IntRange(1, 4).Draw(t, "parts"), least)
		check(t, completed(append(parts, 0), smallnumbers.Line(len(parts))), least)
	})
}

// Of a table with totals of rows and columns no small count can be computed, either.
func TestOfATableWithMarginsNoSmallCountCanBeComputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SampledFrom([][3]int{{2, 2, 3}, {2, 2, 5}, {2, 3, 3}, {3, 3, 3}, {1, 3, 3}, {3, 1, 3}}).Draw(t, "rows, columns, least")
		rows, columns, least := shape[0], shape[1], int64(shape[2])
		inner := counts(t, rows*columns, least)
		cells := make([]int64, (rows+1)*(columns+1))
		for i, n := range inner {
			cells[i/columns*(columns+1)+i%columns] = n
		}
		check(t, completed(cells, smallnumbers.Grid(rows+1, columns+1)), least)
	})
}

// Nor of a tree of lines, in which the total of one is a part of another, with and without the last total.
func TestOfATreeOfLinesNoSmallCountCanBeComputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const least = 3
		parts := counts(t, 5, least)
		sums := []smallnumbers.Sum{{Total: 5, Parts: []int{0, 1}}, {Total: 6, Parts: []int{2, 3}}}
		if rapid.Bool().Draw(t, "with a total of all") {
			sums = append(sums, smallnumbers.Sum{Total: 7, Parts: []int{5, 6, 4}})
		}
		check(t, completed(append(parts, 0, 0, 0), sums), least)
	})
}

// Of parts that overlap, whose total stands in a line beside others, no small count can be computed, nor of the
// others: an attacker knows that the total is not less than any part and not more than all of them.
func TestOfOverlappingPartsNoSmallCountCanBeComputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const least = 3
		parts := counts(t, 3, least)
		union := rapid.Int64Range(slices.Max(parts), parts[0]+parts[1]+parts[2]).Draw(t, "union")
		cells := slices.Concat(parts, []int64{union, rapid.Int64Range(0, 2*least).Draw(t, "beside"), 0})
		line := smallnumbers.Sum{Total: 5, Parts: []int{3, 4}}
		cells[5] = cells[3] + cells[4]
		sums := []smallnumbers.Sum{line, {Total: 3, Parts: []int{0, 1, 2}, Overlap: true}}
		hidden := smallnumbers.Suppress(cells, sums, least)
		// The attacker tries the parts and the union alike, and keeps what can be.
		a := &attacker{
			table: table{cells, []smallnumbers.Sum{line}}, hidden: hidden, least: least, free: []int{0, 1, 2, 3, 4},
			values: make([]map[int64]bool, len(cells)),
			may: func(n []int64) bool {
				return n[3] >= max(n[0], n[1], n[2]) && n[3] <= n[0]+n[1]+n[2]
			},
		}
		for i := range a.values {
			a.values[i] = map[int64]bool{}
		}
		if rapid.Bool().Draw(t, "known that nobody is in two parts") {
			cells[3] = parts[0] + parts[1] + parts[2]
			cells[5] = cells[3] + cells[4]
			hidden = smallnumbers.Suppress(cells, sums, least)
			a.hidden, a.may = hidden, func(n []int64) bool { return n[3] == n[0]+n[1]+n[2] }
		}
		a.try(0, make([]int64, len(cells)), make([]bool, len(cells)))
		for i, n := range cells {
			if 0 < n && n < least && (!hidden[i] || len(a.values[i]) < least) {
				t.Fatalf("of %v with %v hidden, cell %d can only be one of %v", cells, hidden, i, a.values[i])
			}
		}
	})
}

// The attack is one: it finds what is hidden badly, and what only a line's rule would hide of a table.
func TestTheAttackFindsWhatIsHiddenBadly(t *testing.T) {
	t.Parallel()
	line := completed([]int64{3, 9, 20, 0}, smallnumbers.Line(3))
	if got := attack(line, []bool{true, false, false, false}, 5)[0]; len(got) != 1 || !got[3] {
		t.Errorf("a lone hidden cell of a line is one of %v", got)
	}
	grid := completed([]int64{3, 9, 0, 20, 30, 0, 0, 0, 0}, smallnumbers.Grid(3, 3))
	if got := attack(grid, []bool{true, true, false, false, false, false, false, false, false}, 5)[0]; len(got) != 1 || !got[3] {
		t.Errorf("a cell hidden with its row's only is one of %v", got)
	}
	few := completed([]int64{1, 1, 20, 0}, smallnumbers.Line(3))
	if got := attack(few, []bool{true, true, false, false}, 5)[0]; len(got) != 1 {
		t.Errorf("one of two ones that are two together is one of %v", got)
	}
}

// What is shown, and what is not: # is hidden.
func TestSuppressShowsWhatItCan(t *testing.T) {
	t.Parallel()
	line, grid := smallnumbers.Line, smallnumbers.Grid
	for name, c := range map[string]struct {
		cells []int64
		sums  []smallnumbers.Sum
		want  string
	}{
		"nothing":                    {nil, nil, ""},
		"none small":                 {[]int64{7, 9, 16}, line(2), "..."},
		"one small":                  {[]int64{3, 9, 20, 32}, line(3), "##.."},
		"two small":                  {[]int64{3, 4, 20, 27}, line(3), "##.."},
		"two very small":             {[]int64{1, 1, 20, 22}, line(3), "###."},
		"nothing beside":             {[]int64{3, 0, 3}, line(2), "#.#"},
		"a small one alone":          {[]int64{3, 0, 0, 3}, nil, "#..#"},
		"a total beyond what is big": {[]int64{3, 3}, line(1), "##"},
		"no sum":                     {[]int64{3, 9, 20}, nil, "#.."},
		"zero alone":                 {[]int64{0, 9, 9}, line(2), "..."},
		"the threshold itself":       {[]int64{5, 4, 9}, line(2), "##."},
		"a rectangle":                {[]int64{3, 9, 30, 42, 20, 8, 40, 68, 50, 60, 70, 180, 73, 77, 140, 290}, grid(4, 4), "##..##.........."},
		"margins where it must": {
			[]int64{3, 9, 12, 0, 30, 30, 3, 39, 42}, grid(3, 3), "##....##.",
		},
	} {
		got := []byte{}
		for _, hidden := range smallnumbers.Suppress(c.cells, c.sums, smallnumbers.Least) {
			got = append(got, map[bool]byte{true: '#', false: '.'}[hidden])
		}
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What cannot be judged is not shown: sums that do not add up, that are no network, of cells that are not there.
func TestWhatCannotBeJudgedIsHidden(t *testing.T) {
	t.Parallel()
	type sums = []smallnumbers.Sum
	for name, s := range map[string]struct {
		cells []int64
		sums  sums
	}{
		"does not add up": {[]int64{10, 20, 31, 0}, smallnumbers.Line(2)},
		"negative":        {[]int64{-10, 20, 10, 0}, smallnumbers.Line(2)},
		"in three sums":   {[]int64{10, 10, 10, 10}, sums{{Total: 1, Parts: []int{0}}, {Total: 2, Parts: []int{0}}, {Total: 3, Parts: []int{0}}}},
		"twice":           {[]int64{10, 20, 20}, sums{{Total: 1, Parts: []int{0, 0}}}},
		"of itself":       {[]int64{10, 20, 20}, sums{{Total: 1, Parts: []int{1}}}},
		"not there":       {[]int64{10, 20, 20}, sums{{Total: 7, Parts: []int{1}}}},
		"not there, too":  {[]int64{10, 20, 20}, sums{{Total: 1, Parts: []int{-1}}}},
		"no network": {
			[]int64{10, 10, 10, 20, 20, 20}, sums{{Total: 3, Parts: []int{0, 1}}, {Total: 4, Parts: []int{1, 2}}, {Total: 5, Parts: []int{0, 2}}},
		},
	} {
		for i, hidden := range smallnumbers.Suppress(s.cells, s.sums, smallnumbers.Least) {
			if hidden != (s.cells[i] != 0) {
				t.Errorf("%s: cell %d of %v hidden: %v", name, i, s.cells, hidden)
			}
		}
	}
}

// A report with tens of thousands of lines is judged, too.
func TestLongLinesAreJudged(t *testing.T) {
	t.Parallel()
	cells := slices.Concat([]int64{0}, slices.Repeat([]int64{1}, 30_000), []int64{0})
	made := completed(cells, smallnumbers.Line(len(cells)-1))
	hidden := smallnumbers.Suppress(made.cells, made.sums, smallnumbers.Least)
	if hidden[0] || !hidden[1] || !hidden[30_001] {
		t.Errorf("%v %v %v", hidden[0], hidden[1], hidden[30_001])
	}
}

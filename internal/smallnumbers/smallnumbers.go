// Package smallnumbers decides which counts of a table of children, cases or messages may be shown, so that
// nobody can compute one that is too small to be shown from those that are.
package smallnumbers

import "slices"

// The bounds of what is too small. The ground rules of Sistan ask for three at least, and for more the more
// delicate the data are (GU 14-1-2019, art. 5): children in care get five unless a region wants more.
const (
	Least   = 5
	Minimum = 3
	Maximum = 1000
)

// Sum says that one cell is the sum of others, and that a reader knows it: a total of a line, row or column,
// printed beside its parts or known to belong to them.
type Sum struct {
	// Total is the place of the cell that is the sum, Parts are those of its addends.
	Total int
	Parts []int
	// Overlap says that the parts may count somebody twice: cases by what they miss, say, of which Total are
	// those that miss anything. Parts are at most Total then, and together not less. They must not be in
	// another sum.
	Overlap bool
}

// Suppress tells which cells must not be shown if no count below least may come to light.
//
// Primary suppression hides every cell from 1 to least-1, totals too. Zero is shown, always and on purpose:
// it counts nobody, and a report without its zeroes would say that something happened which did not. So a
// reader knows of each hidden cell that it is 1 or more. (That all of a group are in one place is told by the
// zeroes of the others. Where belonging to a place is a secret, as with a protected placement, there must be
// no table.)
//
// Complementary suppression hides more cells until each cell hidden for its smallness is protected: whoever
// knows the shown cells, the sums and that hidden cells are whole and at least 1 finds as many values as least
// possible for it, or more: all those from its lowest to its highest. Hence the highest is least or more. (The handbook
// calls this a sliding protection level of least-1, its check the audit: Hundepool et al., Statistical Disclosure
// Control, chapter 4.) The bounds are exact, not estimated.
//
// A cell may be in two sums: rows and columns with their margins (Grid), a line whose total is a part of
// another, trees of such lines. For these the bounds are those of flows in a network. Of overlapping parts it is
// enough that no total is hidden beside them: if it is, all of them are, because they say how large it is at
// least; and beside a total of least or more a small part can be all from 1 to least, if not more. With sums that are of
// no such form, or that do not add up, or with a negative cell, all that is not zero is hidden, which is safe
// for sums of every form: all of them may be larger together.
//
// What a reader knows besides is not known here: another table of the same children, or a table of the day
// before. Nor is a reader stopped who reckons through this function: a hidden cell in no sum is small, and who
// tries of which tables the same cells would have been hidden can rule out values of others, seldom all but one.
func Suppress(cells []int64, sums []Sum, least int64) []bool {
	hidden := make([]bool, len(cells))
	for i, n := range cells {
		hidden[i] = 0 < n && n < least
	}
	exact, overlapping := divide(cells, sums)
	w, ok := newNetwork(cells, exact, hidden)
	if ok {
		ok = w.protect(least)
	}
	if !ok {
		for i, n := range cells {
			hidden[i] = n != 0
		}
	}
	for more := true; more; { // a part may be the total of others
		more = false
		for _, s := range overlapping {
			for _, part := range s.Parts {
				if hidden[s.Total] && cells[part] != 0 && !hidden[part] {
					hidden[part], more = true, true
				}
			}
		}
	}
	return hidden
}

// divide gives the sums that add up or have to, and those whose parts overlap indeed: where none does, a
// reader may know.
func divide(cells []int64, sums []Sum) (exact, overlapping []Sum) {
	for _, s := range sums {
		if s.Overlap && s.sound(len(cells)) {
			left := cells[s.Total]
			for _, part := range s.Parts {
				left -= cells[part]
			}
			if left != 0 {
				overlapping = append(overlapping, s)
				continue
			}
		}
		exact = append(exact, s)
	}
	return exact, overlapping
}

// sound tells whether all cells of a sum are there.
func (s *Sum) sound(cells int) bool {
	out := func(cell int) bool { return cell < 0 || cell >= cells }
	return !out(s.Total) && !slices.ContainsFunc(s.Parts, out)
}

// Grid gives the sums of a table with margins whose cells are listed row by row: the last column of a row is
// its sum, the last row the sum of the others.
func Grid(rows, columns int) []Sum {
	sums := make([]Sum, 0, rows+columns)
	for row := range rows {
		s := Sum{Total: row*columns + columns - 1}
		for column := range columns - 1 {
			s.Parts = append(s.Parts, row*columns+column)
		}
		sums = append(sums, s)
	}
	for column := range columns {
		s := Sum{Total: (rows-1)*columns + column}
		for row := range rows - 1 {
			s.Parts = append(s.Parts, row*columns+column)
		}
		sums = append(sums, s)
	}
	return sums
}

// Line gives the sum of a line of parts that has its total behind them.
func Line(parts int) []Sum {
	s := Sum{Total: parts}
	for i := range parts {
		s.Parts = append(s.Parts, i)
	}
	return []Sum{s}
}

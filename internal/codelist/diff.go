package codelist

import (
	"slices"
	"strings"
)

// Change is how one list differs between two sets of files.
type Change struct {
	List string
	// Before and After are the numbers of rows; -1 means that there is no such list.
	Before, After int
	// Added, Removed and Changed tell rows by their columns, empty ones as -. Two rows are the same
	// row if their code and first day are.
	Added, Removed []string
	// Changed has what the row was and what it is.
	Changed [][2]string
}

// Same tells whether the list stays as it is.
func (c *Change) Same() bool {
	return c.Before == c.After && len(c.Added) == 0 && len(c.Removed) == 0 && len(c.Changed) == 0
}

// Compare tells how every list would change. Both must parse.
func Compare(before, after Files) []Change {
	changes := make([]Change, 0, len(Names()))
	for _, list := range Names() {
		was, before := rowsOf(list, before)
		is, after := rowsOf(list, after)
		c := Change{List: list, Before: before, After: after}
		for key, now := range is {
			old, ok := was[key]
			switch {
			case !ok:
				c.Added = append(c.Added, now)
			case old != now:
				c.Changed = append(c.Changed, [2]string{old, now})
			}
		}
		for key, old := range was {
			if _, ok := is[key]; !ok {
				c.Removed = append(c.Removed, old)
			}
		}
		slices.Sort(c.Added)
		slices.Sort(c.Removed)
		slices.SortFunc(c.Changed, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
		changes = append(changes, c)
	}
	return changes
}

// rowsOf gives the rows of a list as texts, by code and first day, and how many there are.
func rowsOf(list string, files Files) (map[string]string, int) {
	text, ok := files[list]
	if !ok {
		return nil, -1
	}
	rows, _ := parse(list, text)
	all := make(map[string]string, len(rows))
	for i := range rows {
		shown := slices.Clone(rows[i].fields)
		for k := range shown {
			if shown[k] == "" {
				shown[k] = "-"
			}
		}
		all[rows[i].key+" "+dateText(rows[i].from)] = strings.Join(shown, " ")
	}
	return all, len(rows)
}

// dateText writes a date as its eight digits.
func dateText(d Date) string {
	text := []byte("00000000")
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = byte('0' + d%10)
		d /= 10
	}
	return string(text)
}

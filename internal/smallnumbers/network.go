package smallnumbers

import "slices"

// network is a table as a network of flows. Each sum is a node that must stay balanced, each cell an arc
// between the two sums that it is in, or between its sum and the ground (node 0): one unit more in a cell adds
// one to the balance of its head and takes one from that of its tail. So a hidden cell can be larger by as
// much as can flow back from its head to its tail through the other hidden cells, each of which can take up
// any flow, and give back what it has above 1.
type network struct {
	cells  []int64
	hidden []bool
	// tail and head are the nodes of each cell, total tells whether it is the total of a sum.
	tail, head []int
	total      []bool
	// at are the cells of each node.
	at [][]int
	// more and less are, for each cell, how much it may still grow and shrink in the flow under way.
	more, less []int64
}

// unbounded is what a cell may grow by; sums of counts do not come near it.
const unbounded = int64(1) << 60

// newNetwork makes the network of a table; false if the sums have no such form or do not add up.
func newNetwork(cells []int64, sums []Sum, hidden []bool) (*network, bool) {
	w := &network{
		cells: cells, hidden: hidden, tail: make([]int, len(cells)), head: make([]int, len(cells)),
		total: make([]bool, len(cells)), at: make([][]int, len(sums)+1),
		more: make([]int64, len(cells)), less: make([]int64, len(cells)),
	}
	in, ok := w.members(sums)
	if !ok {
		return nil, false
	}
	sign, ok := signs(in, len(sums))
	if !ok {
		return nil, false
	}
	for i, of := range in {
		for _, m := range of {
			if m.coefficient*sign[m.node] > 0 {
				w.head[i] = m.node
			} else {
				w.tail[i] = m.node
			}
		}
		w.at[w.tail[i]] = append(w.at[w.tail[i]], i)
		if w.head[i] != w.tail[i] {
			w.at[w.head[i]] = append(w.at[w.head[i]], i)
		}
	}
	return w, true
}

// member says that a cell is in the sum of a node: as a part with 1, as its total with -1.
type member struct{ node, coefficient int }

// members lists the sums of each cell; false if a cell is in more than two, twice in one, or negative, or if a
// sum does not add up.
func (w *network) members(sums []Sum) ([][]member, bool) {
	in := make([][]member, len(w.cells))
	join := func(cell, node, coefficient int) bool {
		if cell < 0 || cell >= len(in) || len(in[cell]) > 1 || len(in[cell]) == 1 && in[cell][0].node == node {
			return false
		}
		in[cell] = append(in[cell], member{node, coefficient})
		return true
	}
	for i, s := range sums {
		if !join(s.Total, i+1, -1) {
			return nil, false
		}
		w.total[s.Total] = true
		left := w.cells[s.Total]
		for _, part := range s.Parts {
			if !join(part, i+1, 1) {
				return nil, false
			}
			left -= w.cells[part]
		}
		if left != 0 {
			return nil, false
		}
	}
	return in, !slices.ContainsFunc(w.cells, func(n int64) bool { return n < 0 || n >= unbounded })
}

// signs turns sums around (-1) so that each cell that is in two adds to one and takes from the other; false if
// no turning does that.
func signs(in [][]member, sums int) ([]int, bool) {
	near := make([][]member, sums+1) // coefficient: what the sign of the neighbour is, times one's own
	for _, of := range in {
		if len(of) == 2 {
			same := -of[0].coefficient * of[1].coefficient
			near[of[0].node] = append(near[of[0].node], member{of[1].node, same})
			near[of[1].node] = append(near[of[1].node], member{of[0].node, same})
		}
	}
	sign := make([]int, sums+1)
	for first := 1; first <= sums; first++ {
		if sign[first] != 0 {
			continue
		}
		sign[first] = 1
		for todo := []int{first}; len(todo) > 0; {
			node := todo[0]
			todo = todo[1:]
			for _, m := range near[node] {
				switch sign[m.node] {
				case 0:
					sign[m.node] = sign[node] * m.coefficient
					todo = append(todo, m.node)
				case -sign[node] * m.coefficient:
					return nil, false
				}
			}
		}
	}
	return sign, true
}

// reset forgets the flow: what is shown is known, what is hidden can be anything from 1.
func (w *network) reset() {
	for i, n := range w.cells {
		w.more[i], w.less[i] = 0, 0
		if w.hidden[i] {
			w.more[i], w.less[i] = unbounded, n-1
		}
	}
}

// protect hides cells until every small one is protected; false if it cannot be done. More hidden cells never
// make a bound narrower, so that what is protected stays so.
func (w *network) protect(least int64) bool {
	// Cells between the same nodes with the same count have the same bounds.
	type class struct {
		tail, head int
		n          int64
	}
	done := map[class]bool{}
	for i, n := range w.cells {
		c := class{w.tail[i], w.head[i], n}
		if n < 1 || n >= least || done[c] {
			continue
		}
		for {
			missing := w.missing(i, least)
			if missing == 0 {
				break
			}
			if !w.widen(i, missing) {
				return false
			}
		}
		done[c] = true
	}
	return true
}

// missing is how many values less than least a hidden cell can have. It leaves the flow by which the cell is
// as large as can be.
func (w *network) missing(cell int, least int64) int64 {
	w.reset()
	values := 1 + w.flow(cell, w.tail[cell], w.head[cell], min(w.cells[cell]-1, least-1))
	if values >= least {
		return 0
	}
	w.reset()
	values += w.flow(cell, w.head[cell], w.tail[cell], least-values)
	return least - values
}

// flow sends up to limit from a node to another around a cell, and tells how much.
func (w *network) flow(around, from, to int, limit int64) (sent int64) {
	if from == to {
		return limit // it is in no sum
	}
	for sent < limit {
		path, width := w.path(around, from, to, 1, nil)
		if path == nil {
			return sent
		}
		width = min(width, limit-sent)
		for _, s := range path {
			if s.grow {
				w.more[s.cell] -= width
				w.less[s.cell] += width
			} else {
				w.less[s.cell] -= width
				w.more[s.cell] += width
			}
		}
		sent += width
	}
	return sent
}

// widen hides the fewest cells by which missing more can flow back around a cell, totals only where nothing
// else does it. Among equals the first is taken, not the smallest: who knows the rule learns from the choice
// what the numbers were not, and from a choice by place the least. They are looked for in the flow that
// missing left.
func (w *network) widen(cell int, missing int64) bool {
	for i, n := range w.cells {
		if n > 0 && !w.hidden[i] {
			w.more[i], w.less[i] = unbounded, n-1
		}
	}
	const total = int64(1) << 30 // more than all parts together
	path, _ := w.path(cell, w.head[cell], w.tail[cell], missing, func(i int) int64 {
		switch {
		case w.hidden[i]:
			return 0
		case w.total[i]:
			return total
		}
		return 1
	})
	for _, s := range path {
		w.hidden[s.cell] = true
	}
	return path != nil
}

package smallnumbers

import "slices"

// step is one cell of a path: it grows, or shrinks.
type step struct {
	cell int
	grow bool
}

// path finds a way from a node to another around a cell whose cells can all change by least, the cheapest one
// by the cost of its cells, or the shortest one if cost is nil. It tells, too, by how much they can change.
func (w *network) path(around, from, to int, least int64, cost func(cell int) int64) (way []step, width int64) {
	const far = int64(1) << 62
	price := make([]int64, len(w.at))
	by := make([]step, len(w.at))
	waiting := make([]bool, len(w.at))
	for node := range price {
		price[node] = far
	}
	price[from] = 0
	for todo := []int{from}; len(todo) > 0; {
		node := todo[0]
		todo = todo[1:]
		waiting[node] = false
		if node == to {
			if cost == nil {
				break
			}
			continue
		}
		for _, i := range w.at[node] {
			s := step{i, w.tail[i] == node}
			other := w.across(s)
			if i == around || other == node || w.room(s) < least {
				continue
			}
			sum := price[node] + 1
			if cost != nil {
				sum += cost(i)
			}
			if sum < price[other] {
				price[other], by[other] = sum, s
				if !waiting[other] {
					waiting[other] = true
					todo = append(todo, other)
				}
			}
		}
	}
	if price[to] == far {
		return nil, 0
	}
	width = unbounded
	for node := to; node != from; {
		s := by[node]
		way, width = append(way, s), min(width, w.room(s))
		node = w.across(step{s.cell, !s.grow})
	}
	slices.Reverse(way)
	return way, width
}

// across is the node to which a step leads.
func (w *network) across(s step) int {
	if s.grow {
		return w.head[s.cell]
	}
	return w.tail[s.cell]
}

// room is how far a step can be taken.
func (w *network) room(s step) int64 {
	if s.grow {
		return w.more[s.cell]
	}
	return w.less[s.cell]
}

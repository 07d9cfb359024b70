package app

import (
	"fmt"
	"io"
	"strings"
)

// bar keeps one line of progress up to date for a person.
type bar struct {
	to          io.Writer
	on          bool
	seen, total int64
	drawn       int64
}

// at says how far it is, and draws when enough has changed.
func (b *bar) at(seen int64) {
	b.seen = seen
	if b.on && (b.seen-b.drawn)*200 >= b.total {
		b.drawn = b.seen
		b.draw()
	}
}

// done draws it full and ends the line.
func (b *bar) done() {
	if b.on {
		b.seen = b.total
		b.draw()
		_, _ = fmt.Fprintln(b.to)
	}
}

func (b *bar) draw() {
	_, _ = fmt.Fprintf(b.to, "\r[%s] %d %%", barOf(b.seen, b.total), 100*b.seen/max(1, b.total))
}

// barOf is a bar of how much of a total is done.
func barOf(seen, total int64) string {
	const width = 30
	filled := int(min(width, width*seen/max(1, total)))
	return strings.Repeat("#", filled) + strings.Repeat(".", width-filled)
}

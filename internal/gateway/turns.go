package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/validator"
)

// turns lets no participant have the processors to itself by what it sends. How many of its
// documents are inspected at once depends on their size, and on how the last ones were: each that
// is refused halves the number, each good one raises it by one. So who sends nothing but refusals
// has them answered one by one, at the pace of the journal; with one in ten refused it is some
// twenty at once; and who sends hardly any does not notice. The others of a participant wait behind
// its own.
type turns struct {
	patience time.Duration

	most [sizes]int
	mu   sync.Mutex
	// gates are those of the participants that sent something; there are few.
	gates map[int32]*[sizes]gate
}

// The sizes of documents that have turns of their own, by what the validator makes of them.
const (
	sizeUsual = iota
	sizeBig
	sizeLarge
	sizes
)

// gate counts the turns of one participant for one size.
type gate struct {
	// width is how many may be inside at once.
	width, inside int
	waiting       []chan struct{}
}

// turn is a place inside a gate.
type turn struct {
	turns *turns
	gate  *gate
	most  int
	ended bool
}

// turnPatience is how long a document waits for its sender's others; it is below the time a stop
// leaves.
const turnPatience = 10 * time.Second

// errImpatient says that a participant's own documents left this one no room in time.
var errImpatient = errors.New("no turn in time")

// newTurns shares out so many exchanges and processors. Big documents leave one processor, and the
// validator has one worker for the large ones.
func newTurns(exchanges, processors int) *turns {
	return &turns{
		patience: turnPatience,

		most:  [sizes]int{sizeUsual: exchanges, sizeBig: max(1, processors-1), sizeLarge: 1},
		gates: map[int32]*[sizes]gate{},
	}
}

// begin waits until a document of so many bytes may be inspected. The turn must be ended. The error
// is errImpatient if only the sender's own documents were in the way.
func (t *turns) begin(ctx context.Context, participant int32, bytes int) (*turn, error) {
	size := sizeUsual
	switch {
	case bytes > validator.LargeDocument:
		size = sizeLarge
	case bytes > validator.BigDocument:
		size = sizeBig
	}
	t.mu.Lock()
	gates := t.gates[participant]
	if gates == nil {
		gates = new([sizes]gate)
		for i := range gates {
			gates[i].width = t.most[i]
		}
		t.gates[participant] = gates
	}
	g := &gates[size]
	own := &turn{turns: t, gate: g, most: t.most[size]}
	if g.inside < g.width {
		g.inside++
		t.mu.Unlock()
		return own, nil
	}
	admitted := make(chan struct{})
	g.waiting = append(g.waiting, admitted)
	t.mu.Unlock()
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	select {
	case <-admitted:
		return own, nil
	case <-ctx.Done():
	case <-patience.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(g.waiting, admitted); at >= 0 {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	} else { // admitted at the same moment
		g.inside--
		g.admit()
	}
	if ctx.Err() == nil {
		return nil, errImpatient
	}
	return nil, hub.NewError(hub.Unavailable, hub.CodeUnavailable, ctx.Err())
}

// end gives the turn to whoever waits. Only the first call counts; that of a nil turn does nothing.
func (t *turn) end(good bool) {
	if t == nil {
		return
	}
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if good {
		t.gate.width = min(t.most, t.gate.width+1)
	} else {
		t.gate.width = max(1, t.gate.width/2)
	}
	t.gate.inside--
	t.gate.admit()
}

// admit lets in as many as there is room for, in the order they came.
func (g *gate) admit() {
	for g.inside < g.width && len(g.waiting) > 0 {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.inside++
	}
}

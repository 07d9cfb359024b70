package postgres

import "testing"

// A place in the old server's log that is told after the new one took over is not asked of the new one.
func TestPlaceOfTheServerBeforeIsForgotten(t *testing.T) {
	t.Parallel()
	g, err := OpenGuard(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	take := func(timeline uint32, wal uint64) {
		t.Helper()
		if _, err := g.take(Position{System: 7, Timeline: timeline, WAL: wal}); err != nil {
			t.Fatal(err)
		}
	}
	take(1, 1000)
	looked := g.Known() // look asks the old one
	take(2, 1100)       // meanwhile a new connection finds the new one
	g.advance(looked.Timeline, 5000)
	if err := judge(g.Known(), Position{System: 7, Timeline: 2, WAL: 1200}); err != nil {
		t.Errorf("the new server is refused: %v", err)
	}
}

package replay

import (
	"context"
	"time"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// What tests of the package's outside cannot reach otherwise.

// Diff is diff.
func Diff(before, after []byte) []Change { return diff(before, after) }

// Renamed is renamed.
func Renamed(doc []byte, from, to string) ([]byte, bool) { return renamed(doc, from, to) }

// Pass is Gate.pass.
func (g *Gate) Pass(ctx context.Context) error { return g.pass(ctx) }

// Add is Report.add.
func (r *Report) Add(o *Report) { r.add(o) }

// Note is Report.note.
func (r *Report) Note(i *Item) { r.note(i) }

// NotePage remembers that a run is behind so many entries.
func (c *Checkpoint) NotePage(done int64, result *Report) error {
	return c.note(cursor{Done: done}, result)
}

// Recall is recall for the report of a verification.
func Recall(c *Checkpoint) (done int64, r Report, err error) {
	at, err := recall(c, r.add)
	return at.Done, r, err
}

// Orders is orders.
func Orders(c *postgres.ErasureCertificate, env hub.Environment, received time.Time) bool {
	return orders(c, env, received)
}

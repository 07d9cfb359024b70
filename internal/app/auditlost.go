package app

import (
	"context"
	"fmt"
	"io"

	"github.com/sinbahub/sinbahub/internal/postgres"
)

// lostNamed is how many entries are named; the number of all is told.
const lostNamed = 20

// tellLost looks through all entries written in the range of an export for those that have no leaf and
// wait for none: no bundle can hold them, and whoever hands it over must know.
func (a *audit) tellLost(ctx context.Context, out io.Writer) error {
	after, before := postgres.EntryAt{ID: idAt(a.from)}, idAt(a.closing.At)
	lost := 0
	for {
		found, next, looked, err := a.store.Leafless(ctx, after, before, patrolAtOnce)
		if err != nil {
			return fmt.Errorf("look for entries without a leaf: %w", err)
		}
		for _, e := range found {
			if lost++; lost <= lostNamed {
				say(out, "WARNING: entry %s (%s) has no leaf and waits for none: it is not in the bundle, somebody changed the journal's tables\n",
					e.ID, instant(e.At))
			}
		}
		if looked < patrolAtOnce {
			break
		}
		after = next
	}
	if lost > 0 {
		say(out, "WARNING: entries of the range without a leaf: %d. Keep the database as it is and call the auditors (deploy/docs/operations.md).\n", lost)
	}
	return nil
}

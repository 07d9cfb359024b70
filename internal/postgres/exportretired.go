package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/journal"
)

const retirementsSQL = `
SELECT l.leaf_index, l.participant_id, l.ente_id, l.seq, e.body
-- what the hub does of itself is of the pair 0, 0, and has an index by that
FROM (
  SELECT h.leaf_index, h.participant_id, h.ente_id, h.seq, h.entry_id, h.entry_at FROM hub.journal_leaf h
  WHERE h.participant_id = 0 AND h.ente_id = 0 AND h.seq > $1
  ORDER BY h.seq LIMIT $4
) AS l
LEFT JOIN LATERAL (
  SELECT j.body FROM hub.journal_entry j
  -- the literal is journal.RecordsRetired; OFFSET as in leavesSQL
  WHERE j.id = l.entry_id AND j.at = l.entry_at AND j.kind = 14 AND l.leaf_index >= $2 AND l.leaf_index < $3 OFFSET 0
) AS e ON true
ORDER BY l.seq`

// retirementsPage is how many of the hub's own leaves are looked through in one round trip.
const retirementsPage = 16384

// EachRetirement gives the leaves of entries of retention from first to before end, in their order.
func (s *Store) EachRetirement(ctx context.Context, first, end int64, take func(*ExportedLeaf) error) error {
	for after, more := int64(0), true; more; {
		rows, err := s.pool.Query(ctx, retirementsSQL, after, first, end, retirementsPage)
		if err != nil {
			return fmt.Errorf("read entries of retention: %w", masked(err))
		}
		seen := 0
		if err := eachLeaf(rows, func(l *ExportedLeaf) error {
			seen++
			after = l.Seq
			if l.Entry == nil {
				return nil
			}
			return take(l)
		}); err != nil {
			return err
		}
		more = seen == retirementsPage
	}
	return nil
}

const checkpointUpToSQL = `
SELECT c.id, c.size, c.at, c.note FROM hub.journal_checkpoint c
WHERE c.at <= $1 AND c.size <= $2
ORDER BY c.at DESC, c.id DESC LIMIT 1`

// CheckpointUpTo gives the last checkpoint of at most so many leaves, no later than one; the zero one if
// there is none.
func (s *Store) CheckpointUpTo(ctx context.Context, before SignedCheckpoint, size int64) (c SignedCheckpoint, err error) {
	return s.signedCheckpoint(ctx, checkpointUpToSQL, before.At, size)
}

const checkpointOverSQL = `
SELECT c.id, c.size, c.at, c.note FROM hub.journal_checkpoint c
WHERE c.at >= $1 AND c.size > $2
ORDER BY c.at, c.id LIMIT 1`

// CheckpointOver gives the first checkpoint that holds a leaf, no earlier than one; the zero one if there
// is none.
func (s *Store) CheckpointOver(ctx context.Context, after SignedCheckpoint, leaf int64) (c SignedCheckpoint, err error) {
	return s.signedCheckpoint(ctx, checkpointOverSQL, after.At, leaf)
}

func (s *Store) signedCheckpoint(ctx context.Context, query string, args ...any) (c SignedCheckpoint, err error) {
	err = s.pool.QueryRow(ctx, query, args...).Scan(&c.id, &c.Size, &c.At, &c.Note)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("read a checkpoint: %w", masked(err))
	}
	c.At = c.At.UTC()
	return c, nil
}

// Retirement tells whether a leaf is an entry of retention by its own bytes.
func (l *ExportedLeaf) Retirement() bool {
	e, err := journal.Parse(l.Entry)
	return err == nil && e.Kind == journal.RecordsRetired
}

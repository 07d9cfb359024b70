package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// What an export reads lies behind a checkpoint and is never changed by the hub, so that it needs no
// snapshot: each page is a statement of its own. One transaction for all of them would keep the dead
// rows of every delivery for as long as a slow disk takes, and hold up whoever drops a partition, and
// behind it every acceptance.

// leavesPage is how many leaves are read in one round trip, with their entries' bodies.
const leavesPage = 1024

// enteLeavesPage is how many places of the tree are looked through in one round trip for the leaves of
// one ente.
const enteLeavesPage = 16384

// ErrUnsigned says that a range holds nothing that a checkpoint was signed for.
var ErrUnsigned = errors.New("no checkpoint was signed at or after the begin of the range")

// SignedCheckpoint is a checkpoint as it was persisted.
type SignedCheckpoint struct {
	id int64
	// Size is how many leaves it signs.
	Size int64
	// At is when it was signed.
	At time.Time
	// Note is the signed note, whole.
	Note string
}

const closingCheckpointSQL = `
(SELECT c.id, c.size, c.at, c.note, true FROM hub.journal_checkpoint c
  WHERE c.at >= $1 ORDER BY c.at, c.id LIMIT 1)
UNION ALL
(SELECT c.id, c.size, c.at, c.note, false FROM hub.journal_checkpoint c
  WHERE c.at < $1 AND c.at >= $2 ORDER BY c.at DESC, c.id DESC LIMIT 1)
LIMIT 1`

// ClosingCheckpoint gives the first checkpoint at or after the end of a range, and true; if there is
// none, the last one not before its begin, and false. ErrUnsigned if there is none either.
func (s *Store) ClosingCheckpoint(ctx context.Context, from, to time.Time) (c SignedCheckpoint, closed bool, err error) {
	err = s.pool.QueryRow(ctx, closingCheckpointSQL, to, from).Scan(&c.id, &c.Size, &c.At, &c.Note, &closed)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, false, ErrUnsigned
	}
	if err != nil {
		return c, false, fmt.Errorf("read the closing checkpoint: %w", masked(err))
	}
	c.At = c.At.UTC()
	return c, closed, nil
}

const signedBeforeSQL = `
SELECT c.id, c.size, c.at, c.note FROM hub.journal_checkpoint c
WHERE c.at <= $1
ORDER BY c.at DESC, c.id DESC LIMIT 1`

// SignedBefore gives the last checkpoint at or before an instant, the zero one if there is none: what was
// entered later has a later leaf.
func (s *Store) SignedBefore(ctx context.Context, at time.Time) (c SignedCheckpoint, err error) {
	err = s.pool.QueryRow(ctx, signedBeforeSQL, at).Scan(&c.id, &c.Size, &c.At, &c.Note)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("read the opening checkpoint: %w", masked(err))
	}
	c.At = c.At.UTC()
	return c, nil
}

const checkpointsSQL = `
SELECT c.id, c.at, c.note FROM hub.journal_checkpoint c
WHERE (c.at, c.id) > ($1, $2) AND (c.at, c.id) <= ($3, $4)
ORDER BY c.at, c.id LIMIT 1000`

// EachCheckpoint gives every checkpoint persisted from an instant on, in the order of time, the closing
// one as the last.
func (s *Store) EachCheckpoint(ctx context.Context, from time.Time, closing SignedCheckpoint, take func(note string) error) error {
	after, last := from, int64(0) // ids begin with 1
	for {
		rows, err := s.pool.Query(ctx, checkpointsSQL, after, last, closing.At, closing.id)
		if err != nil {
			return fmt.Errorf("read checkpoints: %w", masked(err))
		}
		var note string
		n := 0
		if err := each(rows, []any{&last, &after, &note}, func() error {
			n++
			return take(note)
		}); err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// ExportedLeaf is a leaf of the tree. Entry is valid until the next one; nil if it has gone by retention.
type ExportedLeaf struct {
	journal.Leaf

	// Index is its place in the tree.
	Index int64
}

const leavesSQL = `
SELECT l.leaf_index, l.participant_id, l.ente_id, l.seq, e.body
FROM hub.journal_leaf l
-- OFFSET keeps it a look-up in the one partition of each leaf: joined freely, the planner counts a
-- look-up in every partition there is and reads them whole instead
LEFT JOIN LATERAL (
  SELECT j.body FROM hub.journal_entry j WHERE j.id = l.entry_id AND j.at = l.entry_at OFFSET 0
) AS e ON true
WHERE l.leaf_index >= $1 AND l.leaf_index < $2
ORDER BY l.leaf_index`

// EachLeaf gives the leaves from first to before end, in their order; one that is not there is left out.
func (s *Store) EachLeaf(ctx context.Context, first, end int64, take func(*ExportedLeaf) error) error {
	for at := first; at < end; at += leavesPage {
		rows, err := s.pool.Query(ctx, leavesSQL, at, min(at+leavesPage, end))
		if err != nil {
			return fmt.Errorf("read leaves: %w", masked(err))
		}
		if err := eachLeaf(rows, take); err != nil {
			return err
		}
	}
	return nil
}

const enteLeavesSQL = `
SELECT l.leaf_index, l.participant_id, l.ente_id, l.seq, e.body
FROM hub.journal_leaf l
-- as above
LEFT JOIN LATERAL (
  SELECT j.body FROM hub.journal_entry j WHERE j.id = l.entry_id AND j.at = l.entry_at OFFSET 0
) AS e ON true
WHERE l.leaf_index >= $1 AND l.leaf_index < $2 AND l.ente_id = $3
ORDER BY l.leaf_index`

// EachEnteLeaf is EachLeaf for the leaves of one ente.
func (s *Store) EachEnteLeaf(ctx context.Context, ente int32, first, end int64, take func(*ExportedLeaf) error) error {
	for at := first; at < end; at += enteLeavesPage {
		rows, err := s.pool.Query(ctx, enteLeavesSQL, at, min(at+enteLeavesPage, end), ente)
		if err != nil {
			return fmt.Errorf("read leaves: %w", masked(err))
		}
		if err := eachLeaf(rows, take); err != nil {
			return err
		}
	}
	return nil
}

func eachLeaf(rows pgx.Rows, take func(*ExportedLeaf) error) error {
	var leaf ExportedLeaf
	if err := each(rows, []any{&leaf.Index, &leaf.Participant, &leaf.Ente, &leaf.Seq, (*pgtype.DriverBytes)(&leaf.Entry)}, func() error {
		return take(&leaf)
	}); err != nil {
		return fmt.Errorf("read leaves: %w", err)
	}
	return nil
}

// each gives every row to take. An error of take goes on as it is, one of the database masked.
func each(rows pgx.Rows, into []any, take func() error) error {
	var taken error
	_, err := pgx.ForEachRow(rows, into, func() error {
		taken = take()
		return taken
	})
	if taken != nil {
		return taken
	}
	return masked(err)
}

const tilesSQL = `
SELECT t.number, t.hashes FROM hub.journal_tile t
WHERE t.level = $1 AND t.number = ANY ($2::bigint[])`

// Tiles reads tiles of one level as they are now: the last of a level may have grown.
func (s *Store) Tiles(ctx context.Context, level int, numbers []int64) (map[int64][]byte, error) {
	rows, err := s.pool.Query(ctx, tilesSQL, level, numbers)
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", masked(err))
	}
	found := make(map[int64][]byte, len(numbers))
	var number int64
	var hashes []byte
	if err := each(rows, []any{&number, &hashes}, func() error {
		found[number] = hashes
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	return found, nil
}

// EnteSequence is how many entries one participant's work for an ente had in a tree.
type EnteSequence struct {
	// Participant and Ente are rows of the registry, 0 for none.
	Participant, Ente int32
	// Last is the last number given.
	Last int64
}

const enteSequencesSQL = `
SELECT p.participant_id, p.ente_id, p.leaves - behind.leaves AS seq
FROM hub.journal_pair p
-- by the pair's own count and not by the leaves that are there: else one whose last leaves were deleted
-- would look whole
CROSS JOIN LATERAL (
  SELECT count(*) AS leaves FROM hub.journal_leaf l
  WHERE l.participant_id = p.participant_id AND l.ente_id = p.ente_id AND l.leaf_index >= $2
) AS behind
WHERE p.ente_id = $1 AND p.leaves > behind.leaves
ORDER BY p.participant_id`

// EnteSequences gives the last number of each participant's sequence for an ente, in the tree of a size.
func (s *Store) EnteSequences(ctx context.Context, ente int32, size int64) ([]EnteSequence, error) {
	rows, err := s.pool.Query(ctx, enteSequencesSQL, ente, size)
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", masked(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[EnteSequence])
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", masked(err))
	}
	return all, nil
}

// SealedKeys name sealed bytes: messages by their entry's message and time, outbound ones by their
// attempt. Of is the caller's number for each, by which they come back in order.
type SealedKeys struct {
	messageOf, attemptOf []int32
	messages, deliveries uuids
	received, started    []time.Time
	numbers              []int32
}

// AddMessage asks for a sealed message.
func (k *SealedKeys) AddMessage(of int, message uuid.UUID, receivedAt time.Time) {
	k.messageOf = append(k.messageOf, int32(of)) //nolint:gosec // a page's
	k.messages, k.received = k.messages.add(message), append(k.received, receivedAt)
}

// AddAttempt asks for the sealed bytes that an attempt sent.
func (k *SealedKeys) AddAttempt(of int, delivery uuid.UUID, number int32, startedAt time.Time) {
	k.attemptOf = append(k.attemptOf, int32(of)) //nolint:gosec // a page's
	k.deliveries, k.numbers = k.deliveries.add(delivery), append(k.numbers, number)
	k.started = append(k.started, startedAt)
}

const sealedSQL = `
SELECT k.nr, s.sealed
FROM unnest($1::integer[], $2::uuid[], $3::timestamptz[]) AS k (nr, id, at)
-- OFFSET as in leavesSQL
CROSS JOIN LATERAL (
  SELECT m.sealed FROM hub.message m WHERE m.id = k.id AND m.received_at = k.at OFFSET 0
) AS s
UNION ALL
SELECT k.nr, s.sealed
FROM unnest($4::integer[], $5::uuid[], $6::integer[], $7::timestamptz[]) AS k (nr, id, number, at)
CROSS JOIN LATERAL (
  SELECT a.sealed FROM hub.attempt a
  WHERE a.delivery_id = k.id AND a.number = k.number AND a.started_at = k.at AND a.sealed IS NOT NULL OFFSET 0
) AS s
ORDER BY 1`

// EachSealed gives the sealed bytes that are there, in the order of their numbers; valid until the next.
func (s *Store) EachSealed(ctx context.Context, k *SealedKeys, take func(of int, sealed []byte) error) error {
	if len(k.messageOf)+len(k.attemptOf) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sealedSQL, k.messageOf, k.messages, k.received, k.attemptOf, k.deliveries, k.numbers, k.started)
	if err != nil {
		return fmt.Errorf("read sealed bytes: %w", masked(err))
	}
	var of int32
	var sealed []byte
	if err := each(rows, []any{&of, (*pgtype.DriverBytes)(&sealed)}, func() error {
		return take(int(of), sealed)
	}); err != nil {
		return fmt.Errorf("read sealed bytes: %w", err)
	}
	return nil
}

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// Head is how far the journal's tree has grown.
type Head struct {
	// Size is how many leaves it has.
	Size int64
	// Root is its hash.
	Root tlog.Hash
}

// Sequence gives entries that have none their leaves, in the order of their ids, at most so many. One
// does so at a time, over all instances: another gets no leaves and no error. It tells the head
// afterwards and how many leaves were added; the same number as asked for may mean that there are more.
// Everything happens in one transaction, so that one whose COMMIT is unknown is simply repeated.
// Errors are *hub.Error of kind Unavailable, or journal.ErrTree if the stored tree is not what its root
// says, which no repetition mends.
func (s *Store) Sequence(ctx context.Context, most int) (head Head, added int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		head, added, err = sequence(ctx, tx, most)
		return err
	})
	return head, added, treeError(err)
}

// treeError keeps journal.ErrTree, with what is damaged if that is known, and makes everything else
// Unavailable.
func treeError(err error) error {
	if err == nil {
		return nil
	}
	if damage, ok := errors.AsType[journal.DamageError](err); ok {
		return damage
	}
	if errors.Is(err, journal.ErrTree) {
		return journal.ErrTree
	}
	return unavailable(err)
}

const lockHeadSQL = `
SELECT size, root FROM hub.journal_head
-- who holds it is sequencing; there is nothing to wait for
FOR NO KEY UPDATE SKIP LOCKED`

const headSQL = `
SELECT size, root FROM hub.journal_head`

func sequence(ctx context.Context, tx pgx.Tx, most int) (Head, int, error) {
	head, err := scanHead(tx.QueryRow(ctx, lockHeadSQL))
	if errors.Is(err, pgx.ErrNoRows) {
		head, err = scanHead(tx.QueryRow(ctx, headSQL))
		return head, 0, err
	}
	if err != nil {
		return Head{}, 0, err
	}
	taken, err := dequeue(ctx, tx, most)
	if err != nil || len(taken) == 0 {
		return head, 0, err
	}
	edge, err := loadEdge(ctx, tx, head)
	if err != nil {
		return Head{}, 0, err
	}
	hashes, err := placeLeaves(ctx, tx, head.Size, taken)
	if err != nil {
		return Head{}, 0, err
	}
	tiles := edge.Append(hashes)
	head = Head{Size: edge.Size(), Root: edge.Root()}
	return head, len(taken), storeTree(ctx, tx, head, tiles)
}

func scanHead(row pgx.Row) (head Head, err error) {
	var root []byte
	if err := row.Scan(&head.Size, &root); err != nil {
		return Head{}, err
	}
	head.Root = tlog.Hash(root)
	return head, nil
}

// queued is an entry that gets its leaf.
type queued struct {
	id   uuid.UUID
	at   time.Time
	body []byte
	leaf journal.Leaf
}

const dequeueSQL = `
WITH first AS MATERIALIZED (
  SELECT q.entry_id, q.entry_at, e.body
  FROM hub.journal_queue q
  LEFT JOIN hub.journal_entry e ON e.id = q.entry_id AND e.at = q.entry_at
  -- those for the privacy officer come a day later: an ente sees the numbers of its own leaves, and
  -- from one that is left out beside its event it could tell that there is such an entry
  WHERE e.kind IS NULL OR e.kind NOT IN ($2, $3)
    OR q.entry_at < date_trunc('day', hub.hub_now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
  ORDER BY q.entry_id
  LIMIT $1
), gone AS (
  DELETE FROM hub.journal_queue q USING first WHERE q.entry_id = first.entry_id
)
SELECT first.entry_id, first.entry_at, first.body FROM first ORDER BY first.entry_id`

// dequeue takes entries from the queue. One that is no entry of this version is a leaf of the hub's own:
// nothing that stands in the journal may be left out.
func dequeue(ctx context.Context, tx pgx.Tx, most int) (all []*queued, err error) {
	rows, err := tx.Query(ctx, dequeueSQL, most, int16(journal.SubjectsJoined), int16(journal.OthersHistory))
	if err != nil {
		return nil, err
	}
	var q queued
	_, err = pgx.ForEachRow(rows, []any{&q.id, &q.at, &q.body}, func() error {
		if q.body == nil {
			// Nothing of the hub removes an entry that has no leaf.
			return journal.DamageError{Part: journal.PartBody, Entry: q.id}
		}
		taken := q
		taken.leaf.Entry = taken.body
		if e, err := journal.Parse(taken.body); err == nil {
			taken.leaf.Pair = e.Pair()
		}
		all = append(all, &taken)
		return nil
	})
	return all, err
}

const countPairsSQL = `
INSERT INTO hub.journal_pair AS p (participant_id, ente_id, leaves)
SELECT u.participant_id, u.ente_id, u.more
FROM unnest($1::integer[], $2::integer[], $3::bigint[]) AS u (participant_id, ente_id, more)
ON CONFLICT (participant_id, ente_id) DO UPDATE SET leaves = p.leaves + EXCLUDED.leaves
RETURNING p.participant_id, p.ente_id, p.leaves`

const insertLeavesSQL = `
INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
SELECT $1 + u.place - 1, u.entry_id, u.entry_at, u.participant_id, u.ente_id, u.seq
FROM unnest($2::uuid[], $3::timestamptz[], $4::integer[], $5::integer[], $6::bigint[]) WITH ORDINALITY
  AS u (entry_id, entry_at, participant_id, ente_id, seq, place)`

// placeLeaves gives the entries their numbers, from index on, and stores them.
func placeLeaves(ctx context.Context, tx pgx.Tx, index int64, taken []*queued) ([]tlog.Hash, error) {
	last, err := countPairs(ctx, tx, taken)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(taken))
	var ids uuids
	var at []time.Time
	var participants, enti []int32
	var seqs []int64
	for i, q := range taken {
		last[q.leaf.Pair]++
		q.leaf.Seq = last[q.leaf.Pair]
		hashes[i] = q.leaf.Hash()
		ids, at = ids.add(q.id), append(at, q.at)
		participants, enti = append(participants, q.leaf.Participant), append(enti, q.leaf.Ente)
		seqs = append(seqs, q.leaf.Seq)
	}
	_, err = tx.Exec(ctx, insertLeavesSQL, index, ids, at, participants, enti, seqs)
	if isUniqueViolation(err) {
		// Under the head's lock nobody else gives leaves: one that stands where the next belongs, or for an
		// entry that waited, was put there by somebody, or a pair's count was changed.
		return nil, journal.DamageError{Part: journal.PartPlace, Number: index}
	}
	return hashes, err
}

// countPairs adds the entries to their pairs' counts and gives each pair's count before.
func countPairs(ctx context.Context, tx pgx.Tx, taken []*queued) (map[journal.Pair]int64, error) {
	more := map[journal.Pair]int64{}
	for _, q := range taken {
		more[q.leaf.Pair]++
	}
	var participants, enti []int32
	var counts []int64
	for pair, n := range more {
		participants, enti, counts = append(participants, pair.Participant), append(enti, pair.Ente), append(counts, n)
	}
	rows, err := tx.Query(ctx, countPairsSQL, participants, enti, counts)
	if err != nil {
		return nil, err
	}
	before := make(map[journal.Pair]int64, len(more))
	var pair journal.Pair
	var leaves int64
	_, err = pgx.ForEachRow(rows, []any{&pair.Participant, &pair.Ente, &leaves}, func() error {
		before[pair] = leaves - more[pair]
		return nil
	})
	return before, err
}

const storeTilesSQL = `
INSERT INTO hub.journal_tile AS t (level, number, hashes)
SELECT u.level, u.number, u.hashes
FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS u (level, number, hashes)
ON CONFLICT (level, number) DO UPDATE SET hashes = EXCLUDED.hashes`

const moveHeadSQL = `
UPDATE hub.journal_head SET size = $1, root = $2`

func storeTree(ctx context.Context, tx pgx.Tx, head Head, tiles []journal.Tile) error {
	var levels []int16
	var numbers []int64
	var hashes [][]byte
	for _, t := range tiles {
		levels, numbers = append(levels, int16(t.Level)), append(numbers, t.Number) //nolint:gosec // up to MaxLevel
		hashes = append(hashes, t.Hashes)
	}
	if _, err := tx.Exec(ctx, storeTilesSQL, levels, numbers, hashes); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, moveHeadSQL, head.Size, head.Root[:])
	return err
}

// session is a pool or a transaction.
type session interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// loadEdge reads the edge of the tree.
func loadEdge(ctx context.Context, q session, head Head) (*journal.Edge, error) {
	data, err := readTiles(ctx, q, journal.EdgeTiles(head.Size))
	if err != nil {
		return nil, err
	}
	return journal.LoadEdge(head.Size, head.Root, data)
}

const readTilesSQL = `
SELECT u.place, substring(t.hashes FOR u.bytes)
FROM unnest($1::smallint[], $2::bigint[], $3::integer[]) WITH ORDINALITY AS u (level, number, bytes, place)
JOIN hub.journal_tile t ON t.level = u.level AND t.number = u.number`

// readTiles reads tiles at the widths asked for, which may be less than they have by now. It is
// journal.ErrTree if one is missing or shorter.
func readTiles(ctx context.Context, q session, tiles []tlog.Tile) ([][]byte, error) {
	if len(tiles) == 0 {
		return nil, nil
	}
	var levels []int16
	var numbers []int64
	var sizes []int32
	for _, t := range tiles {
		levels, numbers = append(levels, int16(t.L)), append(numbers, t.N) //nolint:gosec // up to MaxLevel
		sizes = append(sizes, int32(t.W*tlog.HashSize))                    //nolint:gosec // up to 8,192
	}
	rows, err := q.Query(ctx, readTilesSQL, levels, numbers, sizes)
	if err != nil {
		return nil, err
	}
	data := make([][]byte, len(tiles))
	var place int
	var hashes []byte
	if _, err := pgx.ForEachRow(rows, []any{&place, &hashes}, func() error {
		data[place-1] = append([]byte(nil), hashes...)
		return nil
	}); err != nil {
		return nil, err
	}
	for i, t := range tiles {
		if len(data[i]) != t.W*tlog.HashSize {
			return nil, journal.DamageError{Part: journal.PartTile, Level: t.L, Number: t.N}
		}
	}
	return data, nil
}

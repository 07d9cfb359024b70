package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/journal"
)

// What is here finds what somebody changed in the journal's tables where neither the sequencer nor a
// checkpoint comes by. Each call looks at a few rows, by indexes, in one snapshot.

// EntryAt is where an entry stands among all, which are in the order of their ids. The zero one is before
// the first.
type EntryAt struct {
	// ID is the entry's.
	ID uuid.UUID
	// At is when it was written; two rows may have one id, by somebody else's hand.
	At time.Time
}

const newestEntriesSQL = `
SELECT e.id, e.at FROM hub.journal_entry e ORDER BY e.id DESC, e.at DESC OFFSET $1 LIMIT 1`

// BeforeNewest is the place that so many entries follow, the zero one if there are fewer.
func (s *Store) BeforeNewest(ctx context.Context, entries int) (at EntryAt, err error) {
	err = s.pool.QueryRow(ctx, newestEntriesSQL, entries).Scan(&at.ID, &at.At)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return EntryAt{}, unavailable(err)
	}
	return at, nil
}

// Both tables in one snapshot: the sequencer takes an entry from the queue in the transaction that gives
// it its leaf, so that one is in neither of them for nobody.
const leaflessSQL = `
WITH page AS MATERIALIZED (
  SELECT e.id, e.at FROM hub.journal_entry e
  WHERE (e.id, e.at) > ($1, $2) AND e.id < $3
  ORDER BY e.id, e.at
  LIMIT $4
), judged AS (
  SELECT p.id, p.at, row_number() OVER (ORDER BY p.id, p.at) AS place, count(*) OVER () AS looked,
    NOT EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = p.id AND l.entry_at = p.at)
    AND NOT EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = p.id AND q.entry_at = p.at) AS lost
  FROM page p
)
SELECT j.id, j.at, j.lost, j.looked FROM judged j
WHERE j.lost OR j.place = j.looked
ORDER BY j.place`

// Leafless looks at the next entries behind one, at most so many, whose ids are below before, and gives
// those that have no leaf and do not wait for one, where to go on, and how many it looked at.
func (s *Store) Leafless(ctx context.Context, after EntryAt, before uuid.UUID, most int) (lost []EntryAt, next EntryAt, looked int, err error) {
	rows, err := s.pool.Query(ctx, leaflessSQL, after.ID, after.At, before, most)
	if err != nil {
		return nil, after, 0, unavailable(err)
	}
	next = after
	var gone bool
	if _, err := pgx.ForEachRow(rows, []any{&next.ID, &next.At, &gone, &looked}, func() error {
		if gone {
			lost = append(lost, next)
		}
		return nil
	}); err != nil {
		return nil, after, 0, unavailable(err)
	}
	return lost, next, looked, nil
}

const countsSQL = `
SELECT $1::smallint, h.size, 0, 0
FROM hub.journal_head h
WHERE EXISTS (SELECT FROM hub.journal_leaf l WHERE l.leaf_index >= h.size)
UNION ALL
SELECT $2::smallint, 0, p.participant_id, p.ente_id
FROM hub.journal_pair p
WHERE p.leaves IS DISTINCT FROM (
  SELECT l.seq FROM hub.journal_leaf l
  WHERE l.participant_id = p.participant_id AND l.ente_id = p.ente_id
  ORDER BY l.seq DESC LIMIT 1
)`

// CheckCounts finds leaves behind the head, and pairs whose number of leaves is not that of their last one.
func (s *Store) CheckCounts(ctx context.Context) (found []journal.DamageError, err error) {
	rows, err := s.pool.Query(ctx, countsSQL, int16(journal.PartPlace), int16(journal.PartPair))
	if err != nil {
		return nil, unavailable(err)
	}
	var d journal.DamageError
	if _, err := pgx.ForEachRow(rows, []any{&d.Part, &d.Number, &d.Pair.Participant, &d.Pair.Ente}, func() error {
		found = append(found, d)
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

// TileAt names a tile.
type TileAt struct {
	// Level and Number are as in journal.Tile.
	Level  int
	Number int64
}

// TopTile is the first tile of the highest level of a tree that has any; false for an empty tree.
func (h Head) TopTile() (TileAt, bool) {
	edge := journal.EdgeTiles(h.Size)
	if len(edge) == 0 {
		return TileAt{}, false
	}
	level := edge[len(edge)-1].L
	return TileAt{Level: level}, true
}

// NextTile is the one to look at after another, down the levels, so that a tile is looked at after the one
// that has its hash; false at the end.
func (h Head) NextTile(t TileAt) (TileAt, bool) {
	t.Number++
	for h.width(t) == 0 {
		if t.Level == 0 {
			return TileAt{}, false
		}
		t = TileAt{Level: t.Level - 1}
	}
	return t, true
}

// width is how many hashes a tile has in the tree.
func (h Head) width(t TileAt) int {
	return int(max(0, min(journal.TileWidth, h.Size>>(journal.TileHeight*t.Level)-t.Number*journal.TileWidth)))
}

// tlog is a tile in x/mod's words, with its width.
func (h Head) tlog(t TileAt) tlog.Tile {
	return tlog.Tile{H: journal.TileHeight, L: t.Level, N: t.Number, W: h.width(t)}
}

// CheckTile holds a tile of the tree of a head against the tile above, that of the edge against the root,
// and the leaves of one of level 0 against what is stored of them. It gives what is not as it must be.
// Errors are *hub.Error of kind Unavailable.
func (s *Store) CheckTile(ctx context.Context, head Head, t TileAt) ([]journal.DamageError, error) {
	found, err := checkTile(ctx, s.pool, head, t)
	if err != nil {
		return nil, unavailable(err)
	}
	return found, nil
}

func checkTile(ctx context.Context, q session, head Head, t TileAt) ([]journal.DamageError, error) {
	if head.width(t) == 0 {
		return nil, nil
	}
	if head.width(t) < journal.TileWidth {
		return checkEdge(ctx, q, head)
	}
	above := TileAt{Level: t.Level + 1, Number: t.Number / journal.TileWidth}
	data, err := readTiles(ctx, q, []tlog.Tile{head.tlog(t), head.tlog(above)})
	if damage, ok := errors.AsType[journal.DamageError](err); ok {
		return []journal.DamageError{damage}, nil
	}
	if err != nil {
		return nil, err
	}
	if journal.TileHash(data[0]) != hashIn(data[1], int(t.Number%journal.TileWidth)) {
		return []journal.DamageError{tileDamage(t)}, nil
	}
	if t.Level > 0 {
		return nil, nil
	}
	return checkLeaves(ctx, q, t.Number, data[0])
}

func tileDamage(t TileAt) journal.DamageError {
	return journal.DamageError{Part: journal.PartTile, Level: t.Level, Number: t.Number}
}

// hashIn is one hash of a tile.
func hashIn(tile []byte, n int) tlog.Hash { return tlog.Hash(tile[n*tlog.HashSize:][:tlog.HashSize]) }

// Entries of refusals are kept for seven days at least, all others for longer (migration 00019).
const tileLeavesSQL = `
SELECT l.leaf_index, l.entry_id, l.participant_id, l.ente_id, l.seq, e.body, l.entry_at > hub.hub_now() - interval '7 days'
FROM hub.journal_leaf l
-- OFFSET as in leavesSQL
LEFT JOIN LATERAL (
  SELECT j.body FROM hub.journal_entry j WHERE j.id = l.entry_id AND j.at = l.entry_at OFFSET 0
) AS e ON true
WHERE l.leaf_index >= $1 AND l.leaf_index < $2
ORDER BY l.leaf_index`

// checkLeaves holds the leaves of a tile against its hashes. That an entry went by retention is no damage.
func checkLeaves(ctx context.Context, q session, number int64, hashes []byte) (found []journal.DamageError, err error) {
	first := number * journal.TileWidth
	end := first + int64(len(hashes)/tlog.HashSize)
	rows, err := q.Query(ctx, tileLeavesSQL, first, end)
	if err != nil {
		return nil, err
	}
	missing := func(from, to int64) {
		for ; from < to; from++ {
			found = append(found, journal.DamageError{Part: journal.PartLeaf, Number: from})
		}
	}
	var leaf journal.Leaf
	var entry uuid.UUID
	var index int64
	var young bool
	next := first
	_, err = pgx.ForEachRow(rows, []any{&index, &entry, &leaf.Participant, &leaf.Ente, &leaf.Seq, &leaf.Entry, &young}, func() error {
		missing(next, index)
		next = index + 1
		if leaf.Entry == nil && young || leaf.Entry != nil && leaf.Hash() != hashIn(hashes, int(index-first)) {
			found = append(found, journal.DamageError{Part: journal.PartLeaf, Number: index, Entry: entry})
		}
		return nil
	})
	missing(next, end)
	return found, err
}

// CheckEdge holds the tiles that the next leaf goes on from against the root and against what they are
// made of, and gives what is not as it must be. Errors are as of CheckTile.
func (s *Store) CheckEdge(ctx context.Context) ([]journal.DamageError, error) {
	head, err := scanHead(s.pool.QueryRow(ctx, headSQL))
	if err == nil {
		var found []journal.DamageError
		if found, err = checkEdge(ctx, s.pool, head); err == nil {
			return found, nil
		}
	}
	return nil, unavailable(err)
}

func checkEdge(ctx context.Context, q session, head Head) ([]journal.DamageError, error) {
	edge := journal.EdgeTiles(head.Size)
	data, err := readTiles(ctx, q, edge)
	if damage, ok := errors.AsType[journal.DamageError](err); ok {
		return []journal.DamageError{damage}, nil
	}
	if err != nil {
		return nil, err
	}
	var found []journal.DamageError
	if len(edge) > 0 && edge[0].L == 0 {
		if found, err = checkLeaves(ctx, q, edge[0].N, data[0]); err != nil {
			return nil, err
		}
	}
	if _, err := journal.LoadEdge(head.Size, head.Root, data); err == nil {
		return found, nil
	}
	// The root says that one of them is wrong: that of level 0 if its leaves say so, else the first whose
	// tiles below say so, else the root itself.
	if len(found) > 0 {
		return []journal.DamageError{tileDamage(TileAt{Level: 0, Number: edge[0].N})}, nil
	}
	for i, t := range edge {
		if t.L == 0 {
			continue
		}
		same, err := madeOf(ctx, q, t, data[i])
		if err != nil {
			return nil, err
		}
		if !same {
			return []journal.DamageError{tileDamage(TileAt{Level: t.L, Number: t.N})}, nil
		}
	}
	return []journal.DamageError{{Part: journal.PartHead}}, nil
}

// madeOf tells whether a tile has the hashes of the tiles below it.
func madeOf(ctx context.Context, q session, t tlog.Tile, hashes []byte) (bool, error) {
	for n := range t.W {
		below := tlog.Tile{H: journal.TileHeight, L: t.L - 1, N: t.N*journal.TileWidth + int64(n), W: journal.TileWidth}
		data, err := readTiles(ctx, q, []tlog.Tile{below})
		if errors.Is(err, journal.ErrTree) {
			continue // it cannot tell
		}
		if err != nil {
			return false, err
		}
		if hash := journal.TileHash(data[0]); !bytes.Equal(hash[:], hashes[n*tlog.HashSize:][:tlog.HashSize]) {
			return false, nil
		}
	}
	return true, nil
}

// blame gives the damage among tiles that are not what the root says, from above; false if there is none.
func blame(ctx context.Context, q session, head Head, read []tlog.Tile) (journal.DamageError, bool) {
	slices.SortFunc(read, func(a, b tlog.Tile) int { return b.L - a.L })
	for _, t := range read {
		found, err := checkTile(ctx, q, head, TileAt{Level: t.L, Number: t.N})
		if err != nil {
			return journal.DamageError{}, false
		}
		for _, d := range found {
			if d.Part != journal.PartLeaf {
				return d, true
			}
		}
	}
	return journal.DamageError{}, false
}

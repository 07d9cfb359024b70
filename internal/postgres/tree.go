package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// JournalHead is how far the tree has grown.
func (s *Store) JournalHead(ctx context.Context) (Head, error) {
	head, err := scanHead(s.pool.QueryRow(ctx, headSQL))
	return head, treeError(err)
}

// tileReader reads tiles for x/mod, which checks them against a root.
type tileReader struct {
	q   session
	ctx func() context.Context
	// read are all that were asked for.
	read *[]tlog.Tile
}

func (tileReader) Height() int { return journal.TileHeight }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	*r.read = append(*r.read, tiles...)
	data, err := readTiles(r.ctx(), r.q, tiles)
	if err != nil && !errors.Is(err, journal.ErrTree) {
		return nil, unreadError{err}
	}
	return data, err
}

// unreadError says that tiles could not be read, which says nothing of what they are: x/mod finds errors of its
// own in those that could.
type unreadError struct{ error }

// Unwrap gives the cause.
func (e unreadError) Unwrap() error { return e.error }

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// hashesOf reads the hashes of a tree of that head; every one is checked against the root. It tells the
// tiles that were read for that.
func hashesOf(ctx context.Context, q session, head Head) (hashes tlog.HashReader, read *[]tlog.Tile) {
	reader := tileReader{q: q, ctx: func() context.Context { return ctx }, read: new([]tlog.Tile)}
	return tlog.TileHashReader(tlog.Tree{N: head.Size, Hash: head.Root}, reader), reader.read
}

// CheckConsistent tells whether a checkpoint that was signed once is a beginning of the journal as it is
// now: journal.ErrTree if it is not, a journal.DamageError if what is stored is no tree of its root.
func (s *Store) CheckConsistent(ctx context.Context, c journal.Checkpoint) error {
	head, err := s.JournalHead(ctx)
	if err != nil {
		return err
	}
	return s.consistent(ctx, s.pool, head, c)
}

func (s *Store) consistent(ctx context.Context, q session, head Head, c journal.Checkpoint) error {
	if c.Note == "" {
		return nil
	}
	hashes, read := hashesOf(ctx, q, head)
	err := c.Consistent(head.Size, head.Root, hashes)
	if err == nil || errors.Is(err, journal.ErrTree) {
		return err
	}
	if _, ok := errors.AsType[unreadError](err); ok {
		return unavailable(err)
	}
	if damage, ok := blame(ctx, q, head, *read); ok {
		return damage
	}
	return journal.ErrTree
}

const lastCheckpointSQL = `
SELECT c.id, c.size, c.note FROM hub.journal_checkpoint c ORDER BY c.id DESC LIMIT 1`

const insertCheckpointSQL = `
INSERT INTO hub.journal_checkpoint (size, root, at, note) VALUES ($1, $2, $3, $4)`

const waitHeadSQL = `
SELECT size, root FROM hub.journal_head FOR NO KEY UPDATE`

// Notary signs checkpoints.
type Notary struct {
	// Sign signs a head at a time.
	Sign func(size int64, root tlog.Hash, at time.Time) (journal.Checkpoint, error)
	// Open reads what was signed.
	Open func(note string) (journal.Checkpoint, error)
	// Known is the last checkpoint that this instance knows; zero for none.
	Known journal.Checkpoint
}

// CheckpointDue says when a new one is due.
type CheckpointDue struct {
	// Leaves more than the last one has, or Age since it.
	Leaves int64
	Age    time.Duration
}

const nowSQL = `
SELECT hub.hub_now()`

// Checkpoint gives the last checkpoint of the journal, after signing one if one is due. Only one
// instance signs at a time, and only a tree that the database's last checkpoint and the one that it knows
// itself are beginnings of: else it is journal.ErrTree and nothing is signed. Times are the database's
// and never go back.
func (s *Store) Checkpoint(ctx context.Context, n Notary, due CheckpointDue) (last journal.Checkpoint, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
		last, err = s.checkpoint(ctx, tx, n, due)
		return err
	})
	return last, treeError(err)
}

func (s *Store) checkpoint(ctx context.Context, tx pgx.Tx, n Notary, due CheckpointDue) (journal.Checkpoint, error) {
	head, err := scanHead(tx.QueryRow(ctx, waitHeadSQL))
	if err != nil {
		return journal.Checkpoint{}, err
	}
	var now time.Time
	if err := tx.QueryRow(ctx, nowSQL).Scan(&now); err != nil {
		return journal.Checkpoint{}, err
	}
	last, err := lastCheckpoint(ctx, tx, n.Open)
	if err != nil {
		return journal.Checkpoint{}, err
	}
	err = s.consistent(ctx, tx, head, last)
	if err == nil && n.Known.Note != last.Note {
		err = s.consistent(ctx, tx, head, n.Known)
	}
	if err != nil {
		return journal.Checkpoint{}, err
	}
	if last.Note != "" && head.Size-last.Size < due.Leaves && now.Sub(last.At) < due.Age {
		return last, nil
	}
	if !now.After(last.At) {
		now = last.At.Add(time.Microsecond)
	}
	signed, err := n.Sign(head.Size, head.Root, now)
	if err != nil {
		return journal.Checkpoint{}, err
	}
	_, err = tx.Exec(ctx, insertCheckpointSQL, signed.Size, signed.Root[:], signed.At, signed.Note)
	return signed, err
}

// lastCheckpoint is the zero checkpoint if there is none. One that no key of ours signed is
// journal.ErrTree: somebody wrote it.
func lastCheckpoint(ctx context.Context, q session, open func(string) (journal.Checkpoint, error)) (journal.Checkpoint, error) {
	var id, size int64
	var text string
	err := q.QueryRow(ctx, lastCheckpointSQL).Scan(&id, &size, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		return journal.Checkpoint{}, nil
	}
	if err != nil {
		return journal.Checkpoint{}, err
	}
	c, err := open(text)
	if err != nil || c.Size != size {
		return journal.Checkpoint{}, journal.ErrTree
	}
	return c, nil
}

const hasCheckpointSQL = `
SELECT EXISTS (SELECT FROM hub.journal_checkpoint)`

// HasCheckpoint tells whether the journal was ever signed.
func (s *Store) HasCheckpoint(ctx context.Context) (signed bool, err error) {
	if err := s.pool.QueryRow(ctx, hasCheckpointSQL).Scan(&signed); err != nil {
		return false, unavailable(err)
	}
	return signed, nil
}

const acceptedSinceSQL = `
SELECT EXISTS (
  SELECT FROM hub.journal_leaf l
  JOIN hub.journal_entry e ON e.id = l.entry_id AND e.at = l.entry_at
  WHERE l.leaf_index >= $1 AND e.kind = $2
    AND l.leaf_index < (SELECT c.size FROM hub.journal_checkpoint c ORDER BY c.id DESC OFFSET $3 LIMIT 1)
)`

// AcceptedSince tells whether an event was accepted whose leaf is one of those from size on, those of
// the last checkpoints left out.
func (s *Store) AcceptedSince(ctx context.Context, size int64, checkpoints int) (accepted bool, err error) {
	if err := s.pool.QueryRow(ctx, acceptedSinceSQL, size, int16(journal.EventAccepted), checkpoints).Scan(&accepted); err != nil {
		return false, unavailable(err)
	}
	return accepted, nil
}

// Proof shows that an entry stands in the journal.
type Proof struct {
	// Index is the leaf's number, from 0.
	Index int64
	// Leaf are the leaf's bytes.
	Leaf []byte
	// Hashes are those of the inclusion proof (RFC 6962, 2.1.1), from the leaf up.
	Hashes []tlog.Hash
}

const leafSQL = `
SELECT l.leaf_index, l.participant_id, l.ente_id, l.seq, e.body
FROM hub.journal_leaf l
JOIN hub.journal_entry e ON e.id = l.entry_id AND e.at = l.entry_at
WHERE l.entry_id = $1`

// Prove proves that an entry stands in the tree of a checkpoint; nil if it has no leaf there yet, or its
// bytes are no longer kept. Errors are as of Sequence.
func (s *Store) Prove(ctx context.Context, entry uuid.UUID, c journal.Checkpoint) (*Proof, error) {
	var p Proof
	var leaf journal.Leaf
	err := s.pool.QueryRow(ctx, leafSQL, entry).Scan(&p.Index, &leaf.Participant, &leaf.Ente, &leaf.Seq, &leaf.Entry)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && p.Index >= c.Size {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	if err != nil {
		return nil, unavailable(err)
	}
	p.Leaf = leaf.Bytes()
	hashes, _ := hashesOf(ctx, s.pool, Head{Size: c.Size, Root: c.Root})
	p.Hashes, err = tlog.ProveRecord(c.Size, p.Index, hashes)
	if _, ok := errors.AsType[unreadError](err); ok {
		return nil, unavailable(err)
	}
	if err != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, journal.ErrTree)
	}
	if tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, leaf.Hash()) != nil {
		return nil, hub.NewError(hub.Internal, hub.CodeInternal, journal.ErrTree)
	}
	return &p, nil
}

const queueAgeSQL = `
SELECT extract(epoch FROM hub.hub_now() - q.entry_at)::float8
FROM hub.journal_queue q
LEFT JOIN hub.journal_entry e ON e.id = q.entry_id AND e.at = q.entry_at
-- the sequencer waits for one whose bytes are gone, too
WHERE e.kind IS NULL OR e.kind NOT IN ($1, $2)
  OR q.entry_at < date_trunc('day', hub.hub_now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
ORDER BY q.entry_id LIMIT 1`

// QueueAge is the age of the first entry that could have its leaf and has none; 0 if there is none.
func (s *Store) QueueAge(ctx context.Context) (time.Duration, error) {
	var age float64
	err := s.pool.QueryRow(ctx, queueAgeSQL, int16(journal.SubjectsJoined), int16(journal.OthersHistory)).Scan(&age)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, unavailable(err)
	}
	return max(0, time.Duration(age*float64(time.Second))), nil
}

package postgres_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// note makes an entry of the hub's or of an ente.
func note(kind journal.Kind, participant, ente int32) journal.Entry {
	return journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: time.Now().UTC().Truncate(time.Microsecond), Kind: kind, Environment: hub.Prod,
		Participant: participant, Ente: ente, Outcome: "x",
	}
}

func record(t *testing.T, store *postgres.Store, entries ...journal.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := store.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// sequence gives all that waits its leaves.
func sequence(t *testing.T, store *postgres.Store) postgres.Head {
	t.Helper()
	for {
		head, added, err := store.Sequence(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if added < 100 {
			return head
		}
	}
}

func journalKey(tb testing.TB) *journal.Key {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "journal")
	if _, err := journal.MakeKey(dir, "sinbahub/PROVA"); err != nil {
		tb.Fatal(err)
	}
	key, err := journal.LoadKey(dir, "sinbahub/PROVA")
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// always makes a checkpoint whatever came.
func always(t *testing.T, store *postgres.Store, key *journal.Key, known journal.Checkpoint) (journal.Checkpoint, error) {
	t.Helper()
	return store.Checkpoint(t.Context(), postgres.Notary{Sign: key.Sign, Open: key.Open, Known: known}, postgres.CheckpointDue{})
}

// checkLeaves holds every leaf against the tree that x/mod computes from the entries' bytes, and the
// pairs' sequences against their numbers.
func checkLeaves(t *testing.T, db hubtest.DB, head postgres.Head) {
	t.Helper()
	rows, err := superuser(t, db).Query(t.Context(), `
		SELECT l.participant_id, l.ente_id, l.seq, e.body FROM hub.journal_leaf l
		JOIN hub.journal_entry e ON e.id = l.entry_id AND e.at = l.entry_at ORDER BY l.leaf_index`)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		all := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			all[i] = hashes[x]
		}
		return all, nil
	})
	var leaf journal.Leaf
	last, n := map[journal.Pair]int64{}, int64(0)
	if _, err := pgx.ForEachRow(rows, []any{&leaf.Participant, &leaf.Ente, &leaf.Seq, &leaf.Entry}, func() error {
		if last[leaf.Pair]++; leaf.Seq != last[leaf.Pair] {
			t.Errorf("%v has %d where %d is next", leaf.Pair, leaf.Seq, last[leaf.Pair])
		}
		more, err := tlog.StoredHashes(n, leaf.Bytes(), reader)
		hashes, n = append(hashes, more...), n+1
		return err
	}); err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(n, reader)
	if err != nil || n != head.Size || root != head.Root {
		t.Errorf("%d leaves with root %v, the head says %+v (%v)", n, root, head, err)
	}
}

func TestSequenceGivesEveryEntryOneLeaf(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	if head := sequence(t, store); head.Size != 0 {
		t.Fatalf("an empty journal has %d leaves", head.Size)
	}
	for portion := range 4 {
		for i := range 130 {
			record(t, store, note(journal.RequestRefused, int32(i%3), int32(portion)))
		}
		checkLeaves(t, db, sequence(t, store))
	}
}

// TestSequencersTakeTurns: several at once, while entries are written, give each entry one leaf.
func TestSequencersTakeTurns(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	stores := []*postgres.Store{open(t, db), open(t, db), open(t, db)}
	var writing, sequencing sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	worked := make([]int, len(stores))
	for i, store := range stores {
		writing.Go(func() {
			for range 60 {
				record(t, store, note(journal.OperatorActed, int32(i), 1))
			}
		})
		sequencing.Go(func() {
			for ctx.Err() == nil {
				_, added, err := store.Sequence(context.WithoutCancel(ctx), 7)
				if err != nil {
					t.Error(err)
					return
				}
				worked[i] += added
			}
		})
	}
	writing.Wait()
	stop()
	sequencing.Wait()
	head := sequence(t, stores[0])
	if head.Size != 180 {
		t.Errorf("%d leaves for 180 entries (%v)", head.Size, worked)
	}
	checkLeaves(t, db, head)
}

// A transaction that takes long gets a later leaf and holds nobody up.
func TestLateEntryGetsALaterLeaf(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, slow := open(t, db), superuser(t, db)
	late := note(journal.OperatorActed, 1, 1)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `WITH e AS (INSERT INTO hub.journal_entry (id, at, kind, body) VALUES ($1, $2, $3, $4))
		INSERT INTO hub.journal_queue (entry_id, entry_at) VALUES ($1, $2)`, late.ID, late.At, int16(late.Kind), late.Bytes()); err != nil {
		t.Fatal(err)
	}
	record(t, store, note(journal.OperatorActed, 1, 1))
	if head := sequence(t, store); head.Size != 1 {
		t.Fatalf("%d leaves while one is being written", head.Size)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := sequence(t, store)
	if head.Size != 2 {
		t.Errorf("%d leaves", head.Size)
	}
	checkLeaves(t, db, head)
}

// An ente that sees the numbers of its leaves cannot see that there is an internal entry about its event.
func TestInternalEntriesComeADayLaterInNobodysSequence(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	record(t, store, note(journal.EventAccepted, 1, 1), note(journal.SubjectsJoined, 1, 1),
		note(journal.OthersHistory, 1, 1), note(journal.EventAccepted, 1, 1))
	if head := sequence(t, store); head.Size != 2 {
		t.Fatalf("%d leaves on the day itself", head.Size)
	}
	if age, err := store.QueueAge(t.Context()); err != nil || age != 0 {
		t.Errorf("they count as late: %v %v", age, err)
	}
	advance(t, db, "1 day")
	later := open(t, db)
	record(t, later, note(journal.EventAccepted, 1, 1))
	head := sequence(t, later)
	if head.Size != 5 {
		t.Errorf("%d leaves a day later", head.Size)
	}
	checkLeaves(t, db, head)
	if n := hubtest.Number(t, superuser(t, db), "SELECT leaves FROM hub.journal_pair WHERE participant_id = 1 AND ente_id = 1"); n != 3 {
		t.Errorf("the ente's sequence has %d", n)
	}
}

// TestProofIsMadeForWhatACheckpointHolds: for every leaf, by the checkpoint's tree and not a later one.
func TestProofIsMadeForWhatACheckpointHolds(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	key := journalKey(t)
	var entries []journal.Entry
	for range 300 {
		e := note(journal.EventAccepted, 1, 1)
		record(t, store, e)
		entries = append(entries, e)
	}
	sequence(t, store)
	c, err := always(t, store, key, journal.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	after := note(journal.EventAccepted, 1, 1)
	record(t, store, after)
	if p, err := store.Prove(t.Context(), after.ID, c); p != nil || err != nil {
		t.Errorf("without a leaf: %v %v", p, err)
	}
	sequence(t, store)
	if p, err := store.Prove(t.Context(), after.ID, c); p != nil || err != nil {
		t.Errorf("behind the checkpoint: %v %v", p, err)
	}
	for i := 0; i < len(entries); i += 37 {
		p, err := store.Prove(t.Context(), entries[i].ID, c)
		if err != nil || p == nil {
			t.Fatal(i, err)
		}
		leaf := journal.Leaf{Entry: entries[i].Bytes(), Pair: entries[i].Pair(), Seq: int64(i + 1)}
		if err := tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, leaf.Hash()); err != nil || string(p.Leaf) != string(leaf.Bytes()) {
			t.Errorf("leaf %d: %v", i, err)
		}
	}
}

// A connection that breaks while tiles are read says nothing of the tree.
func TestLostConnectionIsNoBrokenTree(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, key := open(t, db), journalKey(t)
	entries := []journal.Entry{note(journal.EventAccepted, 1, 1), note(journal.EventAccepted, 1, 1)}
	record(t, store, entries...)
	sequence(t, store)
	c, err := always(t, store, key, journal.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	record(t, store, note(journal.EventAccepted, 1, 1))
	sequence(t, store)
	if _, err := superuser(t, db).Exec(t.Context(), `
ALTER TABLE hub.journal_tile RENAME TO journal_tile_there;
CREATE VIEW hub.journal_tile AS
SELECT level, number, hashes FROM hub.journal_tile_there
WHERE CASE WHEN pg_terminate_backend(pg_backend_pid()) THEN pg_sleep(10) IS NOT NULL END;
GRANT SELECT ON hub.journal_tile TO hub_app`); err != nil {
		t.Fatal(err)
	}
	_, proven := store.Prove(t.Context(), entries[0].ID, c)
	for what, err := range map[string]error{"proof": proven, "consistency": store.CheckConsistent(t.Context(), c)} {
		var fault *hub.Error
		if errors.Is(err, journal.ErrTree) || !errors.As(err, &fault) || fault.Kind != hub.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCheckpointsAreSignedWhenDue(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store, key := open(t, db), journalKey(t)
	n := postgres.Notary{Sign: key.Sign, Open: key.Open}
	due := postgres.CheckpointDue{Leaves: 3, Age: time.Minute}
	sign := func(store *postgres.Store) journal.Checkpoint {
		t.Helper()
		sequence(t, store)
		c, err := store.Checkpoint(t.Context(), n, due)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := sign(store)
	record(t, store, note(journal.OperatorActed, 0, 0), note(journal.OperatorActed, 0, 0))
	if c := sign(store); c.Note != first.Note {
		t.Error("signed for two entries")
	}
	record(t, store, note(journal.OperatorActed, 0, 0))
	third := sign(store)
	if third.Size != 3 || !third.At.After(first.At) {
		t.Errorf("%+v after %+v", third, first)
	}
	advance(t, db, "2 minutes")
	if c := sign(open(t, db)); c.Size != 3 || c.Note == third.Note {
		t.Errorf("not signed after two minutes: %+v", c)
	}
	advance(t, db, "0")
	record(t, store, note(journal.OperatorActed, 0, 0), note(journal.OperatorActed, 0, 0), note(journal.OperatorActed, 0, 0))
	back := sign(open(t, db))
	if back.Size != 6 || back.At.Before(third.At.Add(2*time.Minute)) {
		t.Errorf("time went back with the clock: %+v", back)
	}
}

// TestChangedTreeIsNoticed: each of these is what a superuser or a restored backup makes of a journal that
// was signed. It is noticed at the next leaf, at the next checkpoint or, where it touches neither, by who
// asks for a proof; and no other root is ever signed.
func TestChangedTreeIsNoticed(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"tail cut and head moved": `WITH a AS (DELETE FROM hub.journal_leaf WHERE leaf_index >= 200), b AS (DELETE FROM hub.journal_checkpoint)
			UPDATE hub.journal_head SET size = 200, root = decode('%s', 'hex')`,
		"head's root":                "UPDATE hub.journal_head SET root = sha256('x')",
		"head's size":                "UPDATE hub.journal_head SET size = size - 1",
		"a hash of a full tile":      "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 0 AND number = 0",
		"a hash of the growing tile": "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 0 AND number = 1",
		"a hash above":               "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE level = 1",
		"a tile gone":                "DELETE FROM hub.journal_tile WHERE level = 0 AND number = 0",
		"a checkpoint of no key":     "INSERT INTO hub.journal_checkpoint (size, root, at, note) SELECT size, root, now(), 'x' FROM hub.journal_head",
		"a checkpoint's size":        "UPDATE hub.journal_checkpoint SET size = size + 1",
		"a forged leaf at the next number": `INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
			VALUES (300, gen_random_uuid(), now(), 77, 77, 1)`,
		"a forged leaf of the entry that waits": `INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
			SELECT 9000, q.entry_id, q.entry_at, 77, 77, 1 FROM hub.journal_queue q LIMIT 1`,
		"a forged leaf in the sequence of the entry that waits": `INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
			VALUES (9000, gen_random_uuid(), now(), 9, 9, 1)`,
		"a pair's count gone": "DELETE FROM hub.journal_pair WHERE participant_id = 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store, key, conn := open(t, db), journalKey(t), superuser(t, db)
			oldest := note(journal.OperatorActed, 0, 1)
			for i := range 300 {
				if record(t, store, oldest); i > 0 {
					record(t, store, note(journal.OperatorActed, int32(i%2), 1))
				}
				if i == 199 {
					sequence(t, store)
				}
			}
			middle := hubtest.Number(t, conn, "SELECT size FROM hub.journal_head")
			root := middleRoot(t, conn)
			sequence(t, store)
			known, err := always(t, store, key, journal.Checkpoint{})
			if err != nil || known.Size != 300 || middle != 200 {
				t.Fatal(err, known.Size, middle)
			}
			if name == "tail cut and head moved" {
				sql = strings.ReplaceAll(sql, "%s", root)
			}
			record(t, store, note(journal.OperatorActed, 9, 9), note(journal.OperatorActed, 1, 1))
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			_, _, sequenced := store.Sequence(t.Context(), 100)
			c, signed := always(t, store, key, known)
			_, proven := store.Prove(t.Context(), oldest.ID, known)
			if !errors.Is(sequenced, journal.ErrTree) && !errors.Is(signed, journal.ErrTree) && !errors.Is(proven, journal.ErrTree) {
				t.Errorf("not noticed: leaf %v, checkpoint %v, proof %v", sequenced, signed, proven)
			}
			if signed == nil && c.Size == known.Size && c.Root != known.Root || c.Size < known.Size && signed == nil {
				t.Errorf("signed %+v after %+v", c, known)
			}
		})
	}
}

// An entry whose bytes are gone before it has its leaf stops the sequencer: it must not be left out.
func TestEntryThatLostItsBytesIsNotLeftOut(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	e := note(journal.OperatorActed, 1, 1)
	record(t, store, e)
	if _, err := superuser(t, db).Exec(t.Context(), "DELETE FROM hub.journal_entry"); err != nil {
		t.Fatal(err)
	}
	want := journal.DamageError{Part: journal.PartBody, Entry: e.ID}
	if _, added, err := store.Sequence(t.Context(), 10); !errors.Is(err, want) || !errors.Is(err, journal.ErrTree) || added != 0 {
		t.Errorf("%d leaves, %v", added, err)
	}
}

// middleRoot is the head's root in hexadecimal digits.
func middleRoot(t *testing.T, conn *pgx.Conn) (root string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT encode(root, 'hex') FROM hub.journal_head").Scan(&root); err != nil {
		t.Fatal(err)
	}
	return root
}

package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// leafless looks at all entries, a few at a time, and gives the ids of those without a leaf.
func leafless(t *testing.T, store *postgres.Store, page int) (lost []uuid.UUID, looked int) {
	t.Helper()
	var after postgres.EntryAt
	for {
		found, next, n, err := store.Leafless(t.Context(), after, uuid.Max, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found {
			lost = append(lost, e.ID)
		}
		if looked += n; n < page {
			return lost, looked
		}
		after = next
	}
}

// grown is a journal of 700 leaves: two full tiles, a growing one, and one above them.
func grown(t *testing.T) (store *postgres.Store, conn *pgx.Conn, head postgres.Head, entries []journal.Entry) {
	t.Helper()
	db := hubtest.Database(t)
	store = open(t, db)
	for i := range 700 {
		entries = append(entries, note(journal.OperatorActed, int32(i%3), 1))
	}
	var writers sync.WaitGroup
	for part := range slices.Chunk(entries, 50) {
		writers.Go(func() { record(t, store, part...) })
	}
	writers.Wait()
	return store, superuser(t, db), sequence(t, store), entries
}

// TestEntryThatLostItsLeafIsFound: whatever somebody does so that an entry has no leaf and waits for none.
func TestEntryThatLostItsLeafIsFound(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"taken out of the queue":       "DELETE FROM hub.journal_queue WHERE entry_id = $1",
		"its leaf removed":             "DELETE FROM hub.journal_leaf WHERE entry_id = $1",
		"its leaf another's":           "UPDATE hub.journal_leaf SET entry_id = gen_random_uuid() WHERE entry_id = $1",
		"its leaf of another time":     "UPDATE hub.journal_leaf SET entry_at = entry_at - interval '1 s' WHERE entry_id = $1",
		"at another time":              "UPDATE hub.journal_entry SET at = at - interval '1 ms' WHERE id = $1",
		"in the queue at another time": "UPDATE hub.journal_queue SET entry_at = entry_at - interval '1 s' WHERE entry_id = $1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := hubtest.Database(t)
			store, conn := open(t, db), superuser(t, db)
			var entries []journal.Entry
			for range 20 {
				entries = append(entries, note(journal.OperatorActed, 1, 1))
			}
			record(t, store, entries[:10]...)
			sequence(t, store)
			record(t, store, entries[10:]...)
			for _, page := range []int{3, 20, 100} {
				if lost, looked := leafless(t, store, page); len(lost) != 0 || looked != 20 {
					t.Fatalf("a whole journal: %v of %d", lost, looked)
				}
			}
			changed := 0
			for _, e := range []journal.Entry{entries[5], entries[15]} {
				tag, err := conn.Exec(t.Context(), sql, e.ID)
				if err != nil {
					t.Fatal(err)
				}
				if changed += int(tag.RowsAffected()); tag.RowsAffected() == 0 {
					continue
				}
				if lost, looked := leafless(t, store, 7); looked != 20 || len(lost) != changed || !slices.Contains(lost, e.ID) {
					t.Errorf("found %v of %d, want %s", lost, looked, e.ID)
				}
			}
			if changed == 0 {
				t.Error("nothing was changed")
			}
		})
	}
}

// While entries are written and get their leaves none of them is ever without both.
func TestNoEntryLooksLostWhileItGetsItsLeaf(t *testing.T) {
	t.Parallel()
	db := hubtest.Database(t)
	store := open(t, db)
	ctx, stop := context.WithCancel(t.Context())
	var writing, others sync.WaitGroup
	for range 2 {
		writing.Go(func() {
			for range 150 {
				record(t, store, note(journal.OperatorActed, 1, 1))
			}
		})
	}
	others.Go(func() {
		for ctx.Err() == nil {
			if _, _, err := store.Sequence(context.WithoutCancel(ctx), 5); err != nil {
				t.Error(err)
				return
			}
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			if lost, _, _, err := store.Leafless(context.WithoutCancel(ctx), postgres.EntryAt{}, uuid.Max, 1000); err != nil || len(lost) > 0 {
				t.Error(lost, err)
				return
			}
		}
	})
	writing.Wait()
	stop()
	others.Wait()
}

func TestLookAtEntriesBeginsBeforeTheNewest(t *testing.T) {
	t.Parallel()
	store := open(t, hubtest.Database(t))
	if at, err := store.BeforeNewest(t.Context(), 3); err != nil || at != (postgres.EntryAt{}) {
		t.Errorf("an empty journal: %v %v", at, err)
	}
	var entries []journal.Entry
	for range 5 {
		entries = append(entries, note(journal.OperatorActed, 1, 1))
	}
	record(t, store, entries...)
	at, err := store.BeforeNewest(t.Context(), 3)
	if err != nil || at.ID != entries[1].ID {
		t.Errorf("%v %v", at, err)
	}
	if _, next, looked, err := store.Leafless(t.Context(), at, entries[4].ID, 10); err != nil || looked != 2 || next.ID != entries[3].ID {
		t.Errorf("looked at %d up to %v (%v)", looked, next, err)
	}
}

// rounds looks at every tile of a tree, from above.
func rounds(t *testing.T, store *postgres.Store, head postgres.Head) (found []journal.DamageError, tiles int) {
	t.Helper()
	for tile, ok := head.TopTile(); ok; tile, ok = head.NextTile(tile) {
		more, err := store.CheckTile(t.Context(), head, tile)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, more...)
		tiles++
	}
	return found, tiles
}

// TestChangedTileIsNamed: each change is told by its place, and by no other first.
func TestChangedTileIsNamed(t *testing.T) {
	t.Parallel()
	flip := "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE level = "
	tile := func(level int, number int64) journal.DamageError {
		return journal.DamageError{Part: journal.PartTile, Level: level, Number: number}
	}
	for name, c := range map[string]struct {
		sql  string
		want journal.DamageError
		edge bool
	}{
		"a full tile":        {sql: flip + "0 AND number = 1", want: tile(0, 1)},
		"a full tile gone":   {sql: "DELETE FROM hub.journal_tile WHERE level = 0 AND number = 0", want: tile(0, 0)},
		"a full tile cut":    {sql: "UPDATE hub.journal_tile SET hashes = substring(hashes FOR 3200) WHERE level = 0 AND number = 0", want: tile(0, 0)},
		"the growing tile":   {sql: flip + "0 AND number = 2", want: tile(0, 2), edge: true},
		"the tile above":     {sql: flip + "1 AND number = 0", want: tile(1, 0), edge: true},
		"the one above gone": {sql: "DELETE FROM hub.journal_tile WHERE level = 1", want: tile(1, 0), edge: true},
		"the head's root":    {sql: "UPDATE hub.journal_head SET root = sha256('x')", want: journal.DamageError{Part: journal.PartHead}, edge: true},
		"a leaf's row gone": {
			sql:  "DELETE FROM hub.journal_leaf WHERE leaf_index = 255",
			want: journal.DamageError{Part: journal.PartLeaf, Number: 255},
		},
		"a leaf's number": {
			sql:  "UPDATE hub.journal_leaf SET seq = 10000 WHERE leaf_index = 256",
			want: journal.DamageError{Part: journal.PartLeaf, Number: 256},
		},
		"a leaf's row of the growing tile gone": {
			sql:  "DELETE FROM hub.journal_leaf WHERE leaf_index = 699",
			want: journal.DamageError{Part: journal.PartLeaf, Number: 699}, edge: true,
		},
		"an entry's bytes": {
			sql:  "UPDATE hub.journal_entry SET body = body || '\\x00' WHERE id = (SELECT entry_id FROM hub.journal_leaf WHERE leaf_index = 3)",
			want: journal.DamageError{Part: journal.PartLeaf, Number: 3},
		},
		"an entry gone too early": {
			sql:  "DELETE FROM hub.journal_entry WHERE id = (SELECT entry_id FROM hub.journal_leaf WHERE leaf_index = 4)",
			want: journal.DamageError{Part: journal.PartLeaf, Number: 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, conn, head, _ := grown(t)
			if found, tiles := rounds(t, store, head); len(found) != 0 || tiles != 4 {
				t.Fatalf("a whole tree of %d tiles: %v", tiles, found)
			}
			if found, err := store.CheckEdge(t.Context()); err != nil || len(found) != 0 {
				t.Fatal(found, err)
			}
			if _, err := conn.Exec(t.Context(), c.sql); err != nil {
				t.Fatal(err)
			}
			now, err := store.JournalHead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found, _ := rounds(t, store, now)
			for i := range found {
				found[i].Entry = uuid.Nil
			}
			if len(found) == 0 || found[0] != c.want {
				t.Errorf("found %v, want %v first", found, c.want)
			}
			if edge, err := store.CheckEdge(t.Context()); err != nil || c.edge != (len(edge) > 0) {
				t.Errorf("the edge: %v %v", edge, err)
			}
		})
	}
}

// A checkpoint that the tree cannot be shown to hold, because of a changed tile, says which tile it is: it
// is not another journal.
func TestInconsistencyNamesTheTile(t *testing.T) {
	t.Parallel()
	store, conn, head, _ := grown(t)
	old, _ := journalKey(t).Sign(200, head.Root, note(journal.OperatorActed, 0, 0).At)
	if err := store.CheckConsistent(t.Context(), old); !errors.Is(err, journal.ErrTree) || errors.As(err, new(journal.DamageError)) {
		t.Errorf("another journal's checkpoint: %v", err)
	}
	if _, err := conn.Exec(t.Context(), "UPDATE hub.journal_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE level = 0 AND number = 0"); err != nil {
		t.Fatal(err)
	}
	want := journal.DamageError{Part: journal.PartTile}
	if err := store.CheckConsistent(t.Context(), old); !errors.Is(err, journal.ErrTree) || !errors.Is(err, want) {
		t.Errorf("a changed tile: %v", err)
	}
}

func TestCountsThatAreNotThoseOfTheLeavesAreFound(t *testing.T) {
	t.Parallel()
	store, conn, _, _ := grown(t)
	if found, err := store.CheckCounts(t.Context()); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	for _, c := range []struct {
		sql  string
		want journal.DamageError
	}{
		{
			"UPDATE hub.journal_pair SET leaves = leaves + 1 WHERE participant_id = 2",
			journal.DamageError{Part: journal.PartPair, Pair: journal.Pair{Participant: 2, Ente: 1}},
		},
		{
			"INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq) VALUES (700, gen_random_uuid(), now(), 9, 9, 1)",
			journal.DamageError{Part: journal.PartPlace, Number: 700},
		},
	} {
		if _, err := conn.Exec(t.Context(), c.sql); err != nil {
			t.Fatal(err)
		}
		if found, err := store.CheckCounts(t.Context()); err != nil || !slices.Contains(found, c.want) {
			t.Errorf("%v, want %v (%v)", found, c.want, err)
		}
	}
}

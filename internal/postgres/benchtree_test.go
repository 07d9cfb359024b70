package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/hubtest"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/internal/postgres"
)

// benchEntries fills the queue with entries of the size of an acceptance's, by the server's own hand.
func benchEntries(b *testing.B, db hubtest.DB, n int) {
	b.Helper()
	e := journal.Entry{
		ID: uuid.Must(uuid.NewV7()), At: time.Now(), Kind: journal.EventAccepted, Environment: hub.Prod, Participant: 1, Ente: 1,
		Message: uuid.New(), Event: uuid.New(), Outcome: "ACCETTATO",
		Evidence: journal.Evidence{Schema: "1.0", Rules: 1, Mapping: 1, Hub: "dev", Origin: make([]byte, 96)},
	}
	if _, err := superuser(b, db).Exec(b.Context(), `
		WITH i AS MATERIALIZED (SELECT gen_random_uuid() AS id, now() - g * interval '1 millisecond' AS at FROM generate_series(1, $1) AS g),
		e AS (INSERT INTO hub.journal_entry (id, at, kind, body) SELECT i.id, i.at, 1, $2 FROM i)
		INSERT INTO hub.journal_queue (entry_id, entry_at) SELECT i.id, i.at FROM i`, n, e.Bytes()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSequence gives entries their leaves, 4,096 in a transaction as serve does.
func BenchmarkSequence(b *testing.B) {
	db := benchDatabase(b)
	store := open(b, db)
	if err := store.EnsurePartitions(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	benchEntries(b, db, b.N)
	b.ResetTimer()
	for done := 0; done < b.N; {
		_, added, err := store.Sequence(b.Context(), 4096)
		if err != nil {
			b.Fatal(err)
		}
		done += added
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkProve proves an entry of a tree of 200,000 leaves.
func BenchmarkProve(b *testing.B) {
	db := benchDatabase(b)
	store := open(b, db)
	if err := store.EnsurePartitions(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	benchEntries(b, db, 200_000)
	for added := 1; added > 0; {
		var err error
		if _, added, err = store.Sequence(b.Context(), 4096); err != nil {
			b.Fatal(err)
		}
	}
	key := journalKey(b)
	c, err := store.Checkpoint(b.Context(), postgres.Notary{Sign: key.Sign, Open: key.Open}, postgres.CheckpointDue{})
	if err != nil {
		b.Fatal(err)
	}
	rows, err := superuser(b, db).Query(b.Context(), "SELECT entry_id FROM hub.journal_leaf ORDER BY random() LIMIT 1000")
	if err != nil {
		b.Fatal(err)
	}
	var ids []uuid.UUID
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	b.ResetTimer()
	for i := range b.N {
		if p, err := store.Prove(b.Context(), ids[i%len(ids)], c); err != nil || p == nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPatrol is what serve looks at of a stored journal in a second: the new entries, a page of those
// of a round and a tile, in a journal of 200,000 leaves over five months.
func BenchmarkPatrol(b *testing.B) {
	db := benchDatabase(b)
	store := open(b, db)
	if err := store.EnsurePartitions(b.Context(), 3); err != nil {
		b.Fatal(err)
	}
	benchEntries(b, db, 200_000)
	var head postgres.Head
	for added := 1; added > 0; {
		var err error
		if head, added, err = store.Sequence(b.Context(), 4096); err != nil {
			b.Fatal(err)
		}
	}
	var entry postgres.EntryAt
	var tile postgres.TileAt
	more := false
	b.ResetTimer()
	for range b.N {
		if !more {
			tile, _ = head.TopTile()
		}
		_, next, looked, err := store.Leafless(b.Context(), entry, uuid.Max, 256)
		if err != nil {
			b.Fatal(err)
		}
		if entry = next; looked < 256 {
			entry = postgres.EntryAt{}
		}
		if damage, err := store.CheckTile(b.Context(), head, tile); err != nil || len(damage) > 0 {
			b.Fatal(damage, err)
		}
		tile, more = head.NextTile(tile)
		if _, _, _, err := store.Leafless(b.Context(), postgres.EntryAt{ID: uuid.Max}, uuid.Max, 2048); err != nil {
			b.Fatal(err)
		}
	}
}

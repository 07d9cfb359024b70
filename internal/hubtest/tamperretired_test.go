//go:build smoke

package hubtest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
)

// coverUp deletes sealed messages or entries and has the hub sign for an entry of retention that says it
// was its doing: whoever can write rows can write that one, too.
func (b *battery) coverUp(ctx context.Context, tx pgx.Tx) error {
	month := b.began.UTC().Format("2006_01")
	statement, codes := "DELETE FROM hub.message", []hub.Code{"messages:1000", hub.Code("month:" + month)}
	if b.rand.IntN(2) == 0 {
		statement = "DELETE FROM hub.journal_entry WHERE kind = 1"
		codes = []hub.Code{"journal:1000", hub.Code("month:" + month)}
	}
	at := b.outside.At.Add(time.Minute)
	e := journal.Entry{ID: uuid.Must(uuid.NewV7()), At: at, Kind: journal.RecordsRetired, Environment: hub.Test, Codes: codes, Actor: "mario", Reason: "policy: prova"}
	if b.rand.IntN(2) == 0 {
		e.At = at.AddDate(3, 0, 0) // old enough, by its own word
	}
	if err := must(ctx, tx, `INSERT INTO hub.journal_entry (id, at, kind, body) VALUES ($1, $2, $3, $4)`, e.ID, at, e.Kind, e.Bytes()); err != nil {
		return err
	}
	if err := must(ctx, tx, `INSERT INTO hub.journal_leaf (leaf_index, entry_id, entry_at, participant_id, ente_id, seq)
		SELECT (SELECT max(leaf_index) + 1 FROM hub.journal_leaf), $1, $2, 0, 0, 1 + max(seq) FROM hub.journal_leaf WHERE participant_id = 0 AND ente_id = 0`, e.ID, at); err != nil {
		return err
	}
	tree, err := grow(ctx, tx)
	if err != nil {
		return err
	}
	size := b.outside.Size + 1
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return err
	}
	made, err := b.key.Sign(size, root, at)
	if err != nil {
		return err
	}
	if err := must(ctx, tx, "INSERT INTO hub.journal_checkpoint (size, root, at, note) VALUES ($1, $2, $3, $4)", size, root[:], made.At, made.Note); err != nil {
		return err
	}
	if err := must(ctx, tx, statement); err != nil {
		return fmt.Errorf("cover up: %w", err)
	}
	return nil
}

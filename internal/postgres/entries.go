package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sinbahub/sinbahub/internal/hub"
	"github.com/sinbahub/sinbahub/internal/journal"
	"github.com/sinbahub/sinbahub/pkg/batch"
)

// errEntry says that an entry has no id.
var errEntry = errors.New("journal entry has no id")

// Journal writes entries that belong to no acceptance or attempt (refusals) together with their
// queue rows, sharing a transaction with what waits. Errors are *hub.Error of kind Unavailable;
// writing the same entry again is safe.
func (s *Store) Journal(ctx context.Context, entries ...journal.Entry) error {
	if slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.ID == uuid.Nil }) {
		return hub.NewError(hub.Internal, hub.CodeInternal, errEntry)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for _, r := range s.entries.DoAll(ctx, entries) {
		if r.Err != nil {
			return unavailable(r.Err)
		}
	}
	return nil
}

// Record writes an entry at once and alone, for commands that run no batches.
func (s *Store) Record(ctx context.Context, e journal.Entry) error {
	if e.ID == uuid.Nil {
		return hub.NewError(hub.Internal, hub.CodeInternal, errEntry)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if _, err := s.journalOnce(ctx, []journal.Entry{e}); err != nil {
		return unavailable(err)
	}
	return nil
}

func (s *Store) journalBatch(ctx context.Context, all []journal.Entry) []batch.Result[struct{}] {
	return runBatch(ctx, s, groupJournal, all, s.journalOnce)
}

const journalSQL = `
WITH i AS MATERIALIZED (
  SELECT u.id, u.at, u.kind, u.message_id, u.body
  FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::uuid[], $5::bytea[])
    AS u (id, at, kind, message_id, body)
), entered AS (
  INSERT INTO hub.journal_entry (id, at, kind, message_id, body)
  SELECT i.id, i.at, i.kind, i.message_id, i.body FROM i
  -- a repetition after a lost answer; then it is queued or sequenced already, too
  ON CONFLICT DO NOTHING
  RETURNING id, at
)
INSERT INTO hub.journal_queue (entry_id, entry_at)
SELECT entered.id, entered.at FROM entered`

func (s *Store) journalOnce(ctx context.Context, all []journal.Entry) ([]batch.Result[struct{}], error) {
	var ids, messages uuids
	var at []time.Time
	var kinds []int16
	var bodies [][]byte
	for _, e := range all {
		ids, messages = ids.add(e.ID), messages.addNullable(e.Message)
		at, kinds = append(at, e.At), append(kinds, int16(e.Kind))
		bodies = append(bodies, e.Bytes())
	}
	err := s.withConn(ctx, func(conn *pgx.Conn) error {
		delete(conn.PgConn().CustomData(), warned)
		if _, err := conn.Exec(ctx, journalSQL, ids, at, kinds, messages, bodies); err != nil {
			return err
		}
		return checkWarning(conn)
	})
	return make([]batch.Result[struct{}], len(all)), err
}

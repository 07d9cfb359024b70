-- +goose Up

-- The append-only record. body is the entry's canonical bytes (internal/journal) and the only
-- evidence; the other columns are for finding it.
CREATE TABLE hub.journal_entry (
  id uuid NOT NULL,
  at timestamptz NOT NULL,
  kind smallint NOT NULL,
  message_id uuid,
  body bytea NOT NULL,
  PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

-- Entries that have no leaf in the tree yet: written with the entry, taken by the sequencer.
-- Chaining in the writing transaction would need one lock for all of them.
CREATE TABLE hub.journal_queue (
  entry_id uuid PRIMARY KEY,
  entry_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON hub.journal_entry TO hub_app;
GRANT SELECT, INSERT, DELETE ON hub.journal_queue TO hub_app;

-- +goose Up

-- ready_at is since when only the receiver makes a delivery wait: its acceptance, or later, when what
-- held its case ended. The age of the backlog is measured by it, because due_at moves whenever one that
-- waits behind others of its case is put off. NULL: accepted before this column was; then received_at.
ALTER TABLE hub.delivery ADD COLUMN ready_at timestamptz;

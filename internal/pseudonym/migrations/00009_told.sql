-- Joins that the recipient of the national codes is to be told of: told_at is when the hub took one over to tell.

-- +goose Up
ALTER TABLE vault.subject_join ADD COLUMN told_at timestamptz;
-- when two people decided that these are two children; the row stays, so that the same claim does not join them anew
ALTER TABLE vault.subject_join ADD COLUMN undone_at timestamptz;
CREATE INDEX subject_join_untold ON vault.subject_join (entry_id) WHERE told_at IS NULL;
GRANT UPDATE (told_at, undone_at) ON vault.subject_join TO hub_vault;

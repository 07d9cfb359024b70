-- The vault's own role changes how far the journal was, and never whose mark it is.

-- +goose Up
REVOKE UPDATE ON vault.journal_mark FROM hub_vault;
GRANT UPDATE (size, root, marked_at) ON vault.journal_mark TO hub_vault;

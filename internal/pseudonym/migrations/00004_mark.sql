-- How far the journal was when this vault was last in use. Vault and journal may stand in different
-- databases; of one that was restored from a backup without the other this tells.

-- +goose Up
CREATE TABLE vault.journal_mark (
    environment   text        PRIMARY KEY CHECK (environment IN ('PROD', 'TEST')),
    -- leaves and root of the last published checkpoint
    size          bigint      NOT NULL CHECK (size >= 0),
    root          bytea       NOT NULL CHECK (octet_length(root) = 32),
    marked_at     timestamptz NOT NULL
);
REVOKE ALL ON vault.journal_mark FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON vault.journal_mark TO hub_vault;

-- The vault: which subject stands for an identity, its secret, and the sealed epoch keys.
-- Roles and the schema exist already; this runs as the schema's owner, and hub_vault gets what
-- the statements of internal/pseudonym need and nothing else.

-- +goose Up
REVOKE ALL ON SCHEMA vault FROM PUBLIC;

-- The vault's clock: the server's, moved by a session setting that only tests set.
CREATE FUNCTION vault.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN clock_timestamp()
        + coalesce(nullif(current_setting('hub.clock_offset', true), ''), '0')::interval;

-- A person. Codes derive from the id; everything sealed for the person depends on the secret.
CREATE TABLE vault.subject (
    id            uuid        PRIMARY KEY,
    environment   text        NOT NULL CHECK (environment IN ('PROD', 'TEST')),
    secret        bytea       NOT NULL CHECK (octet_length(secret) = 32),
    -- pending: reserved for an event that is being accepted; confirmed: has an event.
    state         text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'confirmed')),
    created_at    timestamptz NOT NULL,
    -- the last time an acceptance counted on this row while it was pending
    reserved_at   timestamptz NOT NULL,
    confirmed_at  timestamptz,
    CHECK ((state = 'confirmed') = (confirmed_at IS NOT NULL))
);
CREATE INDEX subject_pending ON vault.subject (reserved_at) WHERE state = 'pending';

-- An identity of a person; a person may have several (a provisional code, then a final one).
CREATE TABLE vault.subject_link (
    link_index        bytea       PRIMARY KEY CHECK (octet_length(link_index) = 32),
    -- the epoch of the key that made the index
    key_epoch         integer     NOT NULL CHECK (key_epoch > 0),
    subject_id        uuid        NOT NULL REFERENCES vault.subject (id),
    -- the identity itself, sealed for the opener
    sealed_identity   bytea       NOT NULL,
    created_at        timestamptz NOT NULL
);
CREATE INDEX subject_link_subject ON vault.subject_link (subject_id);

-- The key of ten minutes of one process, sealed to the opener's public key of opener_epoch.
CREATE TABLE vault.epoch_key (
    id            uuid        PRIMARY KEY,
    environment   text        NOT NULL CHECK (environment IN ('PROD', 'TEST')),
    opener_epoch  integer     NOT NULL CHECK (opener_epoch > 0),
    sealed_key    bytea       NOT NULL,
    created_at    timestamptz NOT NULL
);

REVOKE ALL ON ALL TABLES IN SCHEMA vault FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vault FROM PUBLIC;
GRANT USAGE ON SCHEMA vault TO hub_vault;
GRANT EXECUTE ON FUNCTION vault.now() TO hub_vault;
GRANT SELECT, INSERT, DELETE ON vault.subject, vault.subject_link TO hub_vault;
-- An id, a secret and a link are never changed. To touch link_index is to lock the row.
GRANT UPDATE (state, reserved_at, confirmed_at) ON vault.subject TO hub_vault;
GRANT UPDATE (link_index) ON vault.subject_link TO hub_vault;
-- Epoch keys are written here and read by the opener only.
GRANT INSERT ON vault.epoch_key TO hub_vault;

-- The hub reads the version at its start as hub_vault. Where a table in this schema keeps it,
-- that needs a grant; elsewhere the owner's default privileges give it.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('vault.goose_version') IS NOT NULL THEN
        GRANT SELECT ON vault.goose_version TO hub_vault;
    END IF;
END
$$;
-- +goose StatementEnd

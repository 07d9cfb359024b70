-- The opener's role reads the secrets and the sealed epoch keys, and changes nothing. Of a person it sees
-- no identity and no link.

-- +goose Up
GRANT USAGE ON SCHEMA vault TO hub_opener;
GRANT SELECT (id, environment, secret) ON vault.subject TO hub_opener;
GRANT SELECT (id, environment, opener_epoch, sealed_key) ON vault.epoch_key TO hub_opener;

-- As hub_vault, it reads the version at its start.
-- +goose StatementBegin
DO $$
BEGIN
    IF to_regclass('vault.goose_version') IS NOT NULL THEN
        GRANT SELECT ON vault.goose_version TO hub_opener;
    END IF;
END
$$;
-- +goose StatementEnd

-- Rotation of the key of the link index, and of the opener's pair, while events come.

-- +goose Up

-- The highest epoch that this identity was indexed under besides its own: a row of the key in use
-- without the next epoch here is still to be indexed anew.
ALTER TABLE vault.subject_link ADD COLUMN reindexed_epoch integer CHECK (reindexed_epoch > key_epoch);
CREATE INDEX subject_link_epoch ON vault.subject_link (key_epoch, link_index) WHERE reindexed_epoch IS NULL;
-- what a former key is still needed for, which is mostly nothing, is found without reading all links
CREATE INDEX subject_link_reindexed ON vault.subject_link (key_epoch, reindexed_epoch) WHERE reindexed_epoch IS NOT NULL;
-- a link of a former key has its next index, as a rule: told of each column alone, the planner would expect
-- many that have not, and read all
CREATE STATISTICS vault.subject_link_epochs (mcv) ON key_epoch, reindexed_epoch FROM vault.subject_link;
-- what is still sealed to a former pair
CREATE INDEX epoch_key_pair ON vault.epoch_key (environment, opener_epoch, id);

-- Which key of the link index decides who an identity is. Every transaction that writes a link reads it
-- under a shared advisory lock, and who changes it holds the same lock alone: so no two transactions ever
-- go by two different keys.
CREATE TABLE vault.link_state (
    environment   text        PRIMARY KEY CHECK (environment IN ('PROD', 'TEST')),
    -- what decides
    active_epoch  integer     NOT NULL CHECK (active_epoch > 0),
    -- what is written besides, while the known identities are indexed anew
    next_epoch    integer     CHECK (next_epoch > active_epoch),
    changed_at    timestamptz NOT NULL
);
-- One key of each environment was in use so far, the first.
INSERT INTO vault.link_state (environment, active_epoch, changed_at)
SELECT e.environment,
    coalesce((SELECT max(l.key_epoch) FROM vault.subject_link l JOIN vault.subject s ON s.id = l.subject_id
        WHERE s.environment = e.environment), 1),
    vault.now()
FROM (VALUES ('PROD'), ('TEST')) AS e (environment);

-- The oldest of the opener's pairs that an epoch key may still be recorded for. A process that slept while a
-- pair was destroyed would else record one that nobody opens any more, and seal with it.
CREATE TABLE vault.seal_state (
    environment   text        PRIMARY KEY CHECK (environment IN ('PROD', 'TEST')),
    oldest_epoch  integer     NOT NULL CHECK (oldest_epoch > 0),
    changed_at    timestamptz NOT NULL
);
INSERT INTO vault.seal_state (environment, oldest_epoch, changed_at)
SELECT e.environment, 1, vault.now() FROM (VALUES ('PROD'), ('TEST')) AS e (environment);

REVOKE ALL ON vault.link_state, vault.seal_state FROM PUBLIC;
GRANT SELECT, UPDATE (oldest_epoch, changed_at) ON vault.seal_state TO hub_vault;
GRANT SELECT ON vault.link_state TO hub_vault, hub_opener;
-- The opener alone opens identities, so it alone can index them anew; and it alone says which key decides.
GRANT UPDATE (active_epoch, next_epoch, changed_at) ON vault.link_state TO hub_opener;
GRANT SELECT (link_index, key_epoch, subject_id, sealed_identity, reindexed_epoch) ON vault.subject_link TO hub_opener;
GRANT INSERT ON vault.subject_link TO hub_opener;
GRANT UPDATE (reindexed_epoch) ON vault.subject_link TO hub_opener;
GRANT UPDATE (opener_epoch, sealed_key) ON vault.epoch_key TO hub_opener;
GRANT EXECUTE ON FUNCTION vault.now() TO hub_opener;
-- How many rows depend on a key: counts, and no content.
GRANT SELECT (id, environment, opener_epoch, created_at) ON vault.epoch_key TO hub_vault;

-- An event said that the child of its case has one more identifier: standing_id is whose that
-- identifier is, the child's own unless another subject had it before. Written for every such event
-- in the same way, so that its time tells nothing; made a join, or forgotten, behind the answer.

-- +goose Up
CREATE TABLE vault.subject_claim (
    -- the message that says so; it may never be accepted
    message_id    uuid        PRIMARY KEY,
    subject_id    uuid        NOT NULL REFERENCES vault.subject (id) ON DELETE CASCADE,
    standing_id   uuid        NOT NULL REFERENCES vault.subject (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL
);
CREATE INDEX subject_claim_subject ON vault.subject_claim (subject_id);
CREATE INDEX subject_claim_standing ON vault.subject_claim (standing_id);

ALTER TABLE vault.subject_join
    -- the message that said so first; none is known of joins older than this column
    ADD COLUMN message_id uuid,
    -- the journal's entry of this join: it names neither subject, so this is the way from it to them
    ADD COLUMN entry_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN journaled_at timestamptz;
ALTER TABLE vault.subject_join ALTER COLUMN entry_id DROP DEFAULT;
CREATE INDEX subject_join_unjournaled ON vault.subject_join (entry_id) WHERE journaled_at IS NULL;

REVOKE ALL ON vault.subject_claim FROM PUBLIC;
GRANT SELECT, INSERT, DELETE ON vault.subject_claim TO hub_vault;
GRANT UPDATE (journaled_at) ON vault.subject_join TO hub_vault;

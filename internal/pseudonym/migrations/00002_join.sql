-- Two subjects that were found to be one child: an event gave the child of a case an identifier
-- that already stood for another subject. Neither loses its codes; the privacy officer may undo it.
-- A join goes with its subjects: the other one may have been pending, and is swept if no event comes.

-- +goose Up
CREATE TABLE vault.subject_join (
    subject_id    uuid        NOT NULL REFERENCES vault.subject (id) ON DELETE CASCADE,
    joined_id     uuid        NOT NULL REFERENCES vault.subject (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (subject_id, joined_id),
    CHECK (subject_id < joined_id)
);
CREATE INDEX subject_join_joined ON vault.subject_join (joined_id);
REVOKE ALL ON vault.subject_join FROM PUBLIC;
GRANT SELECT, INSERT ON vault.subject_join TO hub_vault;

-- Two subjects that were found to be one child: an event gave the child of a case an identifier
-- that already stood for another subject. Neither loses its codes; the privacy officer may undo it.

-- +goose Up
CREATE TABLE vault.subject_join (
    subject_id    uuid        NOT NULL REFERENCES vault.subject (id),
    joined_id     uuid        NOT NULL REFERENCES vault.subject (id),
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (subject_id, joined_id),
    CHECK (subject_id < joined_id)
);
CREATE INDEX subject_join_joined ON vault.subject_join (joined_id);
REVOKE ALL ON vault.subject_join FROM PUBLIC;
GRANT SELECT, INSERT ON vault.subject_join TO hub_vault;

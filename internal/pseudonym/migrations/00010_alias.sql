-- A child that was adopted has an identity that must never lead to the life before. Another ente, which knows
-- nothing of the adoption, may tell it as a new name of its own case's child: the link that it makes is taken
-- away once it is known that it leads to an adopted child.

-- +goose Up
-- the link that the message made; NULL if the identity stood for a subject already
ALTER TABLE vault.subject_claim ADD COLUMN link_index bytea;

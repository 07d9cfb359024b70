-- +goose Up

-- Erasure (GDPR art. 17): what was ordered of which subject, and how far it has come. The vault may be another
-- database, so that a row stands here until it has forgotten the subject and nothing came in between. The id
-- leads to nobody any more; it stays as the proof.
CREATE TABLE hub.erasure (
  subject_id uuid PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  -- the journal's entry of the order, which may be of several subjects of one child
  entry_id uuid NOT NULL,
  ordered_at timestamptz NOT NULL,
  -- since when the vault does not hold the subject; NULL: still to do
  forgotten_at timestamptz,
  -- when it was seen, long enough afterwards, that nothing came in between; NULL: still to look
  proven_at timestamptz CHECK (proven_at IS NULL OR forgotten_at IS NOT NULL)
);
CREATE INDEX erasure_unproven ON hub.erasure (environment) WHERE proven_at IS NULL;
GRANT SELECT, INSERT ON hub.erasure TO hub_app;
GRANT UPDATE (forgotten_at, proven_at) ON hub.erasure TO hub_app;

-- when case_index became a random number and sealed_ids empty; NULL: an ente's IdCartella leads to the case
ALTER TABLE hub.case_file ADD COLUMN erased_at timestamptz;

-- who looked at a message, for whom the message is about
CREATE INDEX journal_entry_opened ON hub.journal_entry (message_id) WHERE kind = 10;

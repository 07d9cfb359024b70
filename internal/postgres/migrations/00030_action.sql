-- +goose Up

-- What one person ordered by a verb that opens nothing, with the signature, for an auditor to verify. Rows are
-- only ever added. Whether the signature is the person's was checked by who wrote it.
CREATE TABLE hub.action (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  -- signed with it: an action is done once
  action_id uuid NOT NULL,
  person text NOT NULL,
  verb text NOT NULL,
  -- the whole text with its signature: what the journal's entry has the digest of
  action text NOT NULL CHECK (octet_length(action) <= 8192),
  -- the journal's entry, to which the entries of what was done lead
  entry_id uuid NOT NULL UNIQUE,
  taken_at timestamptz NOT NULL DEFAULT hub.hub_now(),
  PRIMARY KEY (environment, action_id),
  FOREIGN KEY (environment, person) REFERENCES hub.person (environment, name)
);

GRANT SELECT, INSERT (environment, action_id, person, verb, action, entry_id) ON hub.action TO hub_app;

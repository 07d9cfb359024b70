-- +goose Up

-- Which epoch of a key is in use, and what becomes of the others. A key without a row here is in its first
-- epoch. Of the link index the vault's own row decides (vault.link_state); its rows here say the same.
--
--   made       there is a key, and instances are taking it in
--   telling    a domain's recipient is being told which code becomes which; nothing has the new ones yet
--   active     in use
--   former     was in use; what was made under it may still need it
--   destroyed  there is no key any more
CREATE TABLE hub.key_epoch (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  name text NOT NULL CHECK (name IN ('link', 'code-region', 'code-nation', 'seal', 'journal')),
  epoch integer NOT NULL CHECK (epoch > 0),
  state text NOT NULL CHECK (state IN ('made', 'telling', 'active', 'former', 'destroyed')),
  made_at timestamptz NOT NULL,
  active_at timestamptz,
  former_at timestamptz,
  destroyed_at timestamptz,
  -- everybody who had to know has been told
  told_at timestamptz,
  PRIMARY KEY (environment, name, epoch),
  CHECK (state NOT IN ('active', 'former') OR active_at IS NOT NULL),
  CHECK ((state = 'destroyed') = (destroyed_at IS NOT NULL))
);
CREATE UNIQUE INDEX key_epoch_active ON hub.key_epoch (environment, name) WHERE state = 'active';
-- one rotation of a key at a time
CREATE UNIQUE INDEX key_epoch_coming ON hub.key_epoch (environment, name) WHERE state IN ('made', 'telling');

-- Which running instance holds which epoch, and which it uses: what is written about it is as old as seen_at.
CREATE TABLE hub.key_holder (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  instance uuid NOT NULL,
  name text NOT NULL,
  epoch integer NOT NULL,
  in_use boolean NOT NULL,
  seen_at timestamptz NOT NULL,
  PRIMARY KEY (environment, instance, name, epoch)
);

-- One communication of changed codes to SISS (comunicaCodici): id is IdComunicazione, the same in every
-- attempt. Its pairs are those of its code_change rows in the order of their subjects.
CREATE TABLE hub.code_message (
  id uuid PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  to_epoch integer NOT NULL,
  state text NOT NULL CHECK (state IN ('pending', 'told', 'refused')),
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL,
  lease uuid,
  created_at timestamptz NOT NULL,
  settled_at timestamptz,
  codes text,
  CHECK ((settled_at IS NOT NULL) = (state <> 'pending'))
);
CREATE INDEX code_message_due ON hub.code_message (environment, due_at) WHERE state = 'pending';

-- A subject's code changes once for each epoch.
CREATE TABLE hub.code_change (
  subject_id uuid NOT NULL,
  to_epoch integer NOT NULL,
  from_epoch integer NOT NULL CHECK (from_epoch < to_epoch),
  message_id uuid NOT NULL REFERENCES hub.code_message (id),
  PRIMARY KEY (subject_id, to_epoch)
);
CREATE INDEX code_change_message ON hub.code_change (message_id);

-- The re-keyed ids of a case stay those of the epoch in which it was opened, so that SISS finds the event
-- that a later one corrects; only the child's code changes.
ALTER TABLE hub.case_file ADD COLUMN nation_epoch integer NOT NULL DEFAULT 1 CHECK (nation_epoch > 0);
ALTER TABLE hub.delivery ADD COLUMN ids_epoch integer NOT NULL DEFAULT 1 CHECK (ids_epoch > 0);

-- Whether anything needs an epoch of codes is asked before its key is destroyed. Rows come in the order of
-- epochs, so that summaries of blocks tell it, which cost a write next to nothing.
CREATE INDEX event_codes ON hub.event USING brin (region_epoch) WITH (autosummarize = on);
CREATE INDEX delivery_codes ON hub.delivery USING brin (nation_epoch, ids_epoch) WITH (autosummarize = on);
CREATE INDEX case_file_codes ON hub.case_file USING brin (facts_epoch, nation_epoch) WITH (autosummarize = on);

GRANT SELECT, INSERT, UPDATE ON hub.key_epoch TO hub_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON hub.key_holder TO hub_app;
GRANT SELECT, INSERT, UPDATE ON hub.code_message TO hub_app;
GRANT SELECT, INSERT ON hub.code_change TO hub_app;

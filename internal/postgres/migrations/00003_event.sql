-- +goose Up

-- No foreign keys between these tables: all rows of an event are written by one statement from
-- one set of values, and a key check would lock the same few registry rows for every event.

-- What must be unique for ever. It outlives the event itself, so that a repetition after years
-- still gets its first receipt.
CREATE TABLE hub.event_key (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  ente_id integer NOT NULL,
  event_id uuid NOT NULL,
  receipt_id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  registration_id uuid NOT NULL,
  -- 1 ACCETTATO, 2 ACCETTATO_CON_AVVISI; the warnings as code, severity, rule, path, line
  outcome smallint NOT NULL CHECK (outcome IN (1, 2)),
  warnings jsonb CHECK (jsonb_typeof(warnings) = 'array'),
  content_mac bytea NOT NULL CHECK (octet_length(content_mac) = 32),
  commitment bytea NOT NULL CHECK (octet_length(commitment) = 32),
  PRIMARY KEY (environment, ente_id, event_id),
  CHECK (outcome = 1 OR warnings IS NOT NULL)
);

-- A child's file at one ente. Its local ids are identifiers: a keyed index and sealed bytes.
-- Its row lock serialises the events of a case.
CREATE TABLE hub.case_file (
  id uuid PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  ente_id integer NOT NULL,
  case_index bytea NOT NULL CHECK (octet_length(case_index) = 32),
  index_epoch integer NOT NULL,
  subject_id uuid NOT NULL,
  sealed_ids bytea NOT NULL,
  -- how many events it has taken: the position of the last one
  events integer NOT NULL CHECK (events > 0),
  created_at timestamptz NOT NULL,
  -- retention counts five years after the year of the last activity
  last_event_at timestamptz NOT NULL,
  UNIQUE (environment, ente_id, case_index)
) WITH (fillfactor = 85);

-- The pseudonymised event. body is compressed by the hub (body_format 1: one s2 block), so the
-- server must not try again.
CREATE TABLE hub.event (
  id uuid PRIMARY KEY,
  received_at timestamptz NOT NULL,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  participant_id integer NOT NULL,
  ente_id integer NOT NULL,
  event_id uuid NOT NULL,
  case_id uuid NOT NULL,
  subject_id uuid NOT NULL,
  type text NOT NULL CHECK (type ~ '^[A-Z_]{1,32}$'),
  operation text NOT NULL CHECK (operation IN ('I', 'R', 'A')),
  refers_to uuid,
  sequence integer NOT NULL CHECK (sequence > 0),
  -- order of acceptance inside the case, given under the case's lock
  position integer NOT NULL CHECK (position > 0),
  schema_version text NOT NULL,
  mapping_version integer NOT NULL,
  rules_version integer NOT NULL,
  region_epoch integer NOT NULL,
  body_format smallint NOT NULL CHECK (body_format = 1),
  body bytea NOT NULL
);
ALTER TABLE hub.event ALTER COLUMN body SET STORAGE EXTERNAL;
-- for the vault's sweep and for erasure
CREATE INDEX event_subject ON hub.event (subject_id);
-- for ANNULLATO; corrections and annulments are rare
CREATE INDEX event_refers_to ON hub.event (case_id, refers_to) WHERE refers_to IS NOT NULL;

-- The message as received, sealed. Written and read, never changed: retention drops months.
CREATE TABLE hub.message (
  id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  participant_id integer NOT NULL,
  ente_id integer NOT NULL,
  seal_epoch uuid NOT NULL,
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  sealed bytea NOT NULL,
  PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
ALTER TABLE hub.message ALTER COLUMN sealed SET STORAGE EXTERNAL;

GRANT SELECT, INSERT ON hub.event_key, hub.message, hub.event TO hub_app;
GRANT SELECT, INSERT, UPDATE ON hub.case_file TO hub_app;

-- +goose Up

-- The Merkle tree over the journal's entries (RFC 6962). An entry gets its leaf behind the transaction
-- that wrote it, by the sequencer: one that commits late gets a later leaf.

-- Where an entry stands. What is hashed is the entry's bytes, participant_id, ente_id and seq.
CREATE TABLE hub.journal_leaf (
  leaf_index bigint PRIMARY KEY CHECK (leaf_index >= 0),
  entry_id uuid NOT NULL UNIQUE,
  entry_at timestamptz NOT NULL,
  participant_id integer NOT NULL,
  ente_id integer NOT NULL,
  -- counts from 1 without a gap for each participant and ente: that none is missing can be seen by
  -- who sees these only
  seq bigint NOT NULL CHECK (seq > 0),
  UNIQUE (participant_id, ente_id, seq)
);

-- The last seq of each.
CREATE TABLE hub.journal_pair (
  participant_id integer NOT NULL,
  ente_id integer NOT NULL,
  leaves bigint NOT NULL CHECK (leaves > 0),
  PRIMARY KEY (participant_id, ente_id)
) WITH (fillfactor = 50);

-- The tree's hashes as tiles (C2SP tlog-tiles, height 8): up to 256 hashes of 32 bytes, of the leaves at
-- level 0, of full subtrees of 256^level leaves above. The last tile of a level grows.
CREATE TABLE hub.journal_tile (
  level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
  number bigint NOT NULL CHECK (number >= 0),
  hashes bytea NOT NULL CHECK (octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 8192),
  PRIMARY KEY (level, number)
);
ALTER TABLE hub.journal_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- How far the tree has grown. Its lock is the sequencer's turn.
CREATE TABLE hub.journal_head (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  size bigint NOT NULL CHECK (size >= 0),
  root bytea NOT NULL CHECK (octet_length(root) = 32)
) WITH (fillfactor = 20);
-- RFC 6962, 2.1: the hash of no leaves is that of the empty string
INSERT INTO hub.journal_head (size, root) VALUES (0, sha256(''));

-- What was signed (C2SP tlog-checkpoint); never two that contradict each other.
CREATE TABLE hub.journal_checkpoint (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  size bigint NOT NULL CHECK (size >= 0),
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  at timestamptz NOT NULL,
  note text NOT NULL
);
CREATE INDEX journal_checkpoint_at ON hub.journal_checkpoint (at);

-- The bytes that may have reached SISS, sealed.
ALTER TABLE hub.attempt
  ADD COLUMN seal_epoch uuid,
  ADD COLUMN sealed bytea,
  ADD CHECK ((seal_epoch IS NULL) = (sealed IS NULL));
ALTER TABLE hub.attempt ALTER COLUMN sealed SET STORAGE EXTERNAL;

GRANT SELECT, INSERT ON hub.journal_leaf, hub.journal_checkpoint TO hub_app;
GRANT SELECT, INSERT, UPDATE ON hub.journal_pair, hub.journal_tile TO hub_app;
GRANT SELECT, UPDATE ON hub.journal_head TO hub_app;

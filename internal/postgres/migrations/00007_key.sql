-- +goose Up

-- Which keys this database was written with. A fingerprint is an HMAC under the key of a fixed
-- text: it tells two keys apart and nothing else. Without it a lost or wrong folder of keys would
-- silently make every known child a new one and every repetition a conflict.
CREATE TABLE hub.key_fingerprint (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  name text NOT NULL,
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  first_used_at timestamptz NOT NULL,
  PRIMARY KEY (environment, name)
);

GRANT SELECT, INSERT ON hub.key_fingerprint TO hub_app;
-- for the no-op update that gives the first row back
GRANT UPDATE (name) ON hub.key_fingerprint TO hub_app;

-- +goose Up

-- One event on its way to SISS. id is IdTrasmissione, fixed when the event was accepted.
--
--   pending   accepted, waits its turn
--   sending   held under a lease, first knowledge of SISS's answer to come
--   retrying  certainly not received; due again at due_at
--   uncertain sent, answer lost: asked about at due_at, or held under a lease while asking
--   delivered, refused   final, do not hold their case
--   dead, parked         given up or set aside: a person decides, the case waits
--
-- due_at is when a waiting delivery may be claimed, and when a held one's lease runs out.
CREATE TABLE hub.delivery (
  id uuid PRIMARY KEY,
  -- event.id; several only if an operator sent again after a refusal
  message_id uuid NOT NULL,
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  case_id uuid NOT NULL,
  sequence integer NOT NULL,
  position integer NOT NULL,
  received_at timestamptz NOT NULL,
  -- epoch of the keys the national event is made with, at every attempt
  nation_epoch integer NOT NULL,
  state text NOT NULL CHECK (state IN ('pending', 'sending', 'retrying', 'uncertain',
    'delivered', 'refused', 'dead', 'parked')),
  attempts integer NOT NULL CHECK (attempts >= 0),
  changed_at timestamptz NOT NULL,
  due_at timestamptz,
  lease uuid,
  owner uuid,
  settled_at timestamptz,
  protocol text CHECK (protocol ~ '^[A-Za-z0-9._:/-]{1,36}$'),
  -- codes of the last attempt, separated by blanks
  codes text CHECK (codes ~ '^[A-Za-z0-9_.-]{1,40}( [A-Za-z0-9_.-]{1,40}){0,99}$'),
  CHECK (state <> 'pending' OR attempts = 0),
  CHECK (state NOT IN ('sending', 'delivered', 'refused') OR attempts > 0),
  CHECK ((due_at IS NOT NULL) = (state IN ('pending', 'sending', 'retrying', 'uncertain'))),
  CHECK ((settled_at IS NOT NULL) = (state IN ('delivered', 'refused', 'dead', 'parked'))),
  CHECK ((lease IS NULL) = (owner IS NULL)),
  CHECK (CASE state WHEN 'sending' THEN lease IS NOT NULL WHEN 'uncertain' THEN true
    ELSE lease IS NULL END)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 0);

-- what may be claimed, oldest first
CREATE INDEX delivery_due ON hub.delivery (environment, due_at)
  WHERE state IN ('pending', 'sending', 'retrying', 'uncertain');
-- who stands before whom in a case
CREATE INDEX delivery_case ON hub.delivery (case_id, sequence, position)
  WHERE state NOT IN ('delivered', 'refused');
-- one delivery of a case in flight, whatever two claimers see at the same moment
CREATE UNIQUE INDEX delivery_in_flight ON hub.delivery (case_id) WHERE lease IS NOT NULL;
CREATE INDEX delivery_message ON hub.delivery (message_id);

-- One try, written when it is settled.
CREATE TABLE hub.attempt (
  delivery_id uuid NOT NULL,
  number integer NOT NULL CHECK (number > 0),
  started_at timestamptz NOT NULL,
  took interval NOT NULL,
  state text NOT NULL,
  codes text,
  -- SHA-256 of the national event as sent; NULL if nothing was sent
  digest bytea CHECK (octet_length(digest) = 32),
  -- the token it was settled with, by which a repeated settlement knows itself
  lease uuid NOT NULL,
  PRIMARY KEY (delivery_id, number, started_at)
) PARTITION BY RANGE (started_at);

GRANT SELECT, INSERT, UPDATE ON hub.delivery TO hub_app;
GRANT SELECT, INSERT ON hub.attempt TO hub_app;

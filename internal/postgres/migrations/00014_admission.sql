-- +goose Up

-- The maintenance that an operator began: while the row is there and until has not passed, no
-- instance takes events. How it came and went is in the journal.
CREATE TABLE hub.maintenance (
  environment smallint PRIMARY KEY CHECK (environment IN (1, 2)),
  -- Testo100Type of the contract: echo tells it
  text text NOT NULL CHECK (length(text) BETWEEN 1 AND 100),
  -- when it ends by itself; NULL: only when an operator ends it
  until timestamptz,
  actor text NOT NULL CHECK (length(actor) BETWEEN 1 AND 100),
  begun_at timestamptz NOT NULL
);

-- The row is there while deliveries are too late for the hub to take more: written by the instance
-- that first sees the limit passed, deleted by the one that first sees the backlog gone, so that all
-- instances have the same door.
CREATE TABLE hub.backlog (
  environment smallint PRIMARY KEY CHECK (environment IN (1, 2)),
  closed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON hub.maintenance TO hub_app;
GRANT SELECT, INSERT, DELETE ON hub.backlog TO hub_app;

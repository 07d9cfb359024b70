-- +goose Up

-- The clock of leases, retries and retention. Only tests set hub.clock_offset (an interval, for a
-- session or a database); serve refuses to start with it.
-- Call it as (SELECT hub.hub_now()) inside WHERE: once for the statement, so that an index serves.
CREATE FUNCTION hub.hub_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN clock_timestamp()
  + coalesce(nullif(current_setting('hub.clock_offset', true), ''), '0')::interval;

-- Readiness writes here to know that a transaction commits.
CREATE TABLE hub.probe (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  at timestamptz NOT NULL
);
INSERT INTO hub.probe (at) VALUES (hub.hub_now());

GRANT USAGE ON SCHEMA hub TO hub_app, hub_vault;
GRANT SELECT, UPDATE ON hub.probe TO hub_app;

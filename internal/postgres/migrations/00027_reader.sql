-- +goose Up

-- Row-level security by participant, as a second line: what is read to answer one participant is read as
-- hub_reader, who sees the rows of the enti in hub.enti and no other, whatever the statement forgot. The
-- role cannot log in; the hub takes it for one transaction (internal/postgres/reader.go). The hub's own
-- role, which accepts, delivers and keeps the events of all enti in the same statements, sees all rows:
-- a policy that is true costs a plan nothing.
GRANT USAGE ON SCHEMA hub TO hub_reader;
GRANT SELECT (environment, ente_id, event_id, receipt_id, registration_id, warnings) ON hub.event_key TO hub_reader;
GRANT SELECT (id, environment, ente_id, event_id, case_id, received_at, type, operation, original_id, sequence) ON hub.event TO hub_reader;
GRANT SELECT (id, environment, ente_id, case_index) ON hub.case_file TO hub_reader;
-- A delivery has no ente; it is found by its event only.
GRANT SELECT (message_id, state, changed_at, settled_at, attempts, protocol, codes) ON hub.delivery TO hub_reader;

ALTER TABLE hub.event_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE hub.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE hub.case_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY hub ON hub.event_key TO hub_app, hub_opener USING (true) WITH CHECK (true);
CREATE POLICY hub ON hub.event TO hub_app, hub_opener USING (true) WITH CHECK (true);
CREATE POLICY hub ON hub.case_file TO hub_app, hub_opener USING (true) WITH CHECK (true);
-- Without the setting, as with an empty one, there is no row. The sub-select is evaluated once a statement.
CREATE POLICY reader ON hub.event_key FOR SELECT TO hub_reader
  USING (ente_id = ANY ((SELECT nullif(current_setting('hub.enti', true), ''))::integer[]));
CREATE POLICY reader ON hub.event FOR SELECT TO hub_reader
  USING (ente_id = ANY ((SELECT nullif(current_setting('hub.enti', true), ''))::integer[]));
CREATE POLICY reader ON hub.case_file FOR SELECT TO hub_reader
  USING (ente_id = ANY ((SELECT nullif(current_setting('hub.enti', true), ''))::integer[]));

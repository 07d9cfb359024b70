-- +goose Up

-- For riepilogoEventi: an ente's events in the order of their acceptance. Totals are read from the
-- index alone: an ente's events of a year lie scattered over as many pages of the table.
CREATE INDEX event_summary ON hub.event (ente_id, received_at, id) INCLUDE (type, event_id);
-- an index alone answers only for pages that VACUUM has seen: go over new ones soon
ALTER TABLE hub.event SET (autovacuum_vacuum_insert_scale_factor = 0.02);

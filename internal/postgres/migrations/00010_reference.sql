-- +goose Up

-- Which dated lists (municipalities, states, services, structures) an event was judged and mapped
-- with; NULL for events accepted before they had versions.
ALTER TABLE hub.event ADD COLUMN reference_version text CHECK (reference_version ~ '^[0-9a-f]{12}$');

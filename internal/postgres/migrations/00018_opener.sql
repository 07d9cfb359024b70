-- +goose Up

-- The opener's role reads what is sealed, and for whom; it writes who looked. It sees no event, case or
-- entry, and changes nothing.
GRANT USAGE ON SCHEMA hub TO hub_opener;
GRANT SELECT (id, received_at, environment, sealed) ON hub.message TO hub_opener;
GRANT SELECT (id, received_at, environment, participant_id, ente_id, subject_id) ON hub.event TO hub_opener;
GRANT SELECT (id, message_id) ON hub.delivery TO hub_opener;
GRANT SELECT (delivery_id, number, sealed) ON hub.attempt TO hub_opener;
GRANT INSERT ON hub.journal_entry, hub.journal_queue TO hub_opener;

-- It reads the schema's version at its start, as serve does. The table is older than the role.
-- +goose StatementBegin
DO $$
BEGIN
  IF to_regclass('version.hub') IS NOT NULL THEN
    GRANT SELECT ON version.hub TO hub_opener;
  END IF;
END
$$;
-- +goose StatementEnd

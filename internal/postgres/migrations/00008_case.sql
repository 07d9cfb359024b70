-- +goose Up

-- What has become of a case: the fold of its live events in the canonical form of
-- internal/casefile, always written with the event that changed it. The defaults are those of an
-- empty state and of empty facts; they serve the rows of hubs that were tried before this version.
ALTER TABLE hub.case_file
  ADD COLUMN state bytea NOT NULL DEFAULT '\x0100000000000000000000',
  -- 1 APERTA, 2 IN_CARICO, 3 CHIUSA, 4 TRASFERITA, 5 ANNULLATA: the state's, for counting
  ADD COLUMN status smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 5),
  -- live events that are no longer allowed at their place
  ADD COLUMN incongruent integer NOT NULL DEFAULT 0 CHECK (incongruent >= 0),
  -- epoch of the keys that make the stand-ins in state and facts, for ever the same in a case
  ADD COLUMN facts_epoch integer NOT NULL DEFAULT 1 CHECK (facts_epoch > 0);
ALTER TABLE hub.case_file
  ALTER COLUMN state DROP DEFAULT, ALTER COLUMN status DROP DEFAULT,
  ALTER COLUMN incongruent DROP DEFAULT, ALTER COLUMN facts_epoch DROP DEFAULT;

ALTER TABLE hub.event
  -- what the fold needs of the event
  ADD COLUMN facts bytea NOT NULL DEFAULT '\x010000000000000000',
  -- event_id of the original that a correction or annulment means in the end
  ADD COLUMN original_id uuid,
  ADD CHECK (original_id IS NULL OR operation <> 'I');
ALTER TABLE hub.event ALTER COLUMN facts DROP DEFAULT;

-- the events of a case: for the fold, for ANNULLATO, for what is missing, for retention
CREATE INDEX event_case ON hub.event (case_id);
DROP INDEX hub.event_refers_to;

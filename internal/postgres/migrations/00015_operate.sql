-- +goose Up

-- An operator who sends a dead, parked or settled delivery again gives it a fresh budget. Attempts
-- keep their numbers for ever: these are the ones that do not count against the budget.
ALTER TABLE hub.delivery
  ADD COLUMN spared integer NOT NULL DEFAULT 0,
  ADD CHECK (spared BETWEEN 0 AND attempts);

-- what operators look for, oldest first; rare, so nearly nothing for the others to keep
CREATE INDEX delivery_stopped ON hub.delivery (environment, received_at, message_id)
  WHERE state IN ('refused', 'dead', 'parked');

-- what operators did to an event
CREATE INDEX journal_entry_operator ON hub.journal_entry (message_id) WHERE kind = 9;

-- +goose Up

-- As in 00019, and besides: entries of retention (kind 14) stay, for they alone tell what it took from what
-- somebody deleted, and so do orders of erasure (kind 25), which are certificates.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION hub.retention_needed(parent text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE parent
    WHEN 'message' THEN
      'EXISTS (SELECT FROM hub.delivery d WHERE d.message_id = t.id AND ' || open || ')'
    -- of all transmissions of such an event: an operator looks at all of them
    WHEN 'attempt' THEN
      'EXISTS (SELECT FROM hub.delivery o JOIN hub.delivery d ON d.message_id = o.message_id AND ' || open
      || ' WHERE o.id = t.delivery_id)'
    -- a leaf is made of the entry's bytes: until it is there they must not go
    ELSE '(EXISTS (SELECT FROM hub.delivery d WHERE d.message_id = t.message_id AND ' || open || ')'
      || ' OR t.kind IN (14, 25)'
      || ' OR EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = t.id)'
      || ' OR NOT EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = t.id))'
  END
  FROM (VALUES ('d.state NOT IN (''delivered'', ''refused'')')) AS v (open)
$$;
-- +goose StatementEnd

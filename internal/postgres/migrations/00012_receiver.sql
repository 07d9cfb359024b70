-- +goose Up

-- The rate agreed with a receiver holds for all instances together: whoever wants to call takes the
-- next places here, and next_at is when the first free one begins. No row, no rate.
CREATE TABLE hub.receiver_slot (
  environment smallint PRIMARY KEY CHECK (environment IN (1, 2)),
  next_at timestamptz NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON hub.receiver_slot TO hub_app;

-- delivery.sequence orders the deliveries of a case. It is ProgressivoCartella, but that of an R or A
-- may be lower than its original's, which must go first: casefile.Turn. Those that still wait:
UPDATE hub.delivery d
SET sequence = late.turn
FROM (
  SELECT w.id, max(o.sequence) AS turn
  FROM hub.delivery w
  JOIN hub.event e ON e.id = w.message_id AND e.operation IN ('R', 'A')
  JOIN hub.event o ON o.case_id = e.case_id AND o.position < e.position
    AND (o.event_id = e.original_id OR e.operation = 'A' AND o.original_id = e.original_id)
  WHERE w.state NOT IN ('delivered', 'refused')
  GROUP BY w.id
) AS late
WHERE d.id = late.id AND d.sequence < late.turn;

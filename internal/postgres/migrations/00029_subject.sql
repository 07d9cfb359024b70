-- +goose Up

-- A use of a ticket is written by the opener, which has checked the signatures, and by nobody else; the
-- application revokes.
REVOKE INSERT ON hub.ticket_use FROM hub_app;
GRANT INSERT (environment, ticket_id, purpose, requester, approver, expires_at, ticket, revoked_at, revoked_entry) ON hub.ticket_use TO hub_app;

-- The ticket that an erasure was ordered under; NULL before there were tickets for it.
ALTER TABLE hub.erasure ADD COLUMN ticket_id uuid;

-- One order for each ticket, which may be of several subjects of one child, and none without a ticket that the
-- opener took: for the application's role, too.
-- +goose StatementBegin
CREATE FUNCTION hub.erasure_needs_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM hub.ticket_use u
    WHERE u.environment = NEW.environment AND u.ticket_id = NEW.ticket_id AND u.purpose = 'erase'
      AND u.used_at IS NOT NULL AND u.revoked_at IS NULL
  ) OR EXISTS (
    SELECT FROM hub.erasure e
    WHERE e.environment = NEW.environment AND e.ticket_id = NEW.ticket_id AND e.entry_id <> NEW.entry_id
  ) THEN
    RAISE EXCEPTION 'no ticket allows this erasure' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER erasure_needs_ticket BEFORE INSERT ON hub.erasure
  FOR EACH ROW EXECUTE FUNCTION hub.erasure_needs_ticket();

-- For the report of who looked at a child: the tickets about one pseudonym, few among many.
CREATE INDEX ticket_use_pseudonym ON hub.ticket_use (used_at)
  WHERE used_at IS NOT NULL AND purpose IN ('reidentify', 'report', 'erase', 'unjoin');

-- The list of re-identifications has looks at subjects and erasures, too.
DROP INDEX hub.journal_entry_people;
CREATE INDEX journal_entry_people ON hub.journal_entry (at) WHERE kind IN (15, 16, 17, 18, 25, 26, 27);

-- SISS is told of joins, too. Only a rotation has an epoch that it leads to.
ALTER TABLE hub.code_message
  ALTER COLUMN to_epoch DROP NOT NULL,
  ADD COLUMN motive text NOT NULL DEFAULT 'ROTAZIONE' CHECK (motive IN ('ROTAZIONE', 'UNIONE', 'SEPARAZIONE')),
  ADD CHECK ((motive = 'ROTAZIONE') = (to_epoch IS NOT NULL));

-- Two subjects that were found to be one child, as SISS is told of them: the pair of a communication, in the
-- codes that SISS has of them. entry_id is the vault's of the join.
CREATE TABLE hub.code_join (
  entry_id uuid NOT NULL,
  motive text NOT NULL CHECK (motive IN ('UNIONE', 'SEPARAZIONE')),
  -- NULL: a separation that SISS need not know, which was not told of the join
  message_id uuid REFERENCES hub.code_message (id),
  subject_id uuid NOT NULL,
  subject_epoch integer CHECK (subject_epoch > 0),
  joined_id uuid NOT NULL,
  joined_epoch integer CHECK (joined_epoch > 0),
  PRIMARY KEY (entry_id, motive),
  CHECK (message_id IS NULL OR subject_epoch IS NOT NULL AND joined_epoch IS NOT NULL),
  CHECK (message_id IS NOT NULL OR motive = 'SEPARAZIONE'),
  CHECK (subject_id <> joined_id)
);
CREATE INDEX code_join_message ON hub.code_join (message_id);
GRANT SELECT, INSERT ON hub.code_join TO hub_app;

-- +goose Up

-- Who may sign tickets. Names and keys are never given to another: rows stay, and are retired. Whether a
-- row counts is for the opener to say, which knows the keys from elsewhere, too.
CREATE TABLE hub.person (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9._-]{0,39}$'),
  roles text[] NOT NULL CHECK (cardinality(roles) > 0 AND roles <@ ARRAY['operator', 'auditor', 'privacy-officer']),
  -- Ed25519
  public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
  added_at timestamptz NOT NULL DEFAULT hub.hub_now(),
  retired_at timestamptz,
  -- the journal's entries
  added_entry uuid NOT NULL,
  retired_entry uuid,
  PRIMARY KEY (environment, name),
  -- nobody can be two persons with one key
  UNIQUE (environment, public_key),
  CHECK ((retired_at IS NULL) = (retired_entry IS NULL))
);

-- Tickets that were used or revoked: a ticket not in here can be used once.
CREATE TABLE hub.ticket_use (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  ticket_id uuid NOT NULL,
  purpose text NOT NULL,
  requester text NOT NULL,
  -- empty if it was revoked before an approval
  approver text NOT NULL,
  expires_at timestamptz NOT NULL,
  -- the whole file with its signatures: what the journal's entry has the digest of
  ticket text NOT NULL CHECK (octet_length(ticket) <= 4096),
  used_at timestamptz,
  used_entry uuid,
  revoked_at timestamptz,
  revoked_entry uuid,
  PRIMARY KEY (environment, ticket_id),
  CHECK ((used_at IS NULL) = (used_entry IS NULL)),
  CHECK ((revoked_at IS NULL) = (revoked_entry IS NULL)),
  CHECK (used_at IS NOT NULL OR revoked_at IS NOT NULL)
);

-- Who was retired stays retired, and what was revoked stays revoked, for the application's role, too.
-- +goose StatementBegin
CREATE FUNCTION hub.refuse_undoing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was ended stays ended' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER person_stays_retired BEFORE UPDATE ON hub.person
  FOR EACH ROW WHEN (OLD.retired_at IS NOT NULL) EXECUTE FUNCTION hub.refuse_undoing();
CREATE TRIGGER ticket_stays_revoked BEFORE UPDATE ON hub.ticket_use
  FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL) EXECUTE FUNCTION hub.refuse_undoing();

-- For the list of re-identifications and refused tickets: few entries among very many.
CREATE INDEX journal_entry_people ON hub.journal_entry (at) WHERE kind IN (15, 16, 17, 18);

GRANT SELECT, INSERT ON hub.person, hub.ticket_use TO hub_app;
GRANT UPDATE (retired_at, retired_entry) ON hub.person TO hub_app;
GRANT UPDATE (revoked_at, revoked_entry) ON hub.ticket_use TO hub_app;
GRANT SELECT (environment, name, roles, public_key, retired_at) ON hub.person TO hub_opener;
GRANT SELECT (environment, ticket_id, requester, approver, expires_at, used_at, revoked_at), INSERT ON hub.ticket_use TO hub_opener;
-- the default of person.added_at, and the clock of tickets
GRANT EXECUTE ON FUNCTION hub.hub_now() TO hub_opener;

-- +goose Up

-- Which deliveries were under way on a day is read from their attempts, which come in the order of
-- time: a few hundred bytes of index for a month, and next to nothing for each attempt.
CREATE INDEX attempt_started ON hub.attempt USING brin (started_at)
  WITH (pages_per_range = 16, autosummarize = on);

-- Who reconciles an environment with SISS: one at a time, whatever the number of processes. Every
-- write of a run names its lease, so that whoever lost it changes nothing.
CREATE TABLE hub.reconciliation_turn (
  environment smallint PRIMARY KEY CHECK (environment IN (1, 2)),
  lease uuid,
  owner uuid,
  held_until timestamptz,
  -- not before: after a run that SISS did not let finish
  due_at timestamptz NOT NULL,
  -- the Italian day on which a run last got to its end, and when
  done_on date,
  succeeded_at timestamptz,
  CHECK ((lease IS NULL) = (owner IS NULL) AND (lease IS NULL) = (held_until IS NULL))
);
INSERT INTO hub.reconciliation_turn (environment, due_at) VALUES (1, '-infinity'), (2, '-infinity');

-- What the last look at an Italian day came to.
--
--   open      not compared to its end
--   equal     nothing differs but the day of what was sent around midnight
--   different at least one of its types is
CREATE TABLE hub.reconciliation_day (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  day date NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'equal', 'different')),
  -- when that look began: what changed later was not seen
  checked_at timestamptz NOT NULL,
  PRIMARY KEY (environment, day)
);

-- One event type of a day.
--
--   asking    count or digest differ: SISS is being asked about each delivery
--   equal     count and digest agree
--   known     they do not, yet SISS has each of ours and no more than these: only the day differs
--   different see hub.reconciliation_difference and not_ours
CREATE TABLE hub.reconciliation (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  day date NOT NULL,
  type text NOT NULL CHECK (type ~ '^[A-Z_]{1,32}$'),
  -- delivered on that day for certain, and on that day or one beside it
  ours integer NOT NULL CHECK (ours >= 0),
  near integer NOT NULL CHECK (near >= 0),
  theirs integer NOT NULL CHECK (theirs >= 0),
  their_digest bytea NOT NULL CHECK (octet_length(their_digest) = 32),
  state text NOT NULL CHECK (state IN ('asking', 'equal', 'known', 'different')),
  -- how far the asking by id is: SISS's digest when it began, the last id, how many were asked and
  -- how many of these SISS has
  began_at timestamptz NOT NULL,
  asked_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  asked integer NOT NULL DEFAULT 0 CHECK (asked >= 0),
  accepted integer NOT NULL DEFAULT 0 CHECK (accepted >= 0),
  -- what SISS counts beyond all that the hub could have sent it on that day; nobody can tell its ids
  not_ours integer NOT NULL DEFAULT 0 CHECK (not_ours >= 0),
  checked_at timestamptz NOT NULL,
  PRIMARY KEY (environment, day, type)
);

-- A delivery of which SISS says something else than the hub. Nothing is ever sent because of a row
-- here: an operator decides.
--
--   unknown_there  delivered here, SISS does not know it
--   refused_there  delivered here, refused there
--   accepted_there refused, parked or given up here, accepted there
--   no_answer      SISS gave no clear answer about it
CREATE TABLE hub.reconciliation_difference (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  day date NOT NULL,
  type text NOT NULL CHECK (type ~ '^[A-Z_]{1,32}$'),
  delivery_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('unknown_there', 'refused_there', 'accepted_there', 'no_answer')),
  found_at timestamptz NOT NULL,
  PRIMARY KEY (environment, day, type, delivery_id)
);

-- A delivery that SISS may have received on either of several days, and whether it counted it on this
-- one, which the digest of a day that was found equal proves. It must count on one of them: otherwise
-- what was lost around midnight would be looked for on the other day for ever.
CREATE TABLE hub.reconciliation_near (
  environment smallint NOT NULL CHECK (environment IN (1, 2)),
  delivery_id uuid NOT NULL,
  day date NOT NULL,
  type text NOT NULL CHECK (type ~ '^[A-Z_]{1,32}$'),
  counted boolean NOT NULL,
  PRIMARY KEY (environment, delivery_id, day)
);
CREATE INDEX reconciliation_near_day ON hub.reconciliation_near (environment, day, type);

GRANT SELECT, UPDATE ON hub.reconciliation_turn TO hub_app;
GRANT SELECT, INSERT, UPDATE ON hub.reconciliation_day TO hub_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON hub.reconciliation, hub.reconciliation_difference,
  hub.reconciliation_near TO hub_app;

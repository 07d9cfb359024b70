-- +goose Up

-- What only several enti together know of a child, for the privacy officer and for nobody else: it
-- is looked for behind the answers, so that none of them can depend on it.

-- the cases of one child: for what is looked for here, and for erasure
CREATE INDEX case_file_subject ON hub.case_file (subject_id);

-- Accepted events that may matter to other enti's cases of the same child. Written with the event, by
-- what the event itself says and never by what others said.
CREATE TABLE hub.others_check (
  message_id uuid PRIMARY KEY,
  due_at timestamptz NOT NULL DEFAULT hub.hub_now()
);

-- Cases that told of an adoption, annulled or not. seen is how many events all cases of the child had
-- when they were last compared: when others go on, it differs.
CREATE TABLE hub.adoption (
  case_id uuid PRIMARY KEY,
  seen bigint NOT NULL,
  due_at timestamptz NOT NULL DEFAULT hub.hub_now()
);

-- What was found, once each: by the rule and the two events, the later one first.
CREATE TABLE hub.others_finding (
  message_id uuid NOT NULL,
  other_id uuid NOT NULL,
  rule smallint NOT NULL CHECK (rule IN (14, 22)),
  entry_id uuid NOT NULL UNIQUE,
  PRIMARY KEY (message_id, other_id, rule)
);

GRANT SELECT, INSERT, DELETE, UPDATE (due_at) ON hub.others_check TO hub_app;
GRANT SELECT, INSERT, UPDATE (seen, due_at) ON hub.adoption TO hub_app;
GRANT SELECT, INSERT ON hub.others_finding TO hub_app;

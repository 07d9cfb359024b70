-- +goose Up

-- Retention. The application's role cannot delete messages, attempts, entries, events or cases: it asks
-- these functions, which have fixed rules of their own and refuse what is younger than their minimum,
-- whatever the configuration says.
--
-- A month of hub.message, hub.attempt or hub.journal_entry goes as a whole table. What is still needed of
-- it is copied before into PARENT_YYYY_MM_held, and in one transaction that table takes the month's place
-- below its parent: whoever reads the parent finds what is held, and needs to know nothing of it.

-- Whose turn it is: one run at a time, whatever the number of processes. Every step proves that it still
-- holds the lease, and keeps this row locked until it has committed.
CREATE TABLE hub.retention_turn (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  lease uuid,
  held_until timestamptz,
  -- not before: after a run that did not get to its end
  due_at timestamptz NOT NULL,
  -- the Italian day on which a run last got to its end, and when
  done_on date,
  succeeded_at timestamptz,
  CHECK ((lease IS NULL) = (held_until IS NULL))
);
INSERT INTO hub.retention_turn (due_at) VALUES ('-infinity');

-- What the last run left of a class, for the metrics of all instances.
CREATE TABLE hub.retention_class (
  class text PRIMARY KEY CHECK (class ~ '^[a-z]{1,20}$'),
  -- of what nothing holds; NULL: there is none
  oldest_at timestamptz,
  held bigint NOT NULL CHECK (held >= 0),
  measured_at timestamptz NOT NULL
);

-- How large the database was, for the days until its disk is full.
CREATE TABLE hub.retention_size (
  day date PRIMARY KEY,
  bytes bigint NOT NULL CHECK (bytes >= 0)
);

-- Subjects whose last case has gone: the vault is to forget them if no event comes.
CREATE TABLE hub.subject_left (
  subject_id uuid PRIMARY KEY,
  environment smallint NOT NULL CHECK (environment IN (1, 2))
);

GRANT SELECT, UPDATE ON hub.retention_turn TO hub_app;
GRANT SELECT, INSERT, UPDATE ON hub.retention_class TO hub_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON hub.retention_size TO hub_app;
GRANT SELECT, DELETE ON hub.subject_left TO hub_app;

-- refusals go one by one, long before their month
CREATE INDEX journal_entry_refused ON hub.journal_entry (at) WHERE kind = 2;

-- The clock of what these functions refuse. hub_now() believes the session, and whoever has the
-- application's role can set that: here only a setting of the whole database counts, as tests make it.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_now() RETURNS timestamptz
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT clock_timestamp() + coalesce((
    SELECT nullif(substr(c.setting, length('hub.clock_offset=') + 1), '')::interval
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c (setting)
    WHERE s.setrole = 0 AND s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND starts_with(c.setting, 'hub.clock_offset=')
  ), interval '0')
$$;
-- +goose StatementEnd

-- The column of time of a parent, and how old the youngest row of a month must be before it may go.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_rule(parent text, OUT at_column text, OUT minimum interval)
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  CASE parent
    WHEN 'message' THEN at_column := 'received_at'; minimum := '1 month';
    WHEN 'attempt' THEN at_column := 'started_at'; minimum := '1 month';
    WHEN 'journal_entry' THEN at_column := 'at'; minimum := '12 months';
    ELSE RAISE EXCEPTION 'nothing to retire there';
  END CASE;
END
$$;
-- +goose StatementEnd

-- Why a row t of a month is still needed, as a condition: each part is a look into an index.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_needed(parent text) RETURNS text
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
      || ' OR EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = t.id)'
      || ' OR NOT EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = t.id))'
  END
  FROM (VALUES ('d.state NOT IN (''delivered'', ''refused'')')) AS v (open)
$$;
-- +goose StatementEnd

-- Proves that the caller still holds the turn, and keeps the row locked.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_prove(holder uuid) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE hub.retention_turn t
  SET held_until = hub.hub_now() + interval '15 minutes'
  WHERE t.lease = holder;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the turn is lost' USING ERRCODE = 'HR001';
  END IF;
END
$$;
-- +goose StatementEnd

-- What would go of a month, or of what was held of it, of when the oldest of it is, and what must be kept. Changes nothing.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_scope(parent text, month date,
  OUT records bigint, OUT held bigint, OUT oldest timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- the role's settings are for statements that find a few rows
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET enable_bitmapscan = on
SET plan_cache_mode = auto
AS $$
DECLARE
  at_column text := (hub.retention_rule(parent)).at_column;
  child text := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
BEGIN
  records := 0;
  held := 0;
  IF to_regclass(format('hub.%I', child)) IS NULL THEN
    child := child || '_held';
  END IF;
  IF to_regclass(format('hub.%I', child)) IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format('SELECT count(*) FILTER (WHERE NOT s.needed), count(*) FILTER (WHERE s.needed),'
    ' min(s.at) FILTER (WHERE NOT s.needed)'
    ' FROM (SELECT t.%I AS at, %s AS needed FROM hub.%I t) AS s', at_column, hub.retention_needed(parent), child)
  INTO records, held, oldest;
EXCEPTION WHEN undefined_table THEN
  -- it went meanwhile
  records := 0;
  held := 0;
END
$$;
-- +goose StatementEnd

-- Takes the locks under which a month leaves its parent. Whoever writes waits behind this request, so it
-- is given up after a moment and made again: a reader that goes on for hours holds up the month, and
-- never those who write.
-- +goose StatementBegin
CREATE FUNCTION hub.retention_lock(parent text, child text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  FOR try IN 1 .. 15 LOOP
    PERFORM set_config('lock_timeout', '150ms', true);
    BEGIN
      -- ONLY: the other months are in use
      EXECUTE format('LOCK TABLE ONLY hub.%I IN ACCESS EXCLUSIVE MODE', parent);
      EXECUTE format('LOCK TABLE hub.%I IN ACCESS EXCLUSIVE MODE', child);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      IF try = 15 THEN
        RAISE;
      END IF;
    END;
    PERFORM pg_sleep(0.1 * try);
  END LOOP;
END
$$;
-- +goose StatementEnd

-- Retires a month: all of it or nothing. records and held are what retention_scope said, so that the
-- caller can write its entry with them into the same transaction without asking in between; if it has
-- changed since (a delivery was settled, say) nothing is done. False: the month has gone already.
-- +goose StatementBegin
CREATE FUNCTION hub.retire_month(holder uuid, parent text, month date, records bigint, held bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET enable_bitmapscan = on
SET plan_cache_mode = auto
AS $$
DECLARE
  rule record := hub.retention_rule(parent);
  first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
  behind timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
  child text := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
  kept text := child || '_held';
  had bigint;
  copied bigint;
BEGIN
  PERFORM hub.retention_prove(holder);
  IF month IS NULL OR (behind AT TIME ZONE 'UTC' + rule.minimum) AT TIME ZONE 'UTC' > hub.retention_now() THEN
    RAISE EXCEPTION 'the month is too young to be retired' USING ERRCODE = 'HR002';
  END IF;
  IF to_regclass(format('hub.%I', child)) IS NULL THEN
    IF records <> 0 OR held <> 0 THEN
      RAISE EXCEPTION 'the month has gone since it was counted' USING ERRCODE = 'HR003';
    END IF;
    RETURN false;
  END IF;
  -- No clock writes into a month that has gone by; one that does waits, and finds no month.
  PERFORM set_config('lock_timeout', '10s', true);
  EXECUTE format('LOCK TABLE hub.%I IN SHARE MODE', child);
  EXECUTE format('SELECT count(*) FROM hub.%I', child) INTO had;
  IF had = held AND held > 0 THEN
    EXECUTE format('SELECT count(*) FROM hub.%I t WHERE %s', child, hub.retention_needed(parent)) INTO copied;
  ELSE
    -- the CHECK spares the look at every row when it is attached
    EXECUTE format('CREATE TABLE hub.%I (LIKE hub.%I INCLUDING ALL, CHECK (%I >= %L AND %I < %L))',
      kept, child, rule.at_column, first, rule.at_column, behind);
    EXECUTE format('INSERT INTO hub.%I SELECT t.* FROM hub.%I t WHERE %s', kept, child, hub.retention_needed(parent));
    GET DIAGNOSTICS copied = ROW_COUNT;
  END IF;
  IF copied IS DISTINCT FROM held OR had - copied IS DISTINCT FROM records THEN
    RAISE EXCEPTION 'the month is not as it was counted' USING ERRCODE = 'HR003';
  END IF;
  IF had = held AND held > 0 THEN
    -- all of it is needed
    EXECUTE format('ALTER TABLE hub.%I RENAME TO %I', child, kept);
    RETURN true;
  END IF;
  PERFORM hub.retention_lock(parent, child);
  EXECUTE format('ALTER TABLE hub.%I DETACH PARTITION hub.%I', parent, child);
  -- its files go after the locks
  EXECUTE format('DROP TABLE hub.%I', child);
  IF held > 0 THEN
    EXECUTE format('ALTER TABLE hub.%I ATTACH PARTITION hub.%I FOR VALUES FROM (%L) TO (%L)', parent, kept, first, behind);
  ELSE
    EXECUTE format('DROP TABLE hub.%I', kept);
  END IF;
  RETURN true;
END
$$;
-- +goose StatementEnd

-- Deletes what is not needed any more of what a month left behind; how much that was.
-- +goose StatementBegin
CREATE FUNCTION hub.release_held(holder uuid, parent text, month date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET enable_bitmapscan = on
SET plan_cache_mode = auto
AS $$
DECLARE
  rule record := hub.retention_rule(parent);
  kept text := format('%s_%s_held', parent, to_char(month, 'YYYY_MM'));
  released bigint;
BEGIN
  PERFORM hub.retention_prove(holder);
  IF month IS NULL
    OR (date_trunc('month', month::timestamp) + interval '1 month' + rule.minimum) AT TIME ZONE 'UTC' > hub.retention_now() THEN
    RAISE EXCEPTION 'the month is too young to be retired' USING ERRCODE = 'HR002';
  END IF;
  IF to_regclass(format('hub.%I', kept)) IS NULL THEN
    RETURN 0;
  END IF;
  EXECUTE format('DELETE FROM hub.%I t WHERE NOT (%s)', kept, hub.retention_needed(parent));
  GET DIAGNOSTICS released = ROW_COUNT;
  RETURN released;
END
$$;
-- +goose StatementEnd

-- Drops what a month left behind once it is empty. Nothing else can be dropped by it.
-- +goose StatementBegin
CREATE FUNCTION hub.drop_held(holder uuid, parent text, month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule record := hub.retention_rule(parent);
  kept text := format('%s_%s_held', parent, to_char(month, 'YYYY_MM'));
  filled boolean;
BEGIN
  PERFORM hub.retention_prove(holder);
  IF to_regclass(format('hub.%I', kept)) IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM hub.%I)', kept) INTO filled;
  IF filled THEN
    RETURN false;
  END IF;
  PERFORM hub.retention_lock(parent, kept);
  EXECUTE format('SELECT EXISTS (SELECT FROM hub.%I)', kept) INTO filled;
  IF filled THEN
    RETURN false;
  END IF;
  EXECUTE format('ALTER TABLE hub.%I DETACH PARTITION hub.%I', parent, kept);
  EXECUTE format('DROP TABLE hub.%I', kept);
  RETURN true;
END
$$;
-- +goose StatementEnd

-- Deletes entries of refusals (journal kind 2) of so many days ago that have their leaf.
-- +goose StatementBegin
CREATE FUNCTION hub.retire_refusals(holder uuid, days integer, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before timestamptz := hub.retention_now() - make_interval(days => days);
  retired bigint;
BEGIN
  PERFORM hub.retention_prove(holder);
  IF days IS NULL OR days < 7 THEN
    RAISE EXCEPTION 'refusals are kept for at least 7 days' USING ERRCODE = 'HR002';
  END IF;
  DELETE FROM hub.journal_entry j
  USING (
    SELECT t.id, t.at FROM hub.journal_entry t
    WHERE t.kind = 2 AND t.at < before
      AND EXISTS (SELECT FROM hub.journal_leaf l WHERE l.entry_id = t.id)
      AND NOT EXISTS (SELECT FROM hub.journal_queue q WHERE q.entry_id = t.id)
    ORDER BY t.at LIMIT most
  ) AS old
  WHERE j.id = old.id AND j.at = old.at AND j.kind = 2 AND j.at < before;
  GET DIAGNOSTICS retired = ROW_COUNT;
  RETURN retired;
END
$$;
-- +goose StatementEnd

-- A case goes so many whole years after the Italian year of its last event: before this instant.
CREATE FUNCTION hub.case_horizon(years integer) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN make_timestamptz(extract(year FROM hub.retention_now() AT TIME ZONE 'Europe/Rome')::integer - years, 1, 1, 0, 0, 0, 'Europe/Rome');

-- Deletes those of the given cases whose time is over and of which nothing is still to be delivered, with
-- their events, and whatever names them. event_key stays: a repetition still gets its first receipt.
-- +goose StatementBegin
CREATE FUNCTION hub.retire_cases(holder uuid, ids uuid[], years integer, OUT cases bigint, OUT events bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on SET enable_hashjoin = on
AS $$
DECLARE
  gone uuid[];
  messages uuid[];
  deliveries uuid[];
BEGIN
  PERFORM hub.retention_prove(holder);
  IF years IS NULL OR years < 5 THEN
    RAISE EXCEPTION 'cases are kept for at least five years' USING ERRCODE = 'HR002';
  END IF;
  SELECT array_agg(c.id) INTO gone
  FROM (
    SELECT f.id FROM hub.case_file f
    WHERE f.id = ANY (ids) AND f.last_event_at < hub.case_horizon(years)
      AND NOT EXISTS (
        SELECT FROM hub.delivery d WHERE d.case_id = f.id AND d.state NOT IN ('delivered', 'refused')
      )
    -- whoever has it locked is adding an event
    FOR UPDATE SKIP LOCKED
  ) AS c;
  SELECT array_agg(e.id) INTO messages FROM hub.event e WHERE e.case_id = ANY (gone);
  SELECT array_agg(d.id) INTO deliveries FROM hub.delivery d WHERE d.message_id = ANY (messages);
  DELETE FROM hub.others_check o WHERE o.message_id = ANY (messages);
  DELETE FROM hub.others_finding o WHERE o.message_id = ANY (messages) OR o.other_id = ANY (messages);
  DELETE FROM hub.adoption a WHERE a.case_id = ANY (gone);
  DELETE FROM hub.reconciliation_near n WHERE n.delivery_id = ANY (deliveries);
  DELETE FROM hub.reconciliation_difference r WHERE r.delivery_id = ANY (deliveries);
  DELETE FROM hub.delivery d WHERE d.id = ANY (deliveries);
  DELETE FROM hub.event e WHERE e.id = ANY (messages);
  GET DIAGNOSTICS events = ROW_COUNT;
  INSERT INTO hub.subject_left (subject_id, environment)
  SELECT DISTINCT f.subject_id, f.environment FROM hub.case_file f
  WHERE f.id = ANY (gone)
    AND NOT EXISTS (SELECT FROM hub.case_file o WHERE o.subject_id = f.subject_id AND o.id <> ALL (gone))
  ON CONFLICT DO NOTHING;
  DELETE FROM hub.case_file f WHERE f.id = ANY (gone);
  GET DIAGNOSTICS cases = ROW_COUNT;
END
$$;
-- +goose StatementEnd

-- Deletes what comparisons of days so many months ago left.
-- +goose StatementBegin
CREATE FUNCTION hub.retire_reconciliations(holder uuid, months integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before date := (hub.retention_now() - make_interval(months => months))::date;
  retired bigint;
BEGIN
  PERFORM hub.retention_prove(holder);
  -- reconcile.days goes back a year at most
  IF months IS NULL OR months < 14 THEN
    RAISE EXCEPTION 'comparisons are kept for at least 14 months' USING ERRCODE = 'HR002';
  END IF;
  DELETE FROM hub.reconciliation_near n WHERE n.day < before;
  DELETE FROM hub.reconciliation_difference d WHERE d.day < before;
  DELETE FROM hub.reconciliation r WHERE r.day < before;
  DELETE FROM hub.reconciliation_day r WHERE r.day < before;
  GET DIAGNOSTICS retired = ROW_COUNT;
  RETURN retired;
END
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION hub.retention_now, hub.retention_rule, hub.retention_needed, hub.retention_prove, hub.retention_scope,
  hub.retention_lock, hub.retire_month, hub.release_held, hub.drop_held, hub.retire_refusals, hub.case_horizon,
  hub.retire_cases, hub.retire_reconciliations FROM PUBLIC;
-- retention_now: for case_horizon, which the application calls itself
GRANT EXECUTE ON FUNCTION hub.retention_now, hub.retention_scope, hub.retire_month, hub.release_held, hub.drop_held,
  hub.retire_refusals, hub.case_horizon, hub.retire_cases, hub.retire_reconciliations TO hub_app;

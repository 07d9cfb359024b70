-- +goose Up

-- Makes the monthly partitions (UTC) from last month to some months ahead. The application may
-- call it and cannot make tables itself. There is no default partition: a row outside is an
-- error that is seen, not a row that retention never finds.
-- +goose StatementBegin
CREATE FUNCTION hub.ensure_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parent text;
  child text;
  first timestamp;
  made integer := 0;
BEGIN
  IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 24 THEN
    RAISE EXCEPTION 'months ahead must be 0 to 24';
  END IF;
  -- one maker at a time; the loser finds everything made
  PERFORM pg_advisory_xact_lock(hashtext('hub.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['message', 'attempt', 'journal_entry'] LOOP
    FOR i IN -1 .. months_ahead LOOP
      first := date_trunc('month', hub.hub_now() AT TIME ZONE 'UTC') + make_interval(months => i);
      child := format('%s_%s', parent, to_char(first, 'YYYY_MM'));
      CONTINUE WHEN to_regclass(format('hub.%I', child)) IS NOT NULL;
      -- attaching locks the parent only against other DDL; CREATE ... PARTITION OF would wait
      -- for every writer and hold up all others meanwhile
      EXECUTE format('CREATE TABLE hub.%I (LIKE hub.%I INCLUDING ALL)', child, parent);
      EXECUTE format('ALTER TABLE hub.%I ATTACH PARTITION hub.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, first AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC');
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION hub.ensure_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hub.ensure_partitions TO hub_app;
SELECT hub.ensure_partitions(2);

-- +goose Up

-- The oldest transaction that is open in this database, whoever began it, and what it holds up: one that
-- was left open keeps retention from its locks, the sequencer from its turn and dead rows from being
-- reused. hub_app sees its own sessions only; this function's owner may see all (prepare grants it), and
-- tells who it is and what it holds, and never its statements.
-- +goose StatementBegin
CREATE FUNCTION hub.oldest_transaction(
  OUT seconds double precision, OUT process integer, OUT role text, OUT state text, OUT holds text, OUT waiting integer)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  -- clock_timestamp(): the beginnings are by the server's own clock
  SELECT extract(epoch FROM clock_timestamp() - t.began)::double precision, t.pid, t.role, t.state,
    left((
      SELECT string_agg(DISTINCT n.nspname || '.' || c.relname, ' ')
      FROM pg_locks l
      JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
      JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('hub', 'vault')
      WHERE l.pid = t.pid AND l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    ), 400),
    (SELECT count(*)::integer FROM pg_stat_activity w
      WHERE w.wait_event_type = 'Lock' AND w.datname = current_database() AND t.pid = ANY (pg_blocking_pids(w.pid)))
  FROM (
    SELECT a.xact_start AS began, a.pid, a.usename::text AS role, a.state
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
      AND a.xact_start IS NOT NULL
    UNION ALL
    -- nobody is there who would end it; what waits for it names process 0
    SELECT p.prepared, 0, p.owner::text, 'prepared'
    FROM pg_prepared_xacts p WHERE p.database = current_database()
  ) AS t
  ORDER BY t.began LIMIT 1
$$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION hub.oldest_transaction FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hub.oldest_transaction TO hub_app;

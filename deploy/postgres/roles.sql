-- For the DBA of a server on which the hub gets no superuser. Run it as one in the hub's database (and, where
-- the vault has a server of its own, in the vault's), before the first start and after each upgrade:
--
--   psql -d hub -f roles.sql
--
-- Then give the login roles their passwords (\password hub_app, hub_vault, hub_opener, hub_migrate) and run
-- the migrations as hub_migrate: sinbahub migrate --admin-url-file FILE, with its address in FILE.
-- Written by internal/postgres (RolesSQL), whose tests hold this file against it: do not edit.

BEGIN;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_app') THEN CREATE ROLE hub_app; END IF; END $$;
ALTER ROLE hub_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hub_app SET statement_timeout = '15s';
ALTER ROLE hub_app SET lock_timeout = '10s';
ALTER ROLE hub_app SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE hub_app SET plan_cache_mode = force_generic_plan;
ALTER ROLE hub_app SET enable_seqscan = off;
ALTER ROLE hub_app SET enable_bitmapscan = off;
ALTER ROLE hub_app SET enable_hashjoin = off;
ALTER ROLE hub_app SET enable_mergejoin = off;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_vault') THEN CREATE ROLE hub_vault; END IF; END $$;
ALTER ROLE hub_vault LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hub_vault SET statement_timeout = '15s';
ALTER ROLE hub_vault SET lock_timeout = '10s';
ALTER ROLE hub_vault SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE hub_vault SET plan_cache_mode = force_generic_plan;
ALTER ROLE hub_vault SET enable_seqscan = off;
ALTER ROLE hub_vault SET enable_bitmapscan = off;
ALTER ROLE hub_vault SET enable_hashjoin = off;
ALTER ROLE hub_vault SET enable_mergejoin = off;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_opener') THEN CREATE ROLE hub_opener; END IF; END $$;
ALTER ROLE hub_opener LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hub_opener SET statement_timeout = '15s';
ALTER ROLE hub_opener SET lock_timeout = '10s';
ALTER ROLE hub_opener SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE hub_opener SET plan_cache_mode = force_generic_plan;
ALTER ROLE hub_opener SET enable_seqscan = off;
ALTER ROLE hub_opener SET enable_bitmapscan = off;
ALTER ROLE hub_opener SET enable_hashjoin = off;
ALTER ROLE hub_opener SET enable_mergejoin = off;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_reader') THEN CREATE ROLE hub_reader; END IF; END $$;
ALTER ROLE hub_reader NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE hub_app NOINHERIT;
GRANT hub_reader TO hub_app;
CREATE SCHEMA IF NOT EXISTS version;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_owner') THEN CREATE ROLE hub_owner; END IF; END $$;
ALTER ROLE hub_owner NOLOGIN NOSUPERUSER;
CREATE SCHEMA IF NOT EXISTS hub AUTHORIZATION hub_owner;
GRANT USAGE, CREATE ON SCHEMA version TO hub_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE hub_owner IN SCHEMA version GRANT SELECT ON TABLES TO hub_app, hub_vault, hub_opener;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vault_owner') THEN CREATE ROLE vault_owner; END IF; END $$;
ALTER ROLE vault_owner NOLOGIN NOSUPERUSER;
CREATE SCHEMA IF NOT EXISTS vault AUTHORIZATION vault_owner;
GRANT USAGE, CREATE ON SCHEMA version TO vault_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE vault_owner IN SCHEMA version GRANT SELECT ON TABLES TO hub_app, hub_vault, hub_opener;
DO $$ BEGIN GRANT pg_read_all_stats TO hub_owner; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
GRANT USAGE ON SCHEMA version TO hub_app, hub_vault, hub_opener;
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_migrate') THEN CREATE ROLE hub_migrate; END IF; END $$;
ALTER ROLE hub_migrate LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
GRANT hub_owner TO hub_migrate;
GRANT vault_owner TO hub_migrate;
COMMIT;

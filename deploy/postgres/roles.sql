-- Roles and rights in the database `cordboard`. Run this file as a superuser, before the first
-- `cordboard migrate` and after every migration:
--
--     createdb cordboard
--     psql -d cordboard -f deploy/postgres/roles.sql
--
-- It may run again at any time, also while the service works. It sets no passwords:
-- `\password cordboard_owner` in psql does, and sends only a hash.
\set ON_ERROR_STOP on
BEGIN;

-- cordboard_owner  owns the tables and changes them: `cordboard migrate`, nothing else
-- cordboard_app    workers, gateways, `rebuild`, `doctor`: reads and writes rows, changes no table
-- cordboard_read   people and programs that only read: no tokens, no writes
SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['cordboard_owner', 'cordboard_app', 'cordboard_read']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE cordboard_owner
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 4;
-- One connection per partition, twice that number while partitions change owners, and at most 8 for
-- each worker and gateway.
ALTER ROLE cordboard_app
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 100;
ALTER ROLE cordboard_read
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 10;
-- A forgotten query or transaction must not prevent vacuum from removing old rows. Sessions can
-- override these defaults; the grants below are the real limits.
ALTER ROLE cordboard_read SET default_transaction_read_only = on;
ALTER ROLE cordboard_read SET statement_timeout = '60s';
ALTER ROLE cordboard_read SET idle_in_transaction_session_timeout = '60s';

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I', current_database())
    || ' TO cordboard_owner, cordboard_app, cordboard_read' \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO cordboard_owner;
GRANT USAGE ON SCHEMA public TO cordboard_app, cordboard_read;

-- Everybody may call these functions in a new database. Large objects fill the disk beside the
-- tables, and locks of that kind keep `cordboard migrate` waiting: only the owner needs them.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure),
       format('GRANT EXECUTE ON FUNCTION %s TO cordboard_owner', oid::regprocedure)
  FROM pg_proc
 WHERE pronamespace = 'pg_catalog'::regnamespace
   AND proname ~ '^(lo_|lowrite$|pg_(try_)?advisory_)' \gexec

-- Objects of future migrations. Workers continue while a migration runs, so their rights come with
-- the table. Readers' rights do not: a new table may contain secrets, and is visible to readers
-- only when this file names it.
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner
    REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO cordboard_app;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO cordboard_app;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public
    GRANT EXECUTE ON FUNCTIONS TO cordboard_app;

-- Existing objects. Before the first migration there are none.
SELECT to_regclass('public.call_events') IS NOT NULL AS migrated \gset
\if :migrated
-- All other tables follow from the facts, which are added and never changed. Only `keep_facts`,
-- which workers call every hour and which runs as the owner, creates monthly tables and drops old
-- ones. The service may read the state of migrations and of retention, and not change it.
REVOKE UPDATE, DELETE ON call_events, call_events_other FROM cordboard_app;
-- Existing monthly tables are written through `call_events` only. Later ones follow when this file
-- runs again.
SELECT format('REVOKE ALL ON %s FROM cordboard_app', inhrelid::regclass)
  FROM pg_inherits
 WHERE inhparent = 'call_events'::regclass AND inhrelid <> 'call_events_other'::regclass \gexec
REVOKE INSERT, UPDATE, DELETE ON facts_kept, _sqlx_migrations FROM cordboard_app;
-- Lines of the audit log are only added.
REVOKE UPDATE, DELETE ON audit_log FROM cordboard_app;
GRANT SELECT ON calls, call_logs, call_participants, call_links, call_states, call_stats,
    missed_call_logs, call_events, sites, devices, extensions, agents, transfer_contexts, facts_kept
    TO cordboard_read;
\else
\echo 'no tables yet: run this again after `cordboard migrate`'
\endif
COMMIT;

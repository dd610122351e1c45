-- Who may do what in the database `cordboard`. Run it as a superuser, before the first `cordboard migrate` and after every later one:
--
--     createdb cordboard
--     psql -d cordboard -f deploy/postgres/roles.sql
--
-- It may be run again at any time, also while the service works. It sets no passwords: `\password cordboard_owner` in psql does, and sends
-- only a hash.
\set ON_ERROR_STOP on
BEGIN;

-- cordboard_owner  owns the tables and changes them: `cordboard migrate`, nothing else
-- cordboard_app    workers, gateways, `rebuild`, `doctor`: reads and writes rows, changes no table
-- cordboard_read   people and programs that only look: no tokens, no writes
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['cordboard_owner', 'cordboard_app', 'cordboard_read']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE cordboard_owner NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 4;
-- One connection for each partition, twice while they change hands, and at most 8 for each worker and gateway.
ALTER ROLE cordboard_app NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 90;
ALTER ROLE cordboard_read NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 10;
-- A question that somebody forgot must not keep old rows from being cleared away. Both are habits, no locks: the rights below are.
ALTER ROLE cordboard_read SET default_transaction_read_only = on;
ALTER ROLE cordboard_read SET statement_timeout = '60s';
ALTER ROLE cordboard_read SET idle_in_transaction_session_timeout = '60s';

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO cordboard_owner, cordboard_app, cordboard_read', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO cordboard_owner;
GRANT USAGE ON SCHEMA public TO cordboard_app, cordboard_read;

-- What migrations will make. Workers go on working while a migration runs, so their rights come with the table. People's rights do not:
-- a new table may hold secrets, and shows itself only when this file names it.
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO cordboard_app;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO cordboard_app;
ALTER DEFAULT PRIVILEGES FOR ROLE cordboard_owner IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO cordboard_app;

-- What migrations have made. Before the first one there is nothing.
SELECT to_regclass('public.call_events') IS NOT NULL AS migrated \gset
\if :migrated
-- Facts are the truth everything else is made from: added, never changed. Only `keep_facts`, which workers call every hour and which runs as
-- the owner, makes months and lets old ones go. What was migrated and what was kept is known to the service, and not for it to change.
REVOKE UPDATE, DELETE ON call_events, call_events_other FROM cordboard_app;
-- Months there are by now: they are written through `call_events` only. Those made later are caught when this is run again.
SELECT format('REVOKE ALL ON %s FROM cordboard_app', inhrelid::regclass) FROM pg_inherits
 WHERE inhparent = 'call_events'::regclass AND inhrelid <> 'call_events_other'::regclass \gexec
REVOKE INSERT, UPDATE, DELETE ON facts_kept, _sqlx_migrations FROM cordboard_app;
GRANT SELECT ON calls, call_logs, call_participants, call_links, call_states, call_stats, missed_call_logs, call_events, sites, devices,
    extensions, agents, transfer_contexts, facts_kept TO cordboard_read;
\else
\echo 'no tables yet: run this again after `cordboard migrate`'
\endif
COMMIT;

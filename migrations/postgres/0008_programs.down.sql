DROP VIEW call_states;
DROP VIEW all_states;
DROP INDEX call_logs_by_text;
ALTER TABLE live_states RENAME TO call_states;
DROP INDEX call_participants_by_ref;
ALTER TABLE call_participants DROP COLUMN call_ref;

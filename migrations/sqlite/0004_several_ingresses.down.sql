DROP TABLE suspects;
DROP INDEX call_states_by_session;
ALTER TABLE partition_owner DROP COLUMN ticks;

DROP INDEX missed_call_logs_by_site;
DROP INDEX missed_call_logs_assigned;
DROP INDEX missed_call_logs_waiting_by_site;
DROP INDEX missed_call_logs_waiting;
ALTER TABLE missed_call_logs DROP COLUMN reached_by;

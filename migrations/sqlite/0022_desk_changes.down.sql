DROP INDEX missed_call_logs_changed;

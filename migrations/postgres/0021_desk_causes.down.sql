ALTER TABLE missed_call_logs DROP COLUMN cause;

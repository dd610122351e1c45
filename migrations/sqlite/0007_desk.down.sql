DROP TABLE call_claims;
DROP INDEX call_logs_by_to_e164;
DROP INDEX call_logs_by_from_e164;
DROP INDEX call_logs_by_to;
DROP INDEX call_logs_by_from;
ALTER TABLE missed_call_logs DROP COLUMN changed_by;
ALTER TABLE missed_call_logs DROP COLUMN changed_at;
ALTER TABLE missed_call_logs DROP COLUMN disposition;
ALTER TABLE missed_call_logs DROP COLUMN note;

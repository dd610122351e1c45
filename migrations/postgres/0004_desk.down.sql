DROP TABLE call_claims;
ALTER TABLE missed_call_logs
    DROP COLUMN note,
    DROP COLUMN disposition,
    DROP COLUMN changed_at,
    DROP COLUMN changed_by;

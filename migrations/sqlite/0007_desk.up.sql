-- The work of people on a missed call; no fact changes it.
ALTER TABLE missed_call_logs ADD COLUMN note TEXT;
ALTER TABLE missed_call_logs ADD COLUMN disposition TEXT;
ALTER TABLE missed_call_logs ADD COLUMN changed_at INTEGER;
ALTER TABLE missed_call_logs ADD COLUMN changed_by TEXT;

-- The desk looks for later calls with the number of a missed one.
CREATE INDEX call_logs_by_from ON call_logs (from_number, started_at);
CREATE INDEX call_logs_by_to ON call_logs (to_number, started_at);
CREATE INDEX call_logs_by_from_e164 ON call_logs (from_e164, started_at);
CREATE INDEX call_logs_by_to_e164 ON call_logs (to_e164, started_at);

-- The agent who has taken a ringing call; one row per call decides between two.
CREATE TABLE call_claims (
    call_id    TEXT PRIMARY KEY,
    user_name  TEXT NOT NULL,
    claimed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX call_claims_by_end ON call_claims (expires_at);

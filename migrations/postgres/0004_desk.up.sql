-- The work of people on a missed call; no fact changes it.
ALTER TABLE missed_call_logs
    ADD COLUMN note text,
    ADD COLUMN disposition text,
    ADD COLUMN changed_at bigint,
    ADD COLUMN changed_by text;

-- The agent who has taken a ringing call; one row per call decides between two.
CREATE TABLE call_claims (
    call_id    text PRIMARY KEY,
    user_name  text NOT NULL,
    claimed_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX call_claims_by_end ON call_claims (expires_at);

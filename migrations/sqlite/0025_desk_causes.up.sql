-- Why a caller waits for a call back: `missed`, or `transfer_failed` when the call was answered, and
-- the party was handed on to phones that did not answer.
ALTER TABLE missed_call_logs ADD COLUMN cause TEXT NOT NULL DEFAULT 'missed';

-- The last promise of each ingress, as JSON: with several of them, time passes only as far as all have promised.
ALTER TABLE partition_owner ADD COLUMN ticks TEXT NOT NULL DEFAULT '{}';
-- Other programs find the call of their session; those they register stay when they are over.
CREATE INDEX call_states_by_session ON call_states (session_id) WHERE session_id IS NOT NULL;
-- Messages that may end whoever handles them, and how often that was begun.
CREATE TABLE suspects (
    digest   TEXT PRIMARY KEY,
    attempts INTEGER NOT NULL
) STRICT;

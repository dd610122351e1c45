-- Since when a receiver fails, and until when it rests: all gateways know it.
ALTER TABLE webhooks ADD COLUMN failing_since INTEGER;
ALTER TABLE webhooks ADD COLUMN rests_until INTEGER;

-- A delivery that was never attempted is due at 0.
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at, created_at) WHERE state = 'waiting';
UPDATE webhook_deliveries SET due_at = 0 WHERE state = 'waiting' AND attempts = 0;

-- The gateway that makes messages, and until when. The instants of messages have the order of their events, by the
-- clock of the database.
CREATE TABLE webhook_maker (
    only_row     INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    maker        TEXT,
    maker_until  INTEGER,
    last_instant INTEGER NOT NULL
) STRICT;
INSERT INTO webhook_maker (last_instant)
SELECT coalesce(max(created_at), 0) FROM webhook_messages;

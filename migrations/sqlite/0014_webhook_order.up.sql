-- Since when a receiver fails, and until when it rests: all gateways know it.
ALTER TABLE webhooks ADD COLUMN failing_since INTEGER;
ALTER TABLE webhooks ADD COLUMN rests_until INTEGER;

-- The gateway that makes messages, and until when. The instants of messages have the order of their events, whatever
-- the clocks of the gateways say.
CREATE TABLE webhook_maker (
    only_row     INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    maker        TEXT,
    maker_until  INTEGER,
    last_instant INTEGER NOT NULL
) STRICT;
INSERT INTO webhook_maker (last_instant)
SELECT coalesce(max(created_at), 0) FROM webhook_messages;

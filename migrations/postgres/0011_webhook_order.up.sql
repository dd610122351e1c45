-- Since when a receiver fails, and until when it rests: all gateways know it.
ALTER TABLE webhooks ADD COLUMN failing_since bigint;
ALTER TABLE webhooks ADD COLUMN rests_until bigint;

-- The gateway that makes messages, and until when. The instants of messages have the order of their events, whatever
-- the clocks of the gateways say.
CREATE TABLE webhook_maker (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    maker        text,
    maker_until  bigint,
    last_instant bigint NOT NULL
);
INSERT INTO webhook_maker (last_instant)
SELECT coalesce(max(created_at), 0) FROM webhook_messages;

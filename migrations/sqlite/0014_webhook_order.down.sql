DROP TABLE webhook_maker;
UPDATE webhook_deliveries SET due_at = created_at WHERE due_at = 0;
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, due_at) WHERE state = 'waiting';
ALTER TABLE webhooks DROP COLUMN rests_until;
ALTER TABLE webhooks DROP COLUMN failing_since;

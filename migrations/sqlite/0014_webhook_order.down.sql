DROP TABLE webhook_maker;
ALTER TABLE webhooks DROP COLUMN rests_until;
ALTER TABLE webhooks DROP COLUMN failing_since;

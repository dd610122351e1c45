ALTER TABLE webhooks DROP COLUMN sender_until;
ALTER TABLE webhooks DROP COLUMN sender;

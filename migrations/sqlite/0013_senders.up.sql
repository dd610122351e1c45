-- The gateway that sends to a receiver, and until when: messages of one call follow each other.
ALTER TABLE webhooks ADD COLUMN sender TEXT;
ALTER TABLE webhooks ADD COLUMN sender_until INTEGER;

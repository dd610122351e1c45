ALTER TABLE registered_transfers DROP COLUMN facts_after;

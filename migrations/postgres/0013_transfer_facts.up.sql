-- The last instant of the call's record when the transfer was registered, by the clock of its ingress.
ALTER TABLE registered_transfers ADD COLUMN facts_after bigint NOT NULL DEFAULT 0;
UPDATE registered_transfers SET facts_after = initiated_at;

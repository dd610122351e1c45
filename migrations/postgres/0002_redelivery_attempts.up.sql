-- The table counts deliveries of a message that may end its worker; its new name says so.
ALTER TABLE suspects RENAME TO redelivery_attempts;
ALTER TABLE redelivery_attempts RENAME CONSTRAINT suspects_pkey TO redelivery_attempts_pkey;

-- Workers of the version before write under the old name until the last of them is replaced, and again after a rollback. PostgreSQL passes
-- their inserts, conflicts and deletes on to the table. The release after this one needs no view: its first migration drops it.
CREATE VIEW suspects AS
 SELECT digest, attempts
 FROM redelivery_attempts;

-- The table counts deliveries of a message that may end its worker; its new name says so. Only messages from a broker are counted, and a
-- broker comes with PostgreSQL: no running version misses the old name here.
ALTER TABLE suspects RENAME TO redelivery_attempts;

DROP INDEX devices_in_dnd;
DROP INDEX devices_by_extension;
ALTER TABLE devices
    DROP COLUMN state_since,
    DROP COLUMN firmware,
    DROP COLUMN model,
    DROP COLUMN extension;

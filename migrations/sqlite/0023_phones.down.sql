DROP INDEX devices_in_dnd;
DROP INDEX devices_by_extension;
ALTER TABLE devices DROP COLUMN state_since;
ALTER TABLE devices DROP COLUMN firmware;
ALTER TABLE devices DROP COLUMN model;
ALTER TABLE devices DROP COLUMN extension;

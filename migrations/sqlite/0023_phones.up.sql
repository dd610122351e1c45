-- What phones say of themselves: their account, model and firmware, and whether they take calls
-- (`state`: available or dnd).
ALTER TABLE devices ADD COLUMN extension TEXT;
ALTER TABLE devices ADD COLUMN model TEXT;
ALTER TABLE devices ADD COLUMN firmware TEXT;
ALTER TABLE devices ADD COLUMN state_since INTEGER;
CREATE INDEX devices_by_extension ON devices (site, extension) WHERE extension IS NOT NULL;
CREATE INDEX devices_in_dnd ON devices (site) WHERE state = 'dnd';

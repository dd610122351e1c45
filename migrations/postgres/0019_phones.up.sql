-- What phones say of themselves: their account, model and firmware, and whether they take calls
-- (`state`: available or dnd).
ALTER TABLE devices
    ADD COLUMN extension text,
    ADD COLUMN model text,
    ADD COLUMN firmware text,
    ADD COLUMN state_since bigint;
CREATE INDEX devices_by_extension ON devices (site, extension) WHERE extension IS NOT NULL;
CREATE INDEX devices_in_dnd ON devices (site) WHERE state = 'dnd';

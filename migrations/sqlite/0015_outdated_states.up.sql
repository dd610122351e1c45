-- Keys of call states in Redis that could not be written: any gateway writes them as soon as it can.
CREATE TABLE outdated_states (
    -- call or session.
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    -- How often it was noted: a key is forgotten as it was read.
    times INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Calls of programs that ended a moment ago are written to Redis once more: their gateway may have died in between.
CREATE INDEX live_states_ended ON live_states (ended_at) WHERE provider <> 'grandstream';

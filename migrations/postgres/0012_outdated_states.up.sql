-- Keys of call states in Redis that could not be written: any gateway writes them as soon as it can.
CREATE TABLE outdated_states (
    -- call or session.
    kind  text NOT NULL,
    name  text NOT NULL,
    -- How often it was noted: a key is forgotten as it was read.
    times bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, name)
);

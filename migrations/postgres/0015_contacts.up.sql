-- Names of outside numbers; several contacts may have one number.
CREATE TABLE contacts (
    site    text NOT NULL,
    -- International where the number has such a form.
    number  text NOT NULL,
    name    text NOT NULL,
    company text NOT NULL,
    url     text NOT NULL,
    PRIMARY KEY (site, number, name)
);

-- What agents know about callers.
CREATE TABLE caller_notes (
    site       text NOT NULL,
    number     text NOT NULL,
    note       text NOT NULL,
    written_by text NOT NULL,
    written_at bigint NOT NULL,
    PRIMARY KEY (site, number)
);

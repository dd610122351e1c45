-- Names of outside numbers; several contacts may have one number.
CREATE TABLE contacts (
    site    TEXT NOT NULL,
    -- International where the number has such a form.
    number  TEXT NOT NULL,
    name    TEXT NOT NULL,
    company TEXT NOT NULL,
    url     TEXT NOT NULL,
    PRIMARY KEY (site, number, name)
) STRICT, WITHOUT ROWID;

-- What agents know about callers.
CREATE TABLE caller_notes (
    site       TEXT NOT NULL,
    number     TEXT NOT NULL,
    note       TEXT NOT NULL,
    written_by TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (site, number)
) STRICT, WITHOUT ROWID;

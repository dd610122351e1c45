-- People at their phones, and helplines (groups, queues) with the extensions that ring for them.
CREATE TABLE people (
    site      TEXT NOT NULL,
    extension TEXT NOT NULL,
    name      TEXT NOT NULL,
    PRIMARY KEY (site, extension)
) STRICT, WITHOUT ROWID;

CREATE TABLE helplines (
    site    TEXT NOT NULL,
    number  TEXT NOT NULL,
    name    TEXT NOT NULL,
    -- A JSON list of extensions.
    members TEXT NOT NULL,
    PRIMARY KEY (site, number)
) STRICT, WITHOUT ROWID;

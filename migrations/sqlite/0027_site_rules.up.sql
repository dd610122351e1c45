-- Rules of a site that people set, as a document: goals and opening hours.
CREATE TABLE site_rules (
    site       TEXT NOT NULL PRIMARY KEY,
    rules      TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

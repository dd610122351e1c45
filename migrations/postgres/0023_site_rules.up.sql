-- Rules of a site that people set, as a document: goals and opening hours.
CREATE TABLE site_rules (
    site       text PRIMARY KEY,
    rules      text NOT NULL,
    changed_by text NOT NULL,
    changed_at bigint NOT NULL
);

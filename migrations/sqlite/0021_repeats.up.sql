-- Requests that a client may send again, and their answers.
CREATE TABLE repeatable_requests (
    owner        TEXT NOT NULL,
    key          TEXT NOT NULL,
    -- Method, path and body.
    digest       TEXT NOT NULL,
    begun_at     INTEGER NOT NULL,
    -- Nothing while the request is under way.
    status       INTEGER,
    content_type TEXT,
    body         TEXT,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX repeatable_requests_by_age ON repeatable_requests (begun_at);

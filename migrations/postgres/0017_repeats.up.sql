-- Requests that a client may send again, and their answers.
CREATE TABLE repeatable_requests (
    owner        text NOT NULL,
    key          text NOT NULL,
    -- Method, path and body.
    digest       text NOT NULL,
    begun_at     bigint NOT NULL,
    -- Nothing while the request is under way.
    status       integer,
    content_type text,
    body         text,
    PRIMARY KEY (owner, key)
);
CREATE INDEX repeatable_requests_by_age ON repeatable_requests (begun_at);
